"""Stretches of an utterance and what is said in them: phones and words with their times."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A stretch of an utterance and what is said in it."""

    start: float  # s
    end: float  # s
    label: str  # a phone or a word


def label_at(intervals: Iterable[Interval], time: float) -> str:
    """The label of the interval that holds `time` (s); empty where none does."""
    return next((interval.label for interval in intervals if interval.start <= time < interval.end), "")


def frame_labels(intervals: Sequence[Interval], times: ArrayLike) -> np.ndarray:
    """(T,) the label of the interval that holds each time (s); empty where none does.

    Args:
        intervals: in order, without overlap; phones or words of an utterance.
    """
    times = np.asarray(times)  # (T,)
    if not intervals:
        return np.full(len(times), "")
    starts = np.array([interval.start for interval in intervals])
    ends = np.array([interval.end for interval in intervals])
    labels = np.array([interval.label for interval in intervals])
    index = np.searchsorted(starts, times, side="right") - 1
    return np.where((index >= 0) & (times < ends[index]), labels[index], "")
