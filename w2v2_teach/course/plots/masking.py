"""Figures of masking: spans, how long and how many they are, what they hide, and what the network learns from them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.pretraining import draw_runs
from w2v2_teach.course.plots.speech import Intervals, draw_frames, draw_strip, draw_waveform, frame_edges
from w2v2_teach.course.plots.style import COLORS, LINES, Arrays, subplots, without_lines

VISIBLE, HIDDEN = "#FBE3B8", "#3B3B3B"  # light as z, and dark: apart without color, too
KEY = [Patch(facecolor=VISIBLE, edgecolor="#888888", label="visible"), Patch(facecolor=HIDDEN, label="hidden")]


def spans_by_hand(starts: Sequence[int], M: int, mask: np.ndarray) -> Figure:
    """One row per span of M frames, and below them the mask (T,) that they make together."""
    figure, ax = subplots(10, 0.75 * len(starts) + 1.9)
    names = [f"span from {start}" for start in starts] + ["mask"]
    frames = np.arange(len(mask))  # (T,)
    for row, hidden in enumerate([*(np.isin(frames, start + np.arange(M)) for start in starts), mask]):
        colors = np.where(hidden, HIDDEN, VISIBLE)
        ax.barh(row, 0.94, left=frames - 0.47, height=0.8, color=colors, edgecolor="#888888")
    ax.axhline(len(starts) - 0.5, color="black", linewidth=1.5)
    ax.set(yticks=range(len(names)), yticklabels=names, xticks=frames, xlabel="frame t")
    ax.invert_yaxis()
    without_lines(ax)
    figure.legend(handles=KEY, loc="outside upper right", ncols=2)
    return figure


def share_over_product(
    product: np.ndarray, formula: Mapping[int, np.ndarray], asked: np.ndarray, drawn: Mapping[int, np.ndarray]
) -> Figure:
    """Share of masked frames over p·M: what it would be without overlap, the formula, and what was drawn.

    `formula` is M → the share that it gives at the products p·M (n,), `drawn` M → the share that masks hide which were
    drawn with p·M as `asked` (k,).
    """
    figure, ax = subplots(10, 4.8)
    ax.plot(product, product, ":", color="#555555", linewidth=2)
    ax.text(0.8, 0.83, "no overlap: p·M", rotation=26, ha="center", fontsize=13, color="#555555")
    for (M, curve), (color, line, marker) in zip(formula.items(), LINES, strict=False):
        ax.plot(product, curve, line, color=color, linewidth=1.5)
        ax.plot(asked, drawn[M], linestyle="none", marker=marker, color=color, markersize=8, label=f"M = {M}")
    ax.axvline(0.65, color=COLORS["lit"], linestyle="--", linewidth=1.5)
    ax.text(0.655, 0.04, "p·M = 0.65, the paper's", fontsize=13, color=COLORS["lit text"])
    ax.set(xlabel="p·M: what is asked for", ylabel="share that is masked", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(loc="upper left", title="lines: formula; marks: drawn", title_fontsize=13, alignment="left")
    return figure


def span_lengths(lengths: np.ndarray, title: str) -> Figure:
    """How often each length of a hidden stretch, in frames, occurs; `lengths` has one entry per stretch."""
    figure, ax = subplots(10, 4.6)
    draw_lengths(ax, lengths)
    ax.set_title(title)
    return figure


def draw_lengths(ax: Axes, lengths: np.ndarray) -> None:
    """A histogram on a logarithmic axis, with mean and median."""
    values, counts = np.unique(lengths, return_counts=True)
    ax.bar(values, counts / counts.sum(), width=1.0, color=COLORS["c"])
    mean, median = lengths.mean(), np.median(lengths)
    ax.axvline(mean, color=COLORS["lit"], linestyle="--", linewidth=2, label=f"mean {mean:.1f}")
    ax.axvline(median, color="black", linestyle=":", linewidth=2, label=f"median {median:.0f}")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    ax.set(xlabel="length of a hidden stretch (frames)", ylabel="share of the stretches")
    ax.set(xlim=(0, 1.05 * max(values.max(), 4)), ylim=(0.5 / counts.sum(), 1.2))
    ax.legend(loc="upper right")


def rows(masks: Arrays, times: np.ndarray) -> Figure:
    """Masks of several utterances, (B, T) each, one panel per variant."""
    lines = [len(mask) for mask in masks.values()]
    height = 1.0 + sum(0.9 + 0.17 * n for n in lines)
    figure, _ = subplots(11, height, rows=len(masks), sharex=True, height_ratios=lines)
    for ax, (title, mask) in zip(figure.axes, masks.items(), strict=True):
        draw_rows(ax, mask, times)
        ax.set_title(title, loc="left")
    figure.axes[-1].set_xlabel("time (s)")
    figure.legend(handles=KEY, loc="outside upper right", ncols=2)
    return figure


def draw_rows(ax: Axes, mask: np.ndarray, times: np.ndarray) -> None:
    """One row per utterance of a mask (B, T), dark where frames are masked."""
    draw_frames(ax, mask, times, cmap=ListedColormap([VISIBLE, HIDDEN]), vmin=0, vmax=1)
    ax.hlines(range(1, len(mask)), *frame_edges(times)[[0, -1]], color="white", linewidth=2)
    ax.set(yticks=[], ylabel="utterances")
    ax.spines[:].set_visible(False)


def settings(mask: np.ndarray, lengths: np.ndarray, times: np.ndarray, title: str) -> Figure:
    """The masks of a few utterances (B, T), and beside them how long the hidden stretches of many are."""
    figure, (left, right) = subplots(13, 5, columns=2, width_ratios=(1.3, 1))
    draw_rows(left, mask, times)
    left.set(title=title, xlabel="time (s)")
    left.legend(handles=KEY, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    draw_lengths(right, lengths)
    right.set_title("Hidden stretches")
    return figure


def masked_utterance(
    waveform: np.ndarray, mask: np.ndarray, words: Intervals, phones: Intervals, times: np.ndarray
) -> Figure:
    """A waveform (L,) with its words, phones and frames (T,); where frames are hidden the waveform is shaded."""
    figure, axes = subplots(13, 5.4, rows=4, sharex=True, height_ratios=(0.7, 1.1, 4, 0.6))
    draw_strip(axes[0], words, "words")
    draw_strip(axes[1], phones, "phones")
    draw_waveform(axes[2], waveform)
    for frame in np.flatnonzero(mask):
        axes[2].axvspan(*frame_edges(times)[frame : frame + 2], color=HIDDEN, alpha=0.3, linewidth=0)
    draw_rows(axes[3], mask[None], times)
    axes[2].set_xlabel("")
    axes[3].set(xlabel="time (s)", xlim=(0, len(waveform) / SAMPLE_RATE))
    axes[3].set_ylabel("frames of x", rotation=0, ha="right", va="center")
    axes[2].tick_params(bottom=False, labelbottom=False)
    axes[2].spines["bottom"].set_visible(False)
    figure.legend(handles=KEY, loc="outside upper right", ncols=2)
    return figure


def ruler(track: np.ndarray, hole: slice, hop: float, explained: Mapping[int, float]) -> Figure:
    """A straight line over a hole in one frequency's track (T,), and how much such lines explain by length of hole."""
    figure, (left, right) = subplots(13, 4.6, columns=2, width_ratios=(1.3, 1))
    times = np.arange(len(track)) * hop
    left.plot(times, track, "o-", color=COLORS["c"], markersize=4, label="power of one band")
    left.axvspan(times[hole.start] - hop / 2, times[hole.stop] - hop / 2, color=HIDDEN, alpha=0.2, linewidth=0)
    ends = [hole.start - 1, hole.stop]
    left.plot(times[ends], track[ends], "s--", color=COLORS["lit"], linewidth=2.5, label="straight line over the hole")
    low, high = track.min(), track.max()
    left.set(xlabel="time (s)", ylabel="log power", ylim=(low - 0.05 * (high - low), high + 0.4 * (high - low)))
    left.set_title(f"A hole of {hole.stop - hole.start} frames")
    left.legend(loc="upper left", ncols=2)

    bars = right.bar([str(M) for M in explained], list(explained.values()), color=COLORS["z"], edgecolor="#8A5C00")
    right.bar_label(bars, [f"{value:.2f}" for value in explained.values()], fontsize=13, padding=2)
    right.axhline(0, color="black", linewidth=1.5)
    right.set(xlabel="frames in the hole", ylabel="variance explained", ylim=(-0.6, 1), title="What the line explains")
    return figure


def learning(runs: Mapping[str, Sequence[Mapping[str, float]]], guess: Mapping[str, float], title: str) -> Figure:
    """Accuracy and loss over updates, side by side.

    `runs` is name → records; `guess` has the "accuracy" and the "contrastive_loss" of guessing.
    """
    figure, axes = subplots(13, 4.8, columns=2)
    figure.suptitle(title, fontsize=16)
    for ax, key, name in zip(axes, ("accuracy", "contrastive_loss"), ("accuracy", "loss (nats)"), strict=True):
        ax.axhline(guess[key], color=COLORS["muted"], linewidth=2.5, label="guessing")
        draw_runs(ax, runs, key, markersize=5)
        ax.set(ylabel=name, xlim=(0, None))
        ax.margins(y=0.12)
    axes[0].set_ylim(bottom=0)
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs) + 1)
    return figure
