"""What the codes say: tables that count which frame of speech got which code (arXiv 2006.11477, Appendix D)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from w2v2_teach.analysis.information import entropy, explained_phones
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import frame_labels

PHONE_CLASSES = {
    "vowel": "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW",
    "stop": "B D G K P T",
    "fricative": "CH DH F HH JH S SH TH V Z ZH",  # CH and JH, which end in one, among them
    "nasal": "M N NG",
    "liquid/glide": "L R W Y",
    "silence": "sil",
}
CLASS_OF = {label: name for name, labels in PHONE_CLASSES.items() for label in labels.split()}


def phone_class(label: str) -> str:
    """The class of one of the bundled corpus' phones: "IY" → "vowel"; raises ValueError for another label."""
    if label not in CLASS_OF:
        raise ValueError(f"{label!r} is no phone of the bundled corpus, which has {', '.join(sorted(CLASS_OF))}")
    return CLASS_OF[label]


def frame_codes(model: Wav2Vec2ForPreTraining, corpus: Corpus) -> list[np.ndarray]:
    """The codes of each utterance, (T, G) each, in the order of the corpus; leaves the model in evaluation mode."""

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[np.ndarray]:
        lengths = model.config.frame_lengths(attention_mask.sum(dim=1)).tolist()
        return [codes[:T] for codes, T in zip(model.codes(x).cpu().numpy(), lengths, strict=True)]  # (T, G) each

    return for_each_utterance(model, corpus, real_frames)


@dataclass(frozen=True)
class CodedCorpus:
    """All N frames of a corpus, padding left out, and what is known of each: every table below counts over them."""

    codes: np.ndarray  # (N, G) int, 0 … V - 1
    phones: np.ndarray  # (N,) what is said in the middle of the frame; empty where no times are known
    words: np.ndarray  # (N,) likewise
    speakers: np.ndarray  # (N,)
    utterances: np.ndarray  # (N,) int, which utterance of the corpus
    frames: np.ndarray  # (N,) int, which frame of the utterance
    entries: int  # V, of each codebook

    @property
    def joined(self) -> np.ndarray:
        """(N,) one number for the G codes of a frame: g₁ + V·g₂ + …"""
        return self.codes @ self.entries ** np.arange(self.codes.shape[1])

    def by_utterance(self, values: np.ndarray) -> list[np.ndarray]:
        """Any (N, …) array of this corpus, cut into its utterances, (T, …) each."""
        return np.split(values, np.flatnonzero(np.diff(self.utterances)) + 1)


def corpus_codes(model: Wav2Vec2ForPreTraining, corpus: Corpus) -> CodedCorpus:
    """Code every frame of a corpus; leaves the model in evaluation mode, in which the largest logit is taken."""
    codes = frame_codes(model, corpus)  # (T, G) each
    lengths = [len(c) for c in codes]
    times = [frame_times(model.config, T).numpy() for T in lengths]  # (T,) each, s
    return CodedCorpus(
        codes=np.concatenate(codes),
        phones=np.concatenate([_labels(u.phones, t) for u, t in zip(corpus, times, strict=True)]),
        words=np.concatenate([_labels(u.words, t) for u, t in zip(corpus, times, strict=True)]),
        speakers=np.repeat([u.speaker for u in corpus], lengths),
        utterances=np.repeat(np.arange(len(corpus)), lengths),
        frames=np.concatenate([np.arange(T) for T in lengths]),
        entries=model.config.num_codevectors_per_group,
    )


def _labels(intervals: Sequence, times: np.ndarray) -> np.ndarray:
    return frame_labels(intervals, times) if intervals else np.full(len(times), "")


# --- usage -----------------------------------------------------------------------------------------------------------


def usage(codes: np.ndarray, entries: int) -> np.ndarray:
    """(N, G) codes → (G, V) how many frames chose each entry, 0 for those that none chose."""
    return np.stack([np.bincount(book, minlength=entries) for book in codes.T])


def pair_usage(codes: np.ndarray, entries: int) -> np.ndarray:
    """(N, 2) codes → (V, V) how many frames chose each pair: first codebook down, second across.

    Raises:
        ValueError: not two codebooks.
    """
    if codes.shape[1] != 2:
        raise ValueError(f"pairs need G = 2 codebooks; these codes have G = {codes.shape[1]}")
    pairs = np.zeros((entries, entries), dtype=np.int64)
    np.add.at(pairs, (codes[:, 0], codes[:, 1]), 1)
    return pairs


