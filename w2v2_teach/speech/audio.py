"""Sound files become what the model reads: 16 kHz mono waveforms, each normalized, padded to one length per batch."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
import torch

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.errors import CourseError
from w2v2_teach.speech.audio_headers import ForwardFile, HeaderError, breaks_off, open_truthfully

MIN_SAMPLES = 400  # one frame of the paper's encoder (Section 2): 25 ms at 16 kHz
AUDIBLE = 1e-3  # standard deviation of a channel, at full scale 1: -60 dB
CANCELLED = 0.01  # what is left of the louder channel, -40 dB, where others take it away

Source = str | PathLike | BinaryIO


class AudioError(CourseError, ValueError):
    """The sound cannot be used; the message names the file and says why."""


class AudioFile:
    """A sound file that is read in slices from front to back; a context manager.

    Its length is that of the sound in it, also where the header lies: see `audio_headers`.

    Args:
        source: as in `load_audio`.

    Raises:
        AudioError: no such file, not audio, no samples, or less or more in it than can be read.
    """

    def __init__(self, source: Source) -> None:
        self.name = _name(source)
        self._file = _open(source)
        self._slice = np.empty((0, self._file.channels), dtype=np.float32)  # (L at the file's own rate, channels)
        self._start = 0  # of that slice
        if self._file.frames == 0:
            raise AudioError(f"{self.name} is empty: it holds no samples")

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def num_samples(self) -> int:
        """L, the length at 16 kHz."""
        rate = self._file.samplerate
        return (2 * self._file.frames * SAMPLE_RATE + rate) // (2 * rate)  # soxr rounds half up

    def read(self, offset: float = 0.0, duration: float | None = None) -> torch.Tensor:
        """The slice of the sound that `load_audio` describes; its offset is no smaller than that of the one before."""
        rate, length = self._file.samplerate, self._file.frames
        if not offset >= 0 or not (duration is None or duration >= 0):  # so written, NaN is refused too
            raise AudioError(f"{self.name}: offset and duration are seconds from 0 up, not {offset} and {duration}")
        if offset * rate >= length:
            raise AudioError(f"{self.name} ends at {length / rate:.3f} s, before the offset of {offset} s")
        start = round(offset * rate)
        wanted = length - start if duration is None else round(min(duration * rate, length - start))
        samples = soxr.resample(self._mono(self._frames(start, wanted)), rate, SAMPLE_RATE)  # (L,)
        if not np.isfinite(samples).all():
            raise AudioError(f"{self.name} holds NaN or infinite samples")
        if len(samples) < MIN_SAMPLES:
            raise AudioError(
                f"{self.name} is shorter than one frame: the model needs at least {MIN_SAMPLES} samples at 16 kHz, "
                f"this is {len(samples)}"
            )
        return torch.from_numpy(samples)

    def _frames(self, start: int, count: int) -> np.ndarray:
        """(count, channels) at the file's own rate; what the slice before has read is not read again."""
        if start < self._start:
            raise ValueError(f"a file is read from front to back, not at frame {start} after frame {self._start}")
        try:
            if start > self._file.position:
                self._file.skip_to(start)
            read = self._slice[start - self._start :] if start < self._file.position else self._slice[:0]
            new = self._file.read_frames(max(0, count - len(read)))
        except HeaderError as error:
            raise AudioError(f"{self.name} {error}") from error
        self._slice, self._start = np.concatenate([read, new]), start
        if len(self._slice) < count:
            raise AudioError(f"{self.name} {breaks_off(self._file.position, self._file.samplerate)}")
        return self._slice[:count]

    def _mono(self, channels: np.ndarray) -> np.ndarray:
        """(L, channels) → (L,) their average."""
        average = channels.mean(axis=1)
        if channels.shape[1] > 1 and len(channels):
            loudest = channels.std(axis=0).max()
            if loudest > AUDIBLE and average.std() < CANCELLED * loudest:
                raise AudioError(
                    f"{self.name}: its channels are of opposite phase, so that their average is silent; keep one of "
                    "them, for example with `ffmpeg -i FILE -af pan=mono|c0=c0 NEW.wav`"
                )
        return average


