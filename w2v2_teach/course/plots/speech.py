"""What every part of the course draws of an utterance: its waveform, its spectrogram, its phones and words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.style import COLORS, SEQUENTIAL
from w2v2_teach.speech.intervals import Interval

Intervals = Sequence[Interval]  # phones or words, in their order
# The colors of spectrograms: steps, to be told apart from the back row, and a fraction of a smooth map's bytes.
STEPS = colormaps[SEQUENTIAL].resampled(20)


def draw_waveform(ax: Axes, x: np.ndarray, sample_rate: int = SAMPLE_RATE, color: str = COLORS["x"]) -> None:
    """Amplitude of a waveform (L,) over time in seconds."""
    ax.plot(np.arange(len(x)) / sample_rate, x, color=color, linewidth=0.8)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(x) / sample_rate))


def draw_spectrogram(ax: Axes, power_db: np.ndarray, duration: float, top_hz: float = SAMPLE_RATE / 2) -> None:
    """A spectrogram in decibels, (frequencies, frames), from 0 to `top_hz`."""
    image = ax.imshow(power_db, origin="lower", extent=(0, duration, 0, top_hz / 1000), cmap=STEPS)
    ax.set(xlabel="time (s)", ylabel="frequency (kHz)")
    ax.figure.colorbar(image, ax=ax, label="power (dB)", pad=0.01)


def frame_edges(times: np.ndarray) -> np.ndarray:
    """Centers of frames (T,) → their borders (T + 1,), half a hop before and after each center; two frames or more."""
    half = (times[1] - times[0]) / 2
    return np.append(times - half, times[-1] + half)


def draw_intervals(ax: Axes, intervals: Intervals, label: str) -> None:
    """One labeled strip per phone or word; an axis of its own, to stand above or below a waveform."""
    whole = intervals[-1].end - intervals[0].start
    for i, (start, end, name) in enumerate(intervals):
        ax.axvspan(start, end, color=COLORS["z"], alpha=0.35 if i % 2 else 0.15, linewidth=0)
        crowded = end - start < 0.012 * len(name) * whole  # then it stands above or below its neighbors
        height = (0.76 if i % 2 else 0.24) if crowded else 0.5
        ax.text((start + end) / 2, height, name, ha="center", va="center", fontsize=12, clip_on=True)
    ax.set(yticks=[], ylim=(0, 1), ylabel=label)
    ax.yaxis.label.set(rotation=0, ha="right", va="center")
    ax.spines["left"].set_visible(False)


def draw_strip(ax: Axes, intervals: Intervals, label: str) -> None:
    """`draw_intervals` above something with the same time axis: without its own."""
    draw_intervals(ax, intervals, label)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(bottom=False, labelbottom=False)


def draw_frames(ax: Axes, values: np.ndarray, times: np.ndarray, **look: Any) -> AxesImage:
    """Something of each frame, (rows, T), as a picture, row 0 at the top."""
    start, *_, end = frame_edges(times)
    return ax.imshow(values, extent=(start, end, len(values), 0), **look)
