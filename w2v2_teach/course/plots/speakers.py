"""Figures about speakers: embeddings on a circle, margins, and the two ways to err in verification."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc

from w2v2_teach.analysis.verification import DetectionErrors, Trials
from w2v2_teach.course.plots.contrastive import draw_circle
from w2v2_teach.course.plots.style import COLORS, LINES, Arrays, draw_lines, subplots, titled

CLASSES = [(COLORS[k], marker) for k, marker in zip(("c", "lit", "q", "loss", "z", "x"), "os^DvP", strict=True)]
OTHER: dict[str, Any] = {"color": COLORS["lit"], "hatch": "//", "edgecolor": "white"}  # histograms of other speakers
ndtri = np.vectorize(NormalDist().inv_cdf)  # a share → how many standard deviations from the middle it ends at
SHARES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)  # ticks of a DET curve


def one_margin(angle: float, other: float, margin: float) -> Figure:
    """An embedding between two classes, and where the margin puts it; the own class lies at 0°, all in degrees."""
    figure, ax = subplots(6.4, 5.2)
    draw_circle(ax)
    for degrees, color, name in ((0, COLORS["c"], "own class"), (other, COLORS["lit"], "other class")):
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 4})
        ax.text(1.08 * x - 0.1 * y, 1.08 * y, name, color=color, fontsize=15, va="bottom")
    for degrees, dash, name in ((angle, "-", "x"), (angle + margin, "--", "x, as the loss sees it")):
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        ax.plot([0, x], [0, y], dash, color="black", linewidth=2.5)
        ax.plot(x, y, "o", color="black", markersize=9)
        ax.text(1.08 * x, 1.08 * y, name, fontsize=15, va="bottom")
    for start, end, radius, text in ((0, angle, 0.42, "θ"), (angle, angle + margin, 0.62, "m")):
        ax.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=start, theta2=end, linewidth=2, edgecolor="black"))
        middle = np.radians((start + end) / 2)
        ax.text((radius + 0.09) * np.cos(middle), (radius + 0.09) * np.sin(middle), text, fontsize=16, ha="center")
    ax.set(xlim=(-0.15, 2.0), ylim=(-0.15, 1.3))
    return figure


def target_logits(angles: np.ndarray, curves: Arrays, margin: float) -> Figure:
    """What the own class gets over the angle to it, name → (A,); `angles` and `margin` in degrees."""
    figure, ax = subplots(9.5, 4.8)
    draw_lines(ax, curves, angles, marked=False, linewidth=2.5, legend="lower left")
    for place, text in ((90, "90°"), (180 - margin, "180° − m")):
        ax.axvline(place, color=COLORS["muted"], linewidth=1)
        ax.text(place + 1.5, 0.93, text, fontsize=13, color="#555555")
    ax.set(xlabel="angle θ to the own class (degrees)", ylabel="logit over s", xlim=(0, 180), xticks=range(0, 181, 30))
    return figure


Toy = tuple[np.ndarray, np.ndarray, np.ndarray]  # embeddings (n, 2), labels (n,), class weights (S, 2)


def circles(panels: Mapping[str, Toy]) -> Figure:
    """Embeddings in two dimensions, the classes' directions, and where one class ends and the next begins."""
    figure, axes = subplots(0.4 + 6 * len(panels), 5.8, columns=len(panels))
    for ax, (embeddings, labels, weights) in titled(axes, panels):
        reach = 1.15 * max(np.abs(embeddings).max(), 1e-6)
        around = np.linspace(-np.pi, np.pi, 721)
        directions = np.stack([np.cos(around), np.sin(around)], axis=1)  # (A, 2)
        nearest = (directions @ weights.T).argmax(axis=1)  # (A,) who would be said to speak
        for edge in np.flatnonzero(np.diff(nearest)):
            x, y = 2 * reach * directions[edge]
            ax.plot([0, x], [0, y], color=COLORS["muted"], linewidth=1.5, linestyle="--", zorder=1)
        for number, (color, marker) in enumerate(CLASSES[: len(weights)]):
            own = embeddings[labels == number]
            ax.scatter(*own.T, color=color, marker=marker, s=26, alpha=0.6, linewidth=0, zorder=2)
            w = 0.92 * reach * weights[number] / np.linalg.norm(weights[number])
            ax.annotate("", w, (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 3}, zorder=3)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return figure


