"""One interface to every corpus: the bundled one, those that are downloaded, and a folder of the reader's own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.errors import CourseError
from w2v2_teach.files import DATA
from w2v2_teach.speech import text_files
from w2v2_teach.speech.audio import MIN_SAMPLES, AudioError, count_samples, load_audio
from w2v2_teach.speech.downloads import CorpusNotFound
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.speech.text_files import CorpusError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RECORDINGS = (".flac", ".opus")  # how a LibriSpeech recording's name may end: as published, or made smaller


class CorpusTooShort(CourseError, ValueError):
    """More speech is wanted than there is."""


@dataclass(frozen=True)
class Utterance:
    """One recording and what is known about it. The sound itself stays on disk until `waveform()` asks for it."""

    id: str
    speaker: str
    split: str  # which part of its corpus: "train", "dev", "test", …
    path: Path
    text: str  # in lower case; empty where no transcript is published
    num_samples: int  # L, at 16 kHz
    phones: tuple[Interval, ...] = ()  # empty where no times are known
    words: tuple[Interval, ...] = ()
    offset: float | None = None  # s, where in its file it begins, if it is only a piece of that

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / SAMPLE_RATE

    def waveform(self) -> torch.Tensor:
        """The sound, (L,) float32 at 16 kHz; raises `AudioError` where the file is no good, or of another length."""
        if self.offset is not None:
            return load_audio(self.path, self.offset, self.duration)
        waveform = load_audio(self.path)
        if len(waveform) != self.num_samples:
            raise AudioError(
                f"{self.path} has {len(waveform)} samples at 16 kHz; the corpus says {self.num_samples}, correct that"
            )
        return waveform

    def piece(self, start: float, end: float, name: str, text: str = "") -> Utterance:
        """What is heard between two times (s), as an utterance of its own: its id, and what is said in it."""
        samples, offset = int((end - start) * SAMPLE_RATE), (self.offset or 0.0) + start
        return replace(self, id=name, text=text, num_samples=samples, offset=offset, phones=(), words=())


class Corpus(Sequence[Utterance]):
    """Utterances in a fixed order, by position or by id; a `torch.utils.data.DataLoader` takes it as its dataset."""

    def __init__(self, name: str, utterances: Iterable[Utterance], parts: tuple[Corpus, ...] = ()):
        """Raises CorpusError where two utterances share an id; `parts` are the corpora that this one joins."""
        self.name = name
        self.parts = parts or (self,)
        self._utterances = tuple(utterances)
        self._by_id = {utterance.id: utterance for utterance in self._utterances}
        if len(self._by_id) < len(self._utterances):
            shared = Counter(utterance.id for utterance in self._utterances).most_common(1)[0][0]
            raise CorpusError(f"{name}: some utterances share an id, such as {shared}")

    def __len__(self) -> int:
        return len(self._utterances)

    @overload
    def __getitem__(self, key: int | str) -> Utterance: ...

    @overload
    def __getitem__(self, key: slice) -> Sequence[Utterance]: ...

    def __getitem__(self, key: int | str | slice) -> Utterance | Sequence[Utterance]:
        return self._by_id[key] if isinstance(key, str) else self._utterances[key]

    def __repr__(self) -> str:
        return f"{self.name}: {len(self)} utterances, {len(self.speakers)} speakers, {60 * self.hours:.1f} min"

    def split(self, name: str) -> Corpus:
        """The utterances of one split, as a corpus; raises ValueError, naming the splits there are."""
        splits = sorted({utterance.split for utterance in self})
        if name not in splits:
            raise ValueError(f"{self.name} has no split {name!r}: it has {', '.join(splits)}")
        return Corpus(f"{self.name}/{name}", (utterance for utterance in self if utterance.split == name))

    def minutes(self, wanted: float, seed: int = 0) -> Corpus:
        """Utterances drawn at random until they last `wanted` minutes; a smaller draw is part of a larger one.

        Raises:
            CorpusTooShort: there is less than that, or `wanted` is not more than 0.
        """
        if not 0 < wanted <= 60 * self.hours:  # so written, NaN is refused too
            raise CorpusTooShort(f"{self.name} lasts {60 * self.hours:.1f} minutes; {wanted:g} are wanted")
        order = np.random.default_rng(seed).permutation(len(self))
        ends = np.cumsum([self[int(i)].duration for i in order]) / 60  # minutes
        drawn = order[: int(np.searchsorted(ends, wanted)) + 1]
        return Corpus(f"{self.name}, {wanted:g} min, seed {seed}", (self[int(i)] for i in sorted(drawn)))

    def middles(self, seconds: float) -> Corpus:
        """The corpus with no more than the middle `seconds` of each utterance."""
        edges = [(u, max(0.0, u.duration - seconds) / 2) for u in self]  # s, left out on both sides
        kept = (u.piece(edge, edge + seconds, u.id) if edge else u for u, edge in edges)
        return Corpus(self.name, kept)

    def at_most(self, seconds: float) -> Corpus:
        """The utterances that last no longer."""
        return Corpus(f"{self.name}, at most {seconds:g} s", (u for u in self if u.duration <= seconds))

    @property
    def speakers(self) -> tuple[str, ...]:
        """Each speaker once, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self}))

    @property
    def hours(self) -> float:
        """Length of all utterances together, in hours."""
        return sum(utterance.duration for utterance in self) / 3600


