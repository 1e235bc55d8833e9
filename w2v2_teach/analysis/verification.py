"""Are two recordings of the same speaker? Scores of pairs, the two ways to err, and where both are equally frequent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Trials(NamedTuple):
    """Pairs of recordings."""

    scores: np.ndarray  # (P,) cosines: the higher, the likelier one speaker
    is_same: np.ndarray  # (P,) bool, whether it is one


class DetectionErrors(NamedTuple):
    """What goes wrong at each threshold, from one that accepts every pair to one that accepts none."""

    thresholds: np.ndarray  # (P',) rising; a pair is accepted where its score is at least the threshold
    false_accepts: np.ndarray  # (P',) share of the pairs of two speakers that are accepted
    false_rejects: np.ndarray  # (P',) share of the pairs of one speaker that are not


def all_pairs(embeddings: np.ndarray, speakers: Sequence[str]) -> Trials:
    """Every recording with every other, once: n (n - 1) / 2 trials.

    Args:
        embeddings: (n, E), of any length.
        speakers: (n,)
    """
    x = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    one, other = np.triu_indices(len(x), k=1)
    names = np.asarray(speakers)
    return Trials((x @ x.T)[one, other], names[one] == names[other])


def detection_errors(trials: Trials) -> DetectionErrors:
    """Both shares of errors at every threshold that makes a difference.

    Raises:
        ValueError: no pair of one speaker, or none of two.
    """
    scores, is_same = trials
    same, different = is_same.sum(), (~is_same).sum()
    if same == 0 or different == 0:
        raise ValueError(f"{same} pairs of one speaker and {different} of two: there must be some of both.")
    order = np.argsort(scores, kind="stable")
    scores, is_same = scores[order], is_same[order]
    first = np.flatnonzero(np.diff(scores, prepend=-np.inf) > 0)  # of each run of equal scores
    below_same = np.concatenate([[0], np.cumsum(is_same)])  # (P + 1,) pairs of one speaker among the p lowest
    at = np.append(first, len(scores))
    thresholds = np.append(scores[first], np.inf)
    return DetectionErrors(thresholds, 1 - (at - below_same[at]) / different, below_same[at] / same)


def error_rates_at(trials: Trials, threshold: float) -> tuple[float, float]:
    """False accepts and false rejects, as shares, of a threshold that was chosen elsewhere."""
    accepted = trials.scores >= threshold
    return float(accepted[~trials.is_same].mean()), float(1 - accepted[trials.is_same].mean())


def equal_error_rate(errors: DetectionErrors) -> tuple[float, float]:
    """The share of errors where both are equally frequent, and the threshold there.

    Where both jump over each other between two thresholds, the line between them says where they would meet.
    """
    gap = errors.false_rejects - errors.false_accepts  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))  # the first threshold that rejects at least as often
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])  # of the way from before to after
    rate = errors.false_accepts[before] + share * (errors.false_accepts[after] - errors.false_accepts[before])
    return float(rate), float(errors.thresholds[after if np.isfinite(errors.thresholds[after]) else before])
