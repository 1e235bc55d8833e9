"""Mini LibriSpeech (OpenSLR 31): read English by 28 people, with phone and word times made by machine."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from w2v2_teach.files import DATA
from w2v2_teach.speech import downloads
from w2v2_teach.speech.corpora import Corpus, Utterance, librispeech
from w2v2_teach.speech.downloads import CorpusNotFound
from w2v2_teach.speech.intervals import Interval

URL = "https://www.openslr.org/resources/31/"
MD5 = "5df7d4e78065366204ca6845bb08f490"  # of train-clean-5.tar.gz, as the publisher's own list has it
TABLES = DATA / "mini_librispeech"


def mini_librispeech(download: bool = False) -> Corpus:
    """Mini LibriSpeech: 5.3 hours by 28 speakers, 16 kHz, CC BY 4.0, with phone and word times; its card is in `data/`.

    `train-clean-5` is divided by speaker: 20 to learn from ("train"), 4 "dev", 4 "test". `dev-clean-2`, where it is on
    this machine, is a further test set without times, "dev-clean-2". FLAC, as published, or Opus beside a transcript
    both count.

    Args:
        download: fetch `train-clean-5` (332 MB) from OpenSLR into the cache, where it is not on this machine.

    Raises:
        CorpusNotFound: it is not on this machine, and `download` is False.
        DownloadError: it cannot be fetched, or is not what was published.
        CorpusError: a transcript without its recording, or a recording without its transcript.
    """
    folders = [folder / "LibriSpeech" for folder in downloads.data_folders()]
    learned = next((folder / "train-clean-5" for folder in folders if (folder / "train-clean-5").is_dir()), None)
    if learned is None:
        if not download:
            raise CorpusNotFound(
                "Mini LibriSpeech is not on this machine: fetch 332 MB with `w2v2-teach download mini-librispeech` "
                "or mini_librispeech(download=True), or point $W2V2_TEACH_DATA at a folder that holds "
                "LibriSpeech/train-clean-5"
            )
        learned = downloads.cache_folder() / "LibriSpeech" / "train-clean-5"
        downloads.download_and_unpack(f"{URL}train-clean-5.tar.gz", "LibriSpeech/train-clean-5", learned, f"md5:{MD5}")
    split_of, times = read_splits(TABLES / "speakers.tsv"), read_alignments(TABLES / "alignments.tsv.gz")
    utterances = [_described(utterance, split_of, times) for utterance in librispeech(learned)]
    further = learned.with_name("dev-clean-2")
    if further.is_dir():
        utterances += librispeech(further)
    return Corpus("mini_librispeech", utterances)


def _described(utterance: Utterance, split_of: dict[str, str], times: dict[str, Alignment]) -> Utterance:
    """With its part by speaker, and its phones and words in time; one of the utterances could not be aligned."""
    alignment = times.get(utterance.id, Alignment((), ()))
    spoken = utterance.text.split() if alignment.words else ()
    words = tuple(Interval(start, end, word) for (start, end), word in zip(alignment.words, spoken, strict=True))
    return replace(utterance, split=split_of[utterance.speaker], phones=alignment.phones, words=words)


class Alignment(NamedTuple):
    """When the phones and the words of an utterance are said; which words, its transcript says."""

    phones: tuple[Interval, ...]  # with pauses ("sil"), one after the other from 0 s to the end
    words: tuple[tuple[float, float], ...]  # start and end, s


def read_alignments(path: Path) -> dict[str, Alignment]:
    """The gzipped table that `data/align_mini_librispeech.py` writes, utterance → times.

    A line holds the id, the phones with their lengths ("sil 18 AE 15 …") and each word's start and end ("18 42 42 56
    …"), all in steps of 10 ms.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        next(file)  # the names of the columns
        rows = [line.rstrip("\n").split("\t") for line in file]
    alignments = {}
    for utterance, phones, words in rows:
        labels, lengths = phones.split()[::2], [int(n) for n in phones.split()[1::2]]
        ends = list(accumulate(lengths))
        intervals = (
            Interval((end - n) / 100, end / 100, label) for label, n, end in zip(labels, lengths, ends, strict=True)
        )
        edges = [int(n) / 100 for n in words.split()]
        alignments[utterance] = Alignment(tuple(intervals), tuple(zip(edges[::2], edges[1::2], strict=True)))
    return alignments


def read_splits(path: Path) -> dict[str, str]:
    """Speaker → "train", "dev" or "test"."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["speaker"]: row["split"] for row in csv.DictReader(file, delimiter="\t")}