def toy_speech() -> Corpus:
    """The bundled corpus: synthetic English by 24 speakers, with exact phone and word times; see its README.

    Raises:
        CorpusNotFound: the folder is not there.
    """
    if not (DATA / "toy_speech" / "utterances.tsv").is_file():
        raise CorpusNotFound(
            f"the bundled corpus is missing from {DATA / 'toy_speech'}: restore that folder from the repository, "
            "or build it with `python data/build_toy_speech.py`"
        )
    return read_tables(DATA / "toy_speech")


def librispeech(folder: str | os.PathLike) -> Corpus:
    """A folder in the layout of LibriSpeech: `speaker/chapter/*.flac` (or `.opus`) with a `*.trans.txt` each.

    Args:
        folder: one split (such as `dev-clean-2`), or the folder that holds several of them.

    Raises:
        CorpusNotFound: there is no transcript in the folder.
        CorpusError: a transcript without its recording, a recording without its transcript, an id that stands there
            twice, or a transcript that cannot be read; names the file and the line.
        AudioError: a recording that cannot be used.
    """
    folder = Path(folder).resolve()
    transcripts = sorted(text_files.visible_files(folder, "*.trans.txt"))
    if not transcripts:
        raise CorpusNotFound(f"{folder} holds no speaker/chapter/*.trans.txt, the layout of LibriSpeech")
    places: dict[str, str] = {}
    utterances = [utterance for path in transcripts for utterance in _chapter(path, places)]
    recordings = {path.stem for path in text_files.visible_files(folder, "*") if path.suffix in RECORDINGS}
    if unread := recordings - places.keys():
        raise CorpusError(f"{folder}: {len(unread)} recordings have no transcript, first {min(unread)}")
    return Corpus(folder.name, utterances)


def _chapter(transcript: Path, places: dict[str, str]) -> Iterator[Utterance]:
    """The utterances of one chapter; a line of its transcript reads `id THE WORDS`. `places` collects all ids."""
    chapter, speaker, split = transcript.parents[:3]
    for place, line in text_files.read_lines(transcript):
        utterance_id, *text = line.split(maxsplit=1)
        text_files.require_new(utterance_id, place, places)
        candidates = [chapter / (utterance_id + ending) for ending in RECORDINGS]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise CorpusError(f"{place}: it names {utterance_id}, but there is no {candidates[0].name} beside it")
        words = text_files.transcript_of("".join(text), place)
        yield Utterance(utterance_id, speaker.name, split.name, path, words, count_samples(path))


def read_tables(folder: Path) -> Corpus:
    """A corpus described by tab-separated tables: `utterances.tsv`, `phones.tsv` and `words.tsv` in `folder`.

    Raises:
        CorpusNotFound: a table is missing.
        CorpusError: a missing column, a bad value, a missing recording, an unknown utterance, or an id that stands
            there twice; names the file and the line.
    """
    columns: dict[str, Callable[[str], object]] = {"id": str, "speaker": str, "split": str, "path": str}
    columns |= {"num_samples": _length, "text": str}
    places: dict[str, str] = {}
    phones = text_files.read_intervals(folder, "phone")
    words = text_files.read_intervals(folder, "word")
    utterances = []
    for place, (key, speaker, split, path, num_samples, text) in text_files.read_table(
        folder / "utterances.tsv", columns
    ):
        text_files.require_new(key, place, places)
        if not (folder / path).is_file():
            raise CorpusError(f"{place}: there is no {folder / path}")
        of_phones, of_words = (tuple(interval for _, interval in of.pop(key, ())) for of in (phones, words))
        said = text_files.transcript_of(text, place)
        utterances.append(Utterance(key, speaker, split, folder / path, said, num_samples, of_phones, of_words))
    for key, ((place, _), *_) in (phones | words).items():  # what is left
        raise CorpusError(f"{place}: it names {key}, which is not in utterances.tsv")
    return Corpus(folder.name, utterances)


def _length(text: str) -> int:
    """A number of samples that a model can read."""
    if int(text) < MIN_SAMPLES:
        raise ValueError(f"num_samples must be {MIN_SAMPLES} or more, not {text}")
    return int(text)