def load_audio(source: Source, offset: float = 0.0, duration: float | None = None) -> torch.Tensor:
    """Read a sound file, or a slice of one, as the model's input.

    Channels are averaged and the result is resampled by soxr. Only the slice is read from the file.

    Args:
        source: a path, or a binary file object (read from its beginning), in any format that libsndfile reads.
        offset: where to start, in seconds.
        duration: how much to read, in seconds; None, or more than there is, reads to the end.

    Returns:
        (L,) float32 waveform at 16 kHz, at least `MIN_SAMPLES` long.

    Raises:
        AudioError: no such file, not audio, a file that breaks off, channels that cancel out, no samples, NaN or
            infinite samples, less than one frame, an offset past the end, or a negative offset or duration.
    """
    with AudioFile(source) as file:
        return file.read(offset, duration)


def count_samples(source: Source) -> int:
    """The length L of `load_audio(source)`, without decoding the file where its header can be believed.

    Raises:
        AudioError: no such file, not audio, or a file that breaks off.
    """
    with AudioFile(source) as file:
        return file.num_samples


def normalize(waveform: torch.Tensor) -> torch.Tensor:
    """Shift and scale a waveform to zero mean and unit variance.

    This is what transformers' `Wav2Vec2FeatureExtractor` does: loudness carries no meaning for the model.

    Args:
        waveform: (L,)

    Returns:
        (L,); digital silence stays zero, thanks to the 1e-7.
    """
    return (waveform - waveform.mean()) / torch.sqrt(waveform.var(correction=0) + 1e-7)


def change_speed(waveform: torch.Tensor, factor: float) -> torch.Tensor:
    """(L,) → (about L / factor,): the tape runs faster or slower. No sound gets shorter than one frame."""
    factor = min(factor, len(waveform) / MIN_SAMPLES)
    return torch.from_numpy(soxr.resample(waveform.numpy(), factor * SAMPLE_RATE, SAMPLE_RATE, quality="LQ"))


def narrowband(waveform: torch.Tensor) -> torch.Tensor:
    """(L,) without what lies above 4 kHz, as by telephone: down to 8 kHz, and up again."""
    low = soxr.resample(waveform.numpy(), SAMPLE_RATE, SAMPLE_RATE / 2)
    return torch.from_numpy(soxr.resample(low, SAMPLE_RATE / 2, SAMPLE_RATE)[: len(waveform)])  # of L, or one more


def alias_frequency(tone: float, sample_rate: float) -> float:
    """The lowest frequency whose samples are those of `tone`: its distance to the nearest multiple of the rate (Hz)."""
    return abs(tone - sample_rate * round(tone / sample_rate))


def pad_batch(waveforms: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalize each waveform alone, so that its neighbors do not matter, then pad with zeros on the right.

    Args:
        waveforms: B tensors (L_i,) of possibly different lengths.

    Returns:
        input_values (B, L) float32 and attention_mask (B, L) long, 1 where there is sound; L is the longest L_i.

    Raises:
        ValueError: no waveforms.
    """
    if not waveforms:
        raise ValueError("a batch needs at least one waveform")
    pad = torch.nn.utils.rnn.pad_sequence
    input_values = pad([normalize(x.float()) for x in waveforms], batch_first=True)  # (B, L)
    attention_mask = pad([torch.ones(len(x), dtype=torch.long) for x in waveforms], batch_first=True)  # (B, L)
    return input_values, attention_mask


def _open(source: Source) -> ForwardFile:
    name = _name(source)
    if isinstance(source, (str, PathLike)):
        _require_file(Path(source))
    elif not source.seekable():
        raise AudioError(f"{name} is a stream that cannot be read twice: read it into an io.BytesIO first")
    else:
        source.seek(0)
    try:
        return open_truthfully(source)
    except HeaderError as error:
        raise AudioError(f"{name} {error}") from error
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name} is not audio that libsndfile reads: {error.error_string}") from error
    except (TypeError, ValueError) as error:  # a `.raw` file has no header; a name that is no Unicode text; spoiled MP3
        raise AudioError(f"{name} is not audio that libsndfile reads: {error}") from error


def _require_file(path: Path) -> None:
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if not path.is_file():
        kind = "folder" if path.is_dir() else "pipe or a device"
        raise AudioError(f"{path} is a {kind}; a sound file is needed, which can be read twice")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty: the file has no bytes")
    try:
        path.open("rb").close()
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}") from error


def _name(source: Source) -> str:
    return str(source) if isinstance(source, (str, PathLike)) else str(getattr(source, "name", "this file object"))
