"""Speaker verification: scores of pairs of recordings, detection errors, equal error rate."""

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


def resampled_equal_error_rates(
    embeddings: np.ndarray, speakers: Sequence[str], draws: int = 1000, seed: int = 0
) -> np.ndarray:
    """The equal error rate of all pairs, had other speakers of the same kind been there: (draws,).

    Bootstrap: speakers are drawn with replacement, as many as there are, and the trials counted again: pairs of one
    speaker as often as that one is drawn, pairs of two as often as both are. (Pairs share voices: an interval from
    drawing pairs would be far too narrow, arXiv 2306.01198.) NaN where a draw has no pairs of both kinds. The same
    seed draws the same speakers, so that two embeddings can be compared draw by draw.

    Args:
        embeddings: (n, E), not normalized.
        speakers: (n,)
        draws: how many, and
        seed: of which.
    """
    trials = all_pairs(embeddings, speakers)
    order = np.argsort(trials.scores)
    scores, is_same = (part[order] for part in trials)  # (P,) by rising score
    names, speaker = np.unique(speakers, return_inverse=True)  # (S,), (n,)
    one, other = (speaker[side[order]] for side in np.triu_indices(len(speaker), k=1))  # (P,)
    generator, rates = np.random.default_rng(seed), np.full(draws, np.nan)
    for draw in range(draws):
        times = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))  # (S,)
        weights = times[one] * np.where(is_same, 1, times[other])  # (P,)
        same, different = np.cumsum(weights * is_same), np.cumsum(weights * ~is_same)  # (P,) up to each score
        if same[-1] and different[-1]:
            errors = DetectionErrors(scores, 1 - different / different[-1], same / same[-1])
            rates[draw] = equal_error_rate(errors)[0]
    return rates


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a figure from its resampled values (draws,), without those that are NaN."""
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return float(low), float(high)


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
