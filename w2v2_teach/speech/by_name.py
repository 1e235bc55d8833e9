"""Corpora by the names that the command line takes, one or several."""

from collections.abc import Sequence
from pathlib import Path

from w2v2_teach.speech.corpora import Corpus, librispeech, read_tables, toy_speech
from w2v2_teach.speech.downloads import CorpusNotFound
from w2v2_teach.speech.mini_librispeech import mini_librispeech

NAMED = {"toy": toy_speech, "mini-librispeech": mini_librispeech}


def train_and_dev(*names: str) -> tuple[Corpus, Corpus]:
    """What to learn from and what to measure on: the splits whose names begin with "train" and with "dev".

    Args:
        names: of one or several corpora: "toy" for the bundled one, "mini-librispeech", or a folder with tables as the
            bundled one has, or in LibriSpeech's layout.

    Raises:
        CorpusNotFound: nothing there, or one of the two is missing.
        CorpusError: a folder's content contradicts itself, or cannot be read; names the file and the line.
    """
    train, dev = (joined(parts) for parts in zip(*map(_train_and_dev, names), strict=True))
    return train, dev


def _train_and_dev(name: str) -> tuple[Corpus, Corpus]:
    if name in NAMED:
        corpus = NAMED[name]()
    else:
        folder = Path(name)
        corpus = read_tables(folder) if (folder / "utterances.tsv").is_file() else librispeech(folder)
    parts = []
    for part in ("train", "dev"):
        utterances = [utterance for utterance in corpus if utterance.split.startswith(part)]
        if not utterances:
            splits = ", ".join(sorted({utterance.split for utterance in corpus}))
            raise CorpusNotFound(f"{corpus.name} has no split whose name begins with {part!r}: it has {splits}")
        parts.append(Corpus(f"{corpus.name}/{part}", utterances))
    return parts[0], parts[1]


def joined(parts: Sequence[Corpus]) -> Corpus:
    """Several corpora as one, which still knows its `parts`; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    return Corpus(" + ".join(part.name for part in parts), (u for part in parts for u in part), tuple(parts))


def with_phones(corpus: Corpus) -> Corpus:
    """The utterances whose phone times are known."""
    return Corpus(corpus.name, (utterance for utterance in corpus if utterance.phones))
