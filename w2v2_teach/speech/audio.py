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

MIN_SAMPLES = 400  # one frame of the paper's encoder (Section 2): 25 ms at 16 kHz

Source = str | PathLike | BinaryIO


class AudioError(CourseError, ValueError):
    """The sound cannot be used; the message names the file and says why."""


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
        AudioError: no such file, not audio, no samples, NaN or infinite samples, less than one frame, an offset
            past the end, or a negative offset or duration.
    """
    name = _name(source)
    if not offset >= 0 or not (duration is None or duration >= 0):  # so written, NaN is refused too
        raise AudioError(f"{name}: offset and duration are seconds from 0 up, not {offset} and {duration}")
    with _open(source) as file:
        rate, length = file.samplerate, file.frames
        if length == 0:
            raise AudioError(f"{name} is empty: it holds no samples")
        if offset * rate >= length:
            raise AudioError(f"{name} ends at {length / rate:.3f} s, before the offset of {offset} s")
        start = round(offset * rate)
        wanted = length - start if duration is None else round(min(duration * rate, length - start))
        try:
            file.seek(start)
            channels = file.read(wanted, dtype="float32", always_2d=True)  # (L at the file's own rate, channels)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{name} breaks off or is damaged: {error.error_string}") from error

    samples = soxr.resample(channels.mean(axis=1), rate, SAMPLE_RATE)  # (L,)
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds NaN or infinite samples")
    if len(samples) < MIN_SAMPLES:
        raise AudioError(
            f"{name} is shorter than one frame: the model needs at least {MIN_SAMPLES} samples at 16 kHz, "
            f"this is {len(samples)}"
        )
    return torch.from_numpy(samples)


def count_samples(source: Source) -> int:
    """The length L of `load_audio(source)`, from the file's header alone.

    Raises:
        AudioError: no such file, or not audio.
    """
    with _open(source) as file:
        return (2 * file.frames * SAMPLE_RATE + file.samplerate) // (2 * file.samplerate)  # soxr rounds half up


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


def _open(source: Source) -> soundfile.SoundFile:
    name = _name(source)
    if isinstance(source, (str, PathLike)):
        if not Path(source).is_file():
            raise AudioError(f"{name}: no such file")
        if Path(source).stat().st_size == 0:
            raise AudioError(f"{name} is empty: the file has no bytes")
    else:
        source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name} is not audio that libsndfile reads: {error.error_string}") from error
    except (TypeError, UnicodeEncodeError) as error:  # a `.raw` file has no header; a name that is no Unicode text
        raise AudioError(f"{name} is not audio that libsndfile reads: {error}") from error


def _name(source: Source) -> str:
    return str(source) if isinstance(source, (str, PathLike)) else str(getattr(source, "name", "this file object"))
