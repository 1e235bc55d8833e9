"""Figures about words: what each layer knows, and which words are taken for which."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from w2v2_teach.course.plots.style import COLORS, LINES, SEQUENTIAL


def layers(weights: Mapping[str, np.ndarray], accuracies: Mapping[str, np.ndarray]) -> Figure:
    """Learned weights of a mixture of layers, and what a probe reads from each layer alone: name → (layers + 1,)."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    left, right = figure.subplots(1, 2)
    places = np.arange(len(next(iter(weights.values()))))
    names = ["input", *(f"layer {i}" for i in places[1:])]
    width = 0.8 / len(weights)
    for number, ((name, values), (color, _, _), hatch) in enumerate(
        zip(weights.items(), LINES, ("", "//", ".."), strict=False)
    ):
        left.bar(places + (number - (len(weights) - 1) / 2) * width, values, width, color=color, hatch=hatch,
                 edgecolor="white", label=name)  # fmt: skip
    left.axhline(1 / len(places), color=COLORS["muted"], linestyle="--", linewidth=2)
    left.set(ylabel="weight in the mixture", title="What fine-tuning mixes")
    left.set_ylim(0, 1.35 * max(values.max() for values in weights.values()))
    for (name, values), (color, dash, marker) in zip(accuracies.items(), LINES, strict=False):
        right.plot(places, values, dash, marker=marker, color=color, linewidth=2.5, markersize=9, label=name)
    right.set(ylabel="accuracy of a linear probe", ylim=(0, 1.25), title="What pre-training left in each layer")
    for ax in (left, right):
        ax.set_xticks(places, names)
        ax.legend(loc="upper right", ncols=2)
    return figure


def confusion(counts: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """How often each word (row) was taken for each word (column); a share of its row, with the counts written in."""
    n = len(labels)
    figure = Figure(figsize=(1.6 + 0.62 * n, 1.2 + 0.55 * n), layout="constrained")
    ax = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    for row, column in np.argwhere(counts > 0):
        ink = "black" if shares[row, column] > 0.6 else "white"
        ax.text(column, row, int(counts[row, column]), ha="center", va="center", fontsize=12, color=ink)
    ax.set_xticks(range(n), labels, rotation=90)
    ax.set_yticks(range(n), labels)
    ax.tick_params(length=0)
    ax.set(xlabel="heard as", ylabel="said", title=title)
    figure.colorbar(image, ax=ax, label="share of the row", pad=0.02)
    return figure


def accuracies(rows: Mapping[str, Sequence[float]], names: Sequence[str], chance: float) -> Figure:
    """One group of bars a name, one bar a row, with the number on it, as a share."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    ax = figure.subplots()
    width = 0.8 / len(rows)
    for number, ((label, values), (color, _, _), hatch) in enumerate(
        zip(rows.items(), LINES, ("", "//", ".."), strict=False)
    ):
        places = np.arange(len(names)) + (number - (len(rows) - 1) / 2) * width
        ax.bar(places, values, width, color=color, hatch=hatch, edgecolor="white", label=label)
        for place, value in zip(places, values, strict=True):
            ax.text(place, value + 0.01, f"{100 * value:.0f}", ha="center", va="bottom", fontsize=12)
    ax.axhline(chance, color=COLORS["muted"], linestyle="--", linewidth=2)
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel="accuracy", ylim=(0, 1.3), yticks=np.arange(0, 1.01, 0.25))
    ax.legend(loc="upper left", ncols=len(rows))
    return figure