def angle_histograms(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Angles of embeddings to their own class and to the nearest other one, in degrees: name → ((n,), (n,))."""
    figure, axes = subplots(0.4 + 6 * len(panels), 3.8, columns=len(panels), sharey=True)
    bins = np.arange(0, 181, 3)
    for ax, (own, other) in titled(axes, panels):
        ax.hist(own, bins, color=COLORS["c"], alpha=0.8, label="to the own class")
        ax.hist(other, bins, alpha=0.5, label="to the nearest other", **OTHER)
        ax.set(xlabel="angle (degrees)", xlim=(0, 180), xticks=range(0, 181, 30))
        ax.legend(loc="upper right")
    axes[0].set_ylabel("embeddings")
    return figure


def voices(panels: Arrays, speakers: Sequence[str]) -> Figure:
    """Utterances as points, one color and marker a speaker: name → (n, 2)."""
    figure, axes = subplots(0.6 + 6 * len(panels), 5.2, columns=len(panels))
    names = sorted(set(speakers))
    for ax, points in titled(axes, panels):
        for name, (color, marker) in zip(names, CLASSES, strict=False):
            own = points[np.asarray(speakers) == name]
            ax.scatter(*own.T, color=color, marker=marker, s=55, alpha=0.8, linewidth=0, label=name)
        ax.set(xlabel="1st principal axis", ylabel="2nd principal axis", xticks=[], yticks=[])
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    return figure


def score_histograms(panels: Mapping[str, tuple[Trials, float]]) -> Figure:
    """Scores of pairs of one speaker and of two, and a threshold: name → (trials, threshold)."""
    figure, axes = subplots(0.4 + 6 * len(panels), 4.2, columns=len(panels))
    for ax, (trials, threshold) in titled(axes, panels):
        _draw_scores(ax, trials, threshold)
    return figure


def _draw_scores(ax: Axes, trials: Trials, threshold: float) -> None:
    low, high = np.quantile(trials.scores, 0.002), trials.scores.max()
    bins = np.linspace(low, high, 61)
    ax.hist(trials.scores[~trials.is_same], bins, density=True, alpha=0.55, label="two speakers", **OTHER)
    ax.hist(trials.scores[trials.is_same], bins, density=True, color=COLORS["c"], alpha=0.75, label="one speaker")
    ax.axvline(threshold, color="black", linewidth=2.5, label="threshold")
    ax.set(xlabel="score: cosine of two embeddings", ylabel="density", xlim=(low, high), yticks=[])
    ax.set_ylim(0, 1.45 * ax.get_ylim()[1])
    ax.legend(loc="upper left")


def detection_tradeoff(curves: Mapping[str, DetectionErrors], marks: Mapping[str, tuple[float, float]]) -> Figure:
    """DET curves: false rejects over false accepts, on the scale on which normal scores give straight lines.

    `curves` is name → both errors, `marks` name → (false accepts, false rejects) to point at.
    """
    figure, ax = subplots(10.5, 6)
    _draw_tradeoff(ax, curves, marks)
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _draw_tradeoff(ax: Axes, curves: Mapping[str, DetectionErrors], marks: Mapping[str, tuple[float, float]]) -> None:
    least = SHARES[0] / 2
    looks = [*LINES[:3], (COLORS["loss"], ":", "D")]
    for (name, errors), (color, dash, _) in zip(curves.items(), looks, strict=False):
        x, y = (ndtri(np.clip(e, least, 1 - least)) for e in (errors.false_accepts, errors.false_rejects))
        ax.plot(x, y, dash, color=color, linewidth=2.5, label=name)
    for (name, (accepts, rejects)), marker in zip(marks.items(), "*XP", strict=False):
        x, y = ndtri(np.clip([accepts, rejects], least, 1 - least))
        ax.plot(x, y, marker, color="black", markersize=15, markeredgecolor="white", label=name, zorder=4)
    ticks = ndtri(np.array(SHARES))
    ax.plot(ticks[[0, -1]], ticks[[0, -1]], color=COLORS["muted"], linewidth=1)
    names = [f"{100 * share:g}" for share in SHARES]
    edges = ndtri(np.array([least, 0.9]))
    ax.set(xlim=edges, ylim=edges, aspect="equal", xlabel="false accepts (%)", ylabel="false rejects (%)")
    ax.set_xticks(ticks, names)
    ax.set_yticks(ticks, names)
    ax.grid(alpha=0.4)
    ax.legend(loc="upper right")


def threshold_view(
    trials: Trials, errors: DetectionErrors, threshold: float, point: tuple[float, float], title: str
) -> Figure:
    """One threshold among the scores, and the point of the DET curve that it is."""
    figure, (left, right) = subplots(12.5, 5.4, columns=2, width_ratios=(1.25, 1))
    _draw_scores(left, trials, threshold)
    left.set_title(title)
    _draw_tradeoff(right, {"all thresholds": errors}, {"this one": point})
    return figure
