"""Speaker verification: scores of pairs of recordings, detection errors, equal error rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Trials(NamedTuple):
    """The scores of P pairs of recordings."""

    scores: np.ndarray  # (P,) cosine similarities; high if both are probably by the same speaker
    is_same: np.ndarray  # (P,) bool, whether both are by the same speaker


class DetectionErrors(NamedTuple):
    """Error rates at rising thresholds, from the last without false rejects to the first without false accepts."""

    thresholds: np.ndarray  # (P',) rising; a pair is accepted where its score is at least the threshold
    false_accepts: np.ndarray  # (P',) share of the pairs of two speakers that are accepted
    false_rejects: np.ndarray  # (P',) share of the pairs of one speaker that are rejected


def all_pairs(embeddings: np.ndarray, speakers: Sequence[str]) -> Trials:
    """The n (n - 1) / 2 trials of all pairs of n recordings.

    Args:
        embeddings: (n, E), not normalized.
        speakers: (n,)
    """
    x = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    one, other = np.triu_indices(len(x), k=1)
    names = np.asarray(speakers)
    return Trials((x @ x.T)[one, other], names[one] == names[other])


def detection_errors(trials: Trials) -> DetectionErrors:
    """False accepts and false rejects at all thresholds (scikit-learn's detection error trade-off).

    Raises:
        ValueError: all pairs are by the same speaker, or none is.
    """
    scores, is_same = trials
    if is_same.all() or not is_same.any():
        same = is_same.sum()
        raise ValueError(f"{same} pairs of one speaker and {len(is_same) - same} of two: there must be some of both.")
    from sklearn.metrics import det_curve

    false_accepts, false_rejects, thresholds = det_curve(is_same, scores)
    return DetectionErrors(thresholds, false_accepts, false_rejects)


def error_rates_at(trials: Trials, threshold: float) -> tuple[float, float]:
    """False accepts and false rejects, as shares, at a threshold that was chosen on other speakers."""
    accepted = trials.scores >= threshold
    return float(accepted[~trials.is_same].mean()), float(1 - accepted[trials.is_same].mean())


def equal_error_rate(errors: DetectionErrors) -> tuple[float, float]:
    """The error rate at which false accepts and false rejects are equal, and the threshold there.

    Interpolates linearly where they are equal at none of the thresholds.
    """
    gap = errors.false_rejects - errors.false_accepts  # (P',) rises from <= 0 to >= 0
    rate = np.interp(0, gap, errors.false_accepts)
    finite = errors.thresholds[np.isfinite(errors.thresholds)]
    after = int(np.argmax(gap >= 0))  # the first threshold that rejects at least as often
    return float(rate), float(finite[min(after, len(finite) - 1)])
