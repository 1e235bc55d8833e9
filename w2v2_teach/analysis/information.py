"""Entropy and mutual information of labels and codes, from tables of counts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


def count_pairs(rows: ArrayLike, columns: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contingency table: how many frames have each label and each code.

    Args:
        rows: (N,) the label of each frame.
        columns: (N,) the code of each frame.

    Returns:
        counts (labels, codes), the labels and the codes that occur, both sorted.
    """
    labels, row = np.unique(rows, return_inverse=True)
    codes, column = np.unique(columns, return_inverse=True)
    counts = np.zeros((len(labels), len(codes)), dtype=np.int64)
    np.add.at(counts, (row, column), 1)
    return counts, labels, codes


def entropy(counts: ArrayLike, axis: int | None = None) -> np.ndarray:
    """Entropy in nats, -Σ p log p, of the distributions along `axis`, or of all entries together.

    Args:
        counts: counts or probabilities of any shape; they are divided by their sum.
        axis: the axis of a distribution; None for a single distribution, whose entropy is a scalar.
    """
    counts = np.asarray(counts, dtype=np.float64)
    p = counts / counts.sum(axis=axis, keepdims=True)
    return -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(axis=axis)


def phone_normalized_mutual_information(counts: np.ndarray) -> float:
    """PNMI: the share of the phones' entropy that the codes explain, I(phone; code) / H(phone), in [0, 1].

    From HuBERT (arXiv 2106.07447, Section IV-E). Many codes for few frames raise it, whatever the codes say about
    phones: compare it with the PNMI of an untrained quantizer or of shuffled codes on the same frames.

    Args:
        counts: (phones, codes)
    """
    phones = entropy(counts.sum(axis=1))
    return float((phones + entropy(counts.sum(axis=0)) - entropy(counts)) / phones)


class Explained(NamedTuple):
    """PNMI, and what of it is due to the number of codes alone."""

    pnmi: float
    shuffled: float  # the same after the codes have been dealt to the frames at random


def explained_phones(phones: np.ndarray, codes: np.ndarray) -> Explained:
    """PNMI of (N,) phones and (N,) codes, beside its value for shuffled codes: compare differences, not PNMIs."""
    shuffled = np.random.default_rng(0).permutation(codes)
    return Explained(*(phone_normalized_mutual_information(count_pairs(phones, c)[0]) for c in (codes, shuffled)))
