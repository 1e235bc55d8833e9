"""Figures of the other objectives: who sees whom, how far, the copy shortcut, collapse, and tables of ablations."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from w2v2_teach.course.plots.attention import draw_map
from w2v2_teach.course.plots.pretraining import draw_runs
from w2v2_teach.course.plots.speech import Intervals, draw_intervals, draw_waveform
from w2v2_teach.course.plots.style import COLORS, LINES, Arrays, subplots, titled


def maps(attentions: Arrays, words: Intervals, times: np.ndarray) -> Figure:
    """Attention maps (T, T) side by side, each on its own color scale."""
    figure, axes = subplots(13, 5.8, columns=len(attentions))
    for ax, weights in titled(axes, attentions):
        draw_map(ax, weights, words, times, vmin=0, vmax=len(weights) * np.quantile(weights, 0.99))
    return figure


def reach(gradients: Arrays, window: tuple[float, float], step: float) -> Figure:
    """Which samples move the context of one frame.

    `gradients` is name → largest gradient (n,) in each stretch of `step` seconds, 0 drawn as nothing; `window` is the
    frame's own, in seconds.
    """
    figure, axes = subplots(12, 5, rows=len(gradients), sharex=True, sharey=True)
    highest = max(map(np.max, gradients.values()))
    for ax, values in titled(axes, gradients):
        starts = np.arange(len(values)) * step
        ax.bar(starts, np.where(values > 0, values, np.nan), width=step, align="edge", color=COLORS["c"])
        ax.axvspan(*window, color=COLORS["lit"], alpha=0.35, linewidth=0)
        ax.set(yscale="log", ylim=(highest * 1e-6, highest * 5), xlim=(0, len(values) * step))
    axes[0].text(window[1] + 0.02, highest, "the frame's own 25 ms", color=COLORS["lit text"], fontsize=13, va="center")
    axes[-1].set_xlabel("time of the sample (s)")
    figure.supylabel("gradient", fontsize=14)
    return figure


class Curve(NamedTuple):
    """A line over the step k."""

    steps: Sequence[int]
    values: Sequence[float]


def over_steps(curves: Mapping[str, Curve], guess: float, label: str) -> Figure:
    """Something between 0 and 1 over how many frames ahead is guessed; `guess`: where knowing nothing leads."""
    figure, ax = subplots(11, 4.8)
    for (name, curve), (color, line, marker) in zip(curves.items(), LINES, strict=False):
        ax.plot(curve.steps, curve.values, line, color=color, marker=marker, markersize=8, linewidth=2.5, label=name)
    ax.axhline(guess, color=COLORS["muted"], linewidth=1.5, label="knowing nothing")
    last = max(max(curve.steps) for curve in curves.values())
    ax.set(xlabel="k, frames ahead (20 ms each)", ylabel=label, ylim=(0, None), xticks=range(1, last + 1))
    ax.legend(loc="upper right")
    return figure


def trainings(runs: Mapping[str, Sequence[Mapping]], panels: Mapping[str, tuple[str, float]]) -> Figure:
    """Trainings side by side, from a trainer's records: a panel for each key, (its title, top of its axis)."""
    figure, axes = subplots(13, 4.4, columns=len(panels))
    for ax, (key, (title, top)) in zip(axes, panels.items(), strict=True):
        draw_runs(ax, runs, key, markersize=7, linewidth=2)
        ax.set(title=title, ylim=(-0.03 * top, top))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs))
    return figure


class Spread(NamedTuple):
    """What several seeds gave."""

    mean: float
    low: float
    high: float


def ablation(panels: Mapping[str, Mapping[str, Spread | float]], rows: Sequence[str], lit: str) -> Figure:
    """A table as dots with the range over the seeds: a panel for each measure, a line for each row.

    `panels` is title → row → spread, or one number; rows that a measure does not have are left out. The others are
    compared with the row `lit`: it is marked, and its range is drawn through the panel.
    """
    figure, axes = subplots(14, 1.7 + 0.62 * len(rows), columns=len(panels), sharey=True)
    places = {row: -i for i, row in enumerate(rows)}
    for ax, values in titled(axes, panels):
        for row, value in values.items():
            y = places[row]
            color, marker = (COLORS["lit"], "s") if row == lit else (COLORS["c"], "o")
            if isinstance(value, Spread):
                ax.plot([value.low, value.high], [y, y], color=color, linewidth=4, alpha=0.5, solid_capstyle="round")
                if row == lit:
                    ax.axvspan(value.low, value.high, color=color, alpha=0.12, linewidth=0)
            ax.plot(value.mean if isinstance(value, Spread) else value, y, marker, color=color, markersize=11)
        ax.set(yticks=list(places.values()), yticklabels=rows, ylim=(0.6 - len(rows), 0.6))
        ax.margins(x=0.25)
        ax.locator_params(axis="x", nbins=4)
        ax.grid(axis="x", alpha=0.4)
        ax.tick_params(axis="y", length=0)
    return figure


def copy_guess(
    waveform: np.ndarray, phones: Intervals, scores: np.ndarray, times: np.ndarray, *, frame: int, k: int
) -> Figure:
    """How much every frame looks like one of them: the copy's guess for what comes k frames later.

    `scores` (T,) are the cosines of each frame with `frame`, which is copied; `times` (T,) the frames' centers in
    seconds.
    """
    figure, (sound, strip, ax) = subplots(12, 5.6, rows=3, sharex=True, height_ratios=(2, 0.9, 4))
    draw_waveform(sound, waveform)
    sound.set(xlabel="", ylabel="")
    draw_intervals(strip, phones, "")
    ax.plot(times, scores, "-", color=COLORS["z"], linewidth=1.5)
    ax.plot(times[frame], scores[frame], "D", color=COLORS["muted"], markersize=11, label="the present frame, copied")
    ax.plot(times[frame + k], scores[frame + k], "o", color=COLORS["q"], markersize=13, label=f"the true one, k = {k}")
    better = np.flatnonzero(scores > scores[frame + k])
    better = better[better != frame]
    ax.plot(times[better], scores[better], "x", color=COLORS["lit"], markersize=8, label="look more like the copy")
    low = scores.min()
    ax.set(xlabel="time (s)", ylabel="cosine with the copy", ylim=(low - 0.05, 1 + 0.45 * (1 - low)))
    ax.legend(loc="upper left", ncols=3)
    return figure
