"""Speech to text with the time of every word, for sound of any length: it is heard in windows that overlap."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from w2v2_teach.checkpoints import CheckpointError, architecture, pretrained_file
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.ctc import LOG_ZERO, forced_alignment
from w2v2_teach.decoding.beam_search import beam_search, greedy_decode
from w2v2_teach.decoding.confidence import at_temperature
from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.decoding.vocabulary import DELIMITER, Vocabulary
from w2v2_teach.decoding.word_times import Word, word_times
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.speech.audio import MIN_SAMPLES, AudioError, AudioFile, Source, normalize

# A model that has learned from short sentences errs more in a long window: the bundled one's were 3 s long on average,
# 4.6 s at most. Published models, which have heard up to 15 s and more at once, do better with more.
WINDOW = 5.0  # s that the model hears at once
OVERLAP = 1.25  # s that neighbors share; each counts up to the middle, and so has heard more than what it decides
PAUSE = 0.36  # s without a letter that separate words, delimiter or not
CUE_CHARACTERS, CUE_PAUSE = 42, 1.0  # a subtitle has one line of so many characters, and ends before such a pause (s)


@dataclass(frozen=True)
class Transcript:
    """What was said, and when."""

    words: tuple[Word, ...]  # in order, times in seconds from the beginning of the sound

    @property
    def text(self) -> str:
        """In lower case; empty where nothing was said."""
        return _line(self.words)


@dataclass(frozen=True)
class Recognizer:
    """A model with a CTC head, its vocabulary, and a word n-gram model where beam search is wanted."""

    model: Wav2Vec2ForCTC
    vocabulary: Vocabulary
    language_model: NGramModel | None = None

    @classmethod
    def from_pretrained(cls, name: str | Path, language_model: NGramModel | None = None) -> Recognizer:
        """Load a folder, a checkpoint of the course such as `tiny-asr`, or a hub id that is in the cache.

        Raises:
            CheckpointError: nothing there, another kind of model, or a vocabulary of another size.
            ConfigError: a configuration that the model does not support.
            VocabularyError: its `vocab.json` is no vocabulary.
        """
        kind = architecture(name)
        if kind != Wav2Vec2ForCTC.__name__:
            raise CheckpointError(f"{name} is a {kind}; only a {Wav2Vec2ForCTC.__name__} writes text.")
        model = Wav2Vec2ForCTC.from_pretrained(name)
        vocabulary = Vocabulary.load(pretrained_file(name, "vocab.json"))
        if len(vocabulary) != model.config.vocab_size:
            raise CheckpointError(
                f"{name}: vocab.json has {len(vocabulary)} tokens, the model scores {model.config.vocab_size}."
            )
        return cls(model, vocabulary, language_model)

    def transcribe(self, sound: Source | Tensor, window: float = WINDOW, overlap: float = OVERLAP) -> Transcript:
        """Write down a sound file, or a waveform (L,) at 16 kHz.

        Of a file, one window at a time is in memory, whatever its length.

        Args:
            sound: a path, a binary file object, or a waveform.
            window: seconds that the model hears at once; a shorter sound is heard as a whole.
            overlap: seconds that a window shares with the next.

        Raises:
            AudioError: the sound cannot be used; as in `load_audio`.
            ValueError: see `windows`.
        """
        hop = receptive_field(self.model.config)[-1].hop  # samples from frame to frame
        delimiter, pause = self.vocabulary.tokens.index(DELIMITER), round(PAUSE * SAMPLE_RATE / hop)
        spans, frames = [], 0
        with _opened(sound) as (samples, read):
            parts = list(windows(samples, hop, window, overlap))
            bar = tqdm(parts, unit="window", delay=2, leave=False, disable=None)  # on a terminal, if it takes a while
            heard = (self._hear(read(part.start, part.stop))[part.kept] for part in bar)
            for log_probs in between_words(heard, delimiter, pause):
                calibrated = at_temperature(log_probs, self.model.config.ctc_temperature)  # aligns the same
                for span in forced_alignment(calibrated, self._tokens(log_probs)):
                    spans.append(span._replace(first=frames + span.first, last=frames + span.last))
                frames += len(log_probs)
        words = [word for word in word_times(spans, self.vocabulary, self.model.config) if word.text]
        return Transcript(tuple(words))

    @torch.no_grad()
    def _hear(self, waveform: Tensor) -> Tensor:
        """(L,) → (T, V) log probabilities. Each window is normalized alone, as every utterance was in training."""
        device = next(self.model.parameters()).device
        return self.model(normalize(waveform)[None].to(device)).log_probs[0].cpu()

    def _tokens(self, log_probs: Tensor) -> list[int]:
        """(T, V) → the ids of what is written: by the best path, or by beam search where there is a language model."""
        best = greedy_decode(log_probs)
        if self.language_model is None:
            return best
        text = beam_search(log_probs, self.vocabulary, language_model=self.language_model)[0].text
        end = [token for token in best[-1:] if self.vocabulary.tokens[token] == DELIMITER]
        return [*self.vocabulary.encode(text), *end]


class Window(NamedTuple):
    """A stretch of sound that the model hears at once, and those of its frames that count."""

    start: int  # sample at 16 kHz
    stop: int  # sample, exclusive
    kept: slice  # frames of this window


def windows(samples: int, hop: int, window: float, overlap: float) -> Iterator[Window]:
    """Cover a sound with windows, and keep each frame once: up to the middle of an overlap from the earlier one.

    A window begins where a frame does, so that the frames of all windows are those of the whole sound.

    Args:
        samples: length of the sound.
        hop: samples from the beginning of a frame to that of the next.
        window: seconds; the last window may be shorter, but is longer than `overlap`.
        overlap: seconds, more than 0 and less than `window`.

    Raises:
        ValueError: `overlap` is out of range.
    """
    width, shared = (round(seconds * SAMPLE_RATE / hop) for seconds in (window, overlap))  # in frames
    if not 0 < shared < width:
        raise ValueError(f"windows of {window} s cannot overlap by {overlap} s: more than 0 and less than a window")
    start, first = 0, 0
    while (stop := (start + width) * hop) < samples:
        end = width - shared + shared // 2  # where the next window takes over
        yield Window(start * hop, stop, slice(first, end))
        start, first = start + width - shared, shared // 2
    yield Window(start * hop, samples, slice(first, None))


def between_words(pieces: Iterable[Tensor], delimiter: int, pause: int) -> Iterator[Tensor]:
    """The same frames in other pieces, which end where the best path leaves a word delimiter: no word is cut in two.

    Args:
        pieces: log probabilities (T_i, V). A single one stays whole.
        delimiter: its id.
        pause: so many frames without a letter mean a delimiter, see `mark_pauses`.
    """
    rest: Tensor | None = None  # (T, V)
    for piece in pieces:
        if rest is not None:
            between = rest.argmax(dim=1) == delimiter  # (T,)
            ends = (between[:-1] & ~between[1:]).nonzero()  # (gaps, 1)
            if len(ends):
                end = int(ends[-1]) + 1
                yield rest[:end]
                rest = rest[end:]
        rest = mark_pauses(piece if rest is None else torch.cat([rest, piece]), delimiter, pause)
    if rest is not None:
        yield rest


def mark_pauses(log_probs: Tensor, delimiter: int, pause: int, blank: int = 0) -> Tensor:
    """Put a word delimiter in the middle of every long stretch of blanks between two letters.

    A model that was trained on single utterances has not learned to write a delimiter where the next one begins.

    Args:
        log_probs: (T, V)
        delimiter: its id.
        pause: so many frames are long.
        blank: its id.
    """
    best = log_probs.argmax(dim=1)  # (T,)
    spoken = (best != blank).nonzero()[:, 0]  # frames of letters and delimiters
    before, after = spoken[:-1], spoken[1:]
    long = (after - before - 1 >= pause) & (best[before] != delimiter) & (best[after] != delimiter)
    marks = (before[long] + after[long]) // 2
    marked = log_probs.clone()
    marked[marks] = LOG_ZERO
    marked[marks, delimiter] = 0
    return marked


def json_line(name: str, transcript: Transcript) -> str:
    """The transcript of the file of this name as one line of JSON; times in seconds."""
    words = [
        {"start": round(w.start, 3), "end": round(w.end, 3), "word": w.text, "confidence": round(w.confidence, 4)}
        for w in transcript.words
    ]
    return json.dumps({"file": name, "text": transcript.text, "words": words}) + "\n"


def subtitles(words: Sequence[Word]) -> str:
    """The words as numbered cues in the SubRip format, `.srt`; empty where there are none."""
    blocks = []
    for number, cue in enumerate(_cues(words), start=1):
        times = f"{_clock(cue[0].start)} --> {_clock(cue[-1].end)}"
        blocks.append(f"{number}\n{times}\n{_line(cue)}\n")
    return "\n".join(blocks)


def _cues(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words that share a subtitle."""
    cue: list[Word] = []
    for word in words:
        if cue and (len(_line([*cue, word])) > CUE_CHARACTERS or word.start - cue[-1].end >= CUE_PAUSE):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _line(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)


def _clock(seconds: float) -> str:
    """As SubRip writes it: hours:minutes:seconds,milliseconds."""
    rest, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, seconds = divmod(rest, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02},{milliseconds:03}"


@contextmanager
def _opened(sound: Source | Tensor) -> Iterator[tuple[int, Callable[[int, int], Tensor]]]:
    """Samples at 16 kHz: how many there are, and a function that reads those from `start` to `stop`."""
    if isinstance(sound, Tensor):
        if sound.ndim != 1 or len(sound) < MIN_SAMPLES or not sound.isfinite().all():
            shape = tuple(sound.shape)
            raise AudioError(
                f"a waveform of shape {shape}: wanted is (L,) with {MIN_SAMPLES} samples or more, all finite"
            )
        yield len(sound), lambda start, stop: sound[start:stop]
        return
    with AudioFile(sound) as file:
        yield file.num_samples, lambda start, stop: file.read(start / SAMPLE_RATE, (stop - start) / SAMPLE_RATE)
