"""Codes and phones: usage of the codebooks, P(phone | code), purity, dwell times (arXiv 2006.11477, Appendix D)."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from w2v2_teach.analysis.information import entropy, explained_phones
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.objectives import Wav2Vec2ForJointNextToken
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import frame_labels

QuantizingModel = Wav2Vec2ForPreTraining | Wav2Vec2ForJointNextToken  # they have `codes`
PHONE_CLASSES = {
    "vowel": "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW",
    "stop": "B D G K P T",
    "fricative": "CH DH F HH JH S SH TH V Z ZH",  # CH and JH, which end in a fricative, included
    "nasal": "M N NG",
    "liquid/glide": "L R W Y",
    "silence": "sil",
}
CLASS_OF = {label: name for name, labels in PHONE_CLASSES.items() for label in labels.split()}


def phone_class(label: str) -> str:
    """The class of a phone of the bundled corpus: "IY" → "vowel".

    Raises:
        ValueError: the bundled corpus has no such phone.
    """
    if label not in CLASS_OF:
        raise ValueError(f"{label!r} is no phone of the bundled corpus, which has {', '.join(sorted(CLASS_OF))}")
    return CLASS_OF[label]


def frame_codes(model: QuantizingModel, corpus: Corpus) -> list[np.ndarray]:
    """The codes of each utterance, (T, G) each, in the order of the corpus; leaves the model in evaluation mode."""

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[np.ndarray]:
        lengths = model.config.frame_lengths(attention_mask.sum(dim=1)).tolist()
        return [codes[:T] for codes, T in zip(model.codes(x).cpu().numpy(), lengths, strict=True)]  # (T, G) each

    return for_each_utterance(model, corpus, real_frames)


@dataclass(frozen=True)
class CodedCorpus:
    """The N frames of a corpus, without padding, with their codes and labels."""

    codes: np.ndarray  # (N, G) int, 0 … V - 1
    phones: np.ndarray  # (N,) phone at the center of the frame; empty without phone times
    words: np.ndarray  # (N,) word at the center of the frame; empty without word times
    speakers: np.ndarray  # (N,)
    utterances: np.ndarray  # (N,) int, which utterance of the corpus
    frames: np.ndarray  # (N,) int, which frame of the utterance
    entries: int  # V, of each codebook

    @property
    def joined(self) -> np.ndarray:
        """(N,) one number for the G codes of each frame: g₁ + V·g₂ + …"""
        return self.codes @ self.entries ** np.arange(self.codes.shape[1])

    def by_utterance(self, values: np.ndarray) -> list[np.ndarray]:
        """Split an (N, …) array over the frames of this corpus into its utterances, (T, …) each."""
        return np.split(values, np.flatnonzero(np.diff(self.utterances)) + 1)


def corpus_codes(model: QuantizingModel, corpus: Corpus) -> CodedCorpus:
    """The codes of all frames of a corpus, without Gumbel noise; leaves the model in evaluation mode."""
    codes = frame_codes(model, corpus)  # (T, G) each
    lengths = [len(c) for c in codes]
    times = [frame_times(model.config, T).numpy() for T in lengths]  # (T,) each, s
    return CodedCorpus(
        codes=np.concatenate(codes),
        phones=np.concatenate([frame_labels(u.phones, t) for u, t in zip(corpus, times, strict=True)]),
        words=np.concatenate([frame_labels(u.words, t) for u, t in zip(corpus, times, strict=True)]),
        speakers=np.repeat([u.speaker for u in corpus], lengths),
        utterances=np.repeat(np.arange(len(corpus)), lengths),
        frames=np.concatenate([np.arange(T) for T in lengths]),
        entries=model.config.num_codevectors_per_group,
    )


# --- usage -----------------------------------------------------------------------------------------------------------


def usage(codes: np.ndarray, entries: int) -> np.ndarray:
    """(N, G) codes → (G, V) number of frames that have each entry."""
    return np.stack([np.bincount(book, minlength=entries) for book in codes.T])


def pair_usage(codes: np.ndarray, entries: int) -> np.ndarray:
    """(N, 2) codes → (V, V) number of frames that have each pair of entries, by first and second codebook.

    Raises:
        ValueError: not two codebooks.
    """
    if codes.shape[1] != 2:
        raise ValueError(f"pairs need G = 2 codebooks; these codes have G = {codes.shape[1]}")
    pairs = np.zeros((entries, entries), dtype=np.int64)
    np.add.at(pairs, (codes[:, 0], codes[:, 1]), 1)
    return pairs


def usage_by(labels: Sequence, codes: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """`usage` for each label, such as a speaker or a phone: labels (N,), codes (N, G) → counts (labels, G, V), names.

    The names are sorted. Unlike `count_pairs`, the counts include entries that no frame has.
    """
    names, row = np.unique(labels, return_inverse=True)
    counts = np.stack([usage(codes[row == i], entries) for i in range(len(names))])
    return counts, names


# --- phones and codes ------------------------------------------------------------------------------------------------


class Conditional(NamedTuple):
    """P(row | column), and the counts from which it is estimated."""

    p: np.ndarray  # (rows, columns), each column sums to 1; nan in columns without frames
    counts: np.ndarray  # (rows, columns) frames

    @property
    def frames(self) -> np.ndarray:
        """(columns,) number of frames in each column."""
        return self.counts.sum(axis=0)


def conditional(counts: np.ndarray) -> Conditional:
    """Counts (rows, columns) → P(row | column): from counts (phones, codes), P(phone | code).

    `conditional(counts.T)` is P(code | phone).
    """
    frames = counts.sum(axis=0)  # (columns,)
    p = np.full(counts.shape, np.nan)
    np.divide(counts, frames, out=p, where=frames > 0)
    return Conditional(p, counts)


class Purity(NamedTuple):
    """Phone purity and cluster purity (HuBERT, arXiv 2106.07447, Section IV-E)."""

    phone: float  # share of frames whose phone is the most frequent one of their code
    cluster: float  # share of frames whose code is the most frequent one of their phone


def purity(counts: np.ndarray) -> Purity:
    """Phone purity and cluster purity; the first rises if codes are split, the second if they are merged.

    Args:
        counts: (phones, codes); rows and columns without frames are allowed.
    """
    frames = counts.sum()
    return Purity(float(counts.max(axis=0).sum() / frames), float(counts.max(axis=1).sum() / frames))


class ConditionalEntropies(NamedTuple):
    """Conditional entropies of rows and columns, in nats."""

    row_given_column: float  # H(phone | code), if phones are the rows
    column_given_row: float  # H(code | phone)


def conditional_entropies(counts: np.ndarray) -> ConditionalEntropies:
    """H(row | column) = H(row, column) - H(column), and vice versa, from counts (rows, columns)."""
    both = entropy(counts)
    return ConditionalEntropies(both - entropy(counts.sum(axis=0)), both - entropy(counts.sum(axis=1)))


# --- in time ---------------------------------------------------------------------------------------------------------


def dwell_times(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """The lengths of all runs of equal codes, in frames.

    Args:
        sequences: of each utterance, (T,) codes of a codebook, (T, G) codes of all codebooks, or (T,) phones.
    """
    return np.concatenate([np.diff(_run_starts(values), append=len(values)) for values in sequences])


def without_repeats(values: np.ndarray) -> np.ndarray:
    """(T,) or (T, G) codes → the first of each run of equal codes."""
    return values[_run_starts(values)]


def ngrams(sequences: Sequence[np.ndarray], n: int, top: int) -> list[tuple[tuple[Hashable, ...], int]]:
    """The most frequent n-grams of codes within utterances, as ((code, …), count), in falling order of counts.

    Args:
        sequences: of each utterance, (T,) codes, or (T, G), whose codes are tuples. Apply `without_repeats` first, or
            long runs of one code dominate.
        n: codes in an n-gram.
        top: number of n-grams to return.
    """
    found: Counter[tuple[Hashable, ...]] = Counter()
    for values in sequences:
        units = values.tolist() if values.ndim == 1 else [tuple(row) for row in values.tolist()]
        found.update(zip(*(units[i:] for i in range(n)), strict=False))
    return found.most_common(top)


def _run_starts(values: np.ndarray) -> np.ndarray:
    """(runs,) the positions at which runs of equal values begin."""
    rows = values.reshape(len(values), -1)  # (T, 1) or (T, G)
    changed = (rows[1:] != rows[:-1]).any(axis=1)  # (T - 1,)
    return np.flatnonzero(np.concatenate([[True], changed]))


def codebook_metrics(model: QuantizingModel, corpus: Corpus) -> dict[str, float]:
    """Usage of the codes of all frames, and their mutual information with the phones.

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
