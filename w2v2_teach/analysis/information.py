"""Entropy and mutual information of labels and codes, from tables of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def count_pairs(rows: Sequence, columns: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each label meets each code.

    Args:
        rows: (N,) one label a frame.
        columns: (N,) one code a frame.

    Returns:
        counts (labels, codes), the labels and the codes that occur, both sorted.
    """
    labels, row = np.unique(rows, return_inverse=True)
    codes, column = np.unique(columns, return_inverse=True)
    counts = np.zeros((len(labels), len(codes)), dtype=np.int64)
    np.add.at(counts, (row, column), 1)
    return counts, labels, codes


def entropy(counts: np.ndarray) -> float:
    """Entropy in nats of the distribution that the counts, of any shape, stand for."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def phone_normalized_mutual_information(counts: np.ndarray) -> float:
    """PNMI: the share of the phones' entropy that the codes explain, I(phone; code) / H(phone), in [0, 1].

    From HuBERT (arXiv 2106.07447, Section V-C). Many codes for few frames raise it without saying anything about
    phones; compare it with an untrained quantizer's, on the same frames.

    Args:
        counts: (phones, codes)
    """
    phones = entropy(counts.sum(axis=1))
    return (phones + entropy(counts.sum(axis=0)) - entropy(counts)) / phones


class Explained(NamedTuple):
    """PNMI, and what of it is due to the number of codes alone."""

    pnmi: float
    shuffled: float  # the same after the codes have been dealt to the frames at random


def explained_phones(phones: np.ndarray, codes: np.ndarray, seed: int = 0) -> Explained:
    """PNMI of (N,) phones and (N,) codes, beside its value for shuffled codes: compare differences, not PNMIs."""
    shuffled = np.random.default_rng(seed).permutation(codes)
    return Explained(*(phone_normalized_mutual_information(count_pairs(phones, c)[0]) for c in (codes, shuffled)))