def usage_by(labels: Sequence, codes: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """The same per label (a speaker, a phone, a class): labels (N,), codes (N, G) → counts (labels, G, V), their names.

    The names are sorted. Unlike `count_pairs` it keeps a column for every entry, used or not.
    """
    names, row = np.unique(labels, return_inverse=True)
    counts = np.stack([usage(codes[row == i], entries) for i in range(len(names))])
    return counts, names


# --- what one says about the other -----------------------------------------------------------------------------------


class Conditional(NamedTuple):
    """P(row | column), and the counts behind it: a share of three frames is no certainty."""

    p: np.ndarray  # (rows, columns), each column adds up to 1; nan in columns that never occur
    counts: np.ndarray  # (rows, columns) frames

    @property
    def frames(self) -> np.ndarray:
        """(columns,) how many frames each column's shares are taken from."""
        return self.counts.sum(axis=0)


def conditional(counts: np.ndarray) -> Conditional:
    """Counts (rows, columns) → P(row | column): with phones down and codes across, P(phone | code).

    `conditional(counts.T)` is P(code | phone).
    """
    frames = counts.sum(axis=0)  # (columns,)
    p = np.full(counts.shape, np.nan)
    np.divide(counts, frames, out=p, where=frames > 0)
    return Conditional(p, counts)


class Purity(NamedTuple):
    """How well one label follows from the other by the best single guess (arXiv 2106.07447, Section V-C)."""

    phone: float  # share of frames whose phone is the commonest of their code
    cluster: float  # share of frames whose code is the commonest of their phone


def purity(counts: np.ndarray) -> Purity:
    """Phone purity rises when codes are split, cluster purity when they are merged: read them together.

    Args:
        counts: (phones, codes); codes and phones that never occur may be among them.
    """
    frames = counts.sum()
    return Purity(float(counts.max(axis=0).sum() / frames), float(counts.max(axis=1).sum() / frames))


class ConditionalEntropies(NamedTuple):
    """What remains unknown of one label when the other is told, in nats."""

    row_given_column: float  # H(phone | code), if phones are the rows
    column_given_row: float  # H(code | phone)


def conditional_entropies(counts: np.ndarray) -> ConditionalEntropies:
    """H(row | column) = H(row, column) - H(column), and the other way round; counts (rows, columns)."""
    both = entropy(counts)
    return ConditionalEntropies(both - entropy(counts.sum(axis=0)), both - entropy(counts.sum(axis=1)))


# --- in time ---------------------------------------------------------------------------------------------------------


def dwell_times(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """How many frames in a row have the same code: the lengths of all runs, in order.

    Args:
        sequences: one utterance each: (T,) codes of a codebook, (T, G) for all books together, or (T,) phones.
    """
    return np.concatenate([np.diff(_run_starts(values), append=len(values)) for values in sequences])


def without_repeats(values: np.ndarray) -> np.ndarray:
    """(T,) or (T, G) → the first of each run of equal codes."""
    return values[_run_starts(values)]


def ngrams(sequences: Sequence[np.ndarray], n: int, top: int) -> list[tuple[tuple[Hashable, ...], int]]:
    """The `top` commonest n codes in a row, counted within utterances: ((code, …), how often), the commonest first.

    A code that stays for many frames fills n-grams with itself: give the sequences through `without_repeats`.

    Args:
        sequences: one utterance each: (T,) codes, or (T, G), whose codes then are tuples.
    """
    found: Counter[tuple[Hashable, ...]] = Counter()
    for values in sequences:
        units = values.tolist() if values.ndim == 1 else [tuple(row) for row in values.tolist()]
        found.update(zip(*(units[i:] for i in range(n)), strict=False))
    return found.most_common(top)


def _run_starts(values: np.ndarray) -> np.ndarray:
    """(runs,) the positions at which a run of equal values begins."""
    rows = values.reshape(len(values), -1)  # (T, 1) or (T, G)
    changed = (rows[1:] != rows[:-1]).any(axis=1)  # (T - 1,)
    return np.flatnonzero(np.concatenate([[True], changed]))


def codebook_metrics(model: Wav2Vec2ForPreTraining, corpus: Corpus) -> dict[str, float]:
    """How the codes of all frames are used, and what they say about the phones.

    Returns:
        `usage_perplexity` between G and G·V; `pnmi` of phone and joined code, and `pnmi_shuffled`, what it would be if
        the codes knew nothing; `code_tuples`, how many joined codes occur.
    """
    coded = corpus_codes(model, corpus)
    explained = explained_phones(coded.phones, coded.joined)
    return {
        "usage_perplexity": float(sum(np.exp(entropy(np.bincount(book))) for book in coded.codes.T)),
        "pnmi": explained.pnmi,
        "pnmi_shuffled": explained.shuffled,
        "code_tuples": len(np.unique(coded.joined)),
    }
