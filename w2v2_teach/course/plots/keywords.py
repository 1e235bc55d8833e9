"""Figures about words: what each layer knows, and which words are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from w2v2_teach.course.plots.style import COLORS, LINES, Arrays, draw_lines, subplots


def layers(weights: Arrays, accuracies: Arrays) -> Figure:
    """Learned weights of a mixture of layers, and what a probe reads from each layer alone: name → (layers + 1,)."""
    figure, (left, right) = subplots(13, 4.6, columns=2, wspace=0.06)
    places = np.arange(len(next(iter(weights.values()))))
    width = 0.8 / len(weights)
    looks = zip(LINES, ("", "//", ".."), strict=False)
    for number, ((name, values), ((color, _, _), hatch)) in enumerate(zip(weights.items(), looks, strict=False)):
        offset = (number - (len(weights) - 1) / 2) * width
        left.bar(places + offset, values, width, color=color, hatch=hatch, edgecolor="white", label=name)
    left.axhline(1 / len(places), color=COLORS["muted"], linestyle="--", linewidth=2)
    left.set(ylabel="weight in the mixture", title="What fine-tuning mixes")
    left.set_ylim(0, 1.35 * max(values.max() for values in weights.values()))
    draw_lines(right, accuracies, places, linewidth=2.5, markersize=9)
    right.set(ylabel="accuracy of a linear probe", ylim=(0, 1.25), title="What pre-training left in each layer")
    for ax in (left, right):
        ax.set_xticks(places, ["input", *(f"layer {i}" for i in places[1:])])
        ax.legend(loc="upper right", ncols=2)
    return figure


def confusion(counts: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """How often each word (row) was taken for each word (column); a share of its row, with the counts written in."""
    n = len(labels)
    figure, ax = subplots(1.6 + 0.62 * n, 1.2 + 0.55 * n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(shares, vmin=0, vmax=1)
    for row, column in np.argwhere(counts > 0):
        ink = "black" if shares[row, column] > 0.6 else "white"
        ax.text(column, row, int(counts[row, column]), ha="center", va="center", fontsize=12, color=ink)
    ax.set_xticks(range(n), labels, rotation=90)
    ax.set_yticks(range(n), labels)
    ax.tick_params(length=0)
    ax.set(xlabel="heard as", ylabel="said", title=title)
    figure.colorbar(image, ax=ax, label="share of the row", pad=0.02)
    return figure
