"""Numbers about what a model has learned; nothing here draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2v2_teach.audio import SAMPLE_RATE
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.corpus import Interval
from w2v2_teach.feature_encoder import receptive_field


def frame_times(config: Wav2Vec2Config, frames: int) -> np.ndarray:
    """(T,) the middle of each frame's receptive field, in seconds."""
    field = receptive_field(config)[-1]
    return (np.arange(frames) * field.hop + field.samples / 2) / SAMPLE_RATE


def frame_labels(intervals: Sequence[Interval], times: np.ndarray) -> np.ndarray:
    """(T,) the label of the interval that holds each time (s); empty where none does.

    Args:
        intervals: in order, without overlap; phones or words of an utterance.
    """
    starts = np.array([interval.start for interval in intervals])
    ends = np.array([interval.end for interval in intervals])
    labels = np.array([interval.label for interval in intervals])
    index = np.searchsorted(starts, times, side="right") - 1
    return np.where((index >= 0) & (times < ends[index]), labels[index], "")


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


def phone_normalised_mutual_information(counts: np.ndarray) -> float:
    """PNMI: the share of the phones' entropy that the codes explain, I(phone; code) / H(phone), in [0, 1].

    From HuBERT (arXiv 2106.07447, Section V-C). Many codes for few frames raise it without saying anything about
    phones; compare it with an untrained quantizer's, on the same frames.

    Args:
        counts: (phones, codes)
    """
    phones = entropy(counts.sum(axis=1))
    return (phones + entropy(counts.sum(axis=0)) - entropy(counts)) / phones
