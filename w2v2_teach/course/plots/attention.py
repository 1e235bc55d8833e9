"""Figures of the context network: attention weights and maps, positions, depth, cost, and what breaks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2v2_teach.course.plots.speech import Intervals, draw_intervals, frame_edges
from w2v2_teach.course.plots.style import COLORS, DIVERGING, Arrays, draw_lines, draw_numbers, subplots, tick_at, titled


def attention_by_hand(scores: np.ndarray, weights: np.ndarray) -> Figure:
    """Scores and weights of a few frames, each (T, T), side by side with their numbers written in."""
    figure, axes = subplots(10, 4.2, columns=2)
    for ax, matrix in titled(axes, {"scores  q kᵀ / √2": scores, "weights: each row a softmax": weights}):
        draw_numbers(ax, matrix, size=15, vmin=0, cmap="Blues", aspect="equal")
        ax.set(xlabel="key: the frame looked at", ylabel="query: the frame that asks")
        frames = range(len(matrix))
        ax.set(xticks=frames, yticks=frames, xticklabels=[f + 1 for f in frames], yticklabels=[f + 1 for f in frames])
    return figure


def sorted_weights(weights: Arrays) -> Figure:
    """Softmax weights of one query, largest first, per variant, each (T,)."""
    figure, ax = subplots(10, 4)
    draw_lines(ax, weights, range(1, 1 + len(next(iter(weights.values())))), markersize=5, legend="upper right")
    ax.set(xlabel="rank of the key", ylabel="weight", xlim=(0, None), ylim=(0, 1))
    ax.set_title("One query over its keys, largest weight first")
    return figure


def impulse_response(offsets_s: np.ndarray, strength: np.ndarray) -> Figure:
    """How strongly one frame shows in the positional embedding of its neighbors: strength over distance, both (T,)."""
    figure, ax = subplots(10, 3.8)
    ax.fill_between(offsets_s, strength, step="mid", color=COLORS["z"], alpha=0.6)
    ax.axvline(0, color=COLORS["lit"], linestyle="--", linewidth=2)
    ax.text(0.04, 1.04 * strength.max(), "the frame itself", color=COLORS["lit text"], fontsize=13, va="bottom")
    ax.set(xlabel="distance from the impulse frame (s)", ylabel="length of the embedding")
    ax.set(title="Positional convolution: the answer to one frame", xlim=(-2, 2), ylim=(0, 1.2 * strength.max()))
    return figure


def sinusoids(table: np.ndarray) -> Figure:
    """A table of sinusoidal position vectors (T, D), time to the right."""
    figure, ax = subplots(10, 3.8)
    image = ax.imshow(table.T, cmap=DIVERGING, vmin=-1, vmax=1, origin="lower")
    ax.set(xlabel="frame", ylabel="channel", title="Sinusoids: one fixed vector per position")
    figure.colorbar(image, ax=ax, label="value added", pad=0.01)
    return figure


def depth(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """One panel per quantity, one line per variant, over the layer's number; `panels` is title → name → values."""
    figure, axes = subplots(13, 4.3, columns=len(panels))
    for ax, curves in titled(axes, panels):
        draw_lines(ax, curves, markersize=5, markevery=4)
        ax.set_xlabel("layer")
        ax.set_ylim(bottom=min(0, *(min(values) for values in curves.values())))
    axes[0].legend(loc="upper left")
    return figure


def attention_maps(maps: Arrays, words: Intervals, times: np.ndarray) -> Figure:
    """Attention maps, title → weights (T, T), with words on both axes.

    Colors say how many times the even share 1/T a weight is. A title that ends in "own scale" gets a scale of its own.
    """
    rows = (len(maps) + 1) // 2
    figure, axes = subplots(11, 4.9 * rows, rows=rows, columns=2)
    shared = max((len(w) * np.quantile(w, 0.998) for t, w in maps.items() if not t.endswith("own scale")), default=None)
    for ax, (title, weights) in zip(axes.flat, maps.items(), strict=False):
        own = title.endswith("own scale")
        draw_map(ax, weights, words, times, **({} if own else {"vmin": 0.0, "vmax": shared}))
        ax.set_title(title)
    return figure


def draw_map(ax: Axes, weights: np.ndarray, words: Intervals, times: np.ndarray, **scale: float | None) -> None:
    """One attention map (T, T): queries downwards, keys to the right.

    `scale` is imshow's `vmin` and `vmax`, in even shares 1/T.
    """
    start, *_, end = frame_edges(times)
    image = ax.imshow(len(weights) * weights, extent=(start, end, end, start), aspect="equal", **scale)
    ax.figure.colorbar(image, ax=ax, label="weight, in even shares 1/T", pad=0.02, shrink=0.8)
    centers, labels = [(w.start + w.end) / 2 for w in words], [w.label for w in words]
    ax.set_xticks(centers, labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=12)
    ax.set_yticks(centers, labels, fontsize=12)
    for word in words:
        for line in (ax.axvline, ax.axhline):
            line(word.start, color="white", linewidth=0.5, alpha=0.35)
    ax.set(xlabel="key", ylabel="query")
    ax.tick_params(length=0)


def sharpened_rows(rows: Arrays, words: Intervals, times: np.ndarray) -> Figure:
    """One query's weights over the keys, each (T,) in even shares 1/T, one panel per variant, words below."""
    figure, (*axes, strip) = subplots(10, 5.6, rows=len(rows) + 1, sharex=True, height_ratios=[3] * len(rows) + [1])
    for ax, (name, weights) in zip(axes, rows.items(), strict=True):
        ax.fill_between(times, weights, step="mid", color=COLORS["c"], alpha=0.8)
        ax.text(0.01, 0.95, name, transform=ax.transAxes, va="top", fontsize=14)
        ax.set_ylim(0, 1.35 * weights.max())
    figure.supylabel("weight, in even shares 1/T", fontsize=14)
    draw_intervals(strip, words, "")
    strip.set(xlabel="time of the key (s)", xlim=frame_edges(times)[[0, -1]])
    return figure


def cost(frames: Sequence[int], milliseconds: Mapping[str, Sequence[float]]) -> Figure:
    """Time of parts of a layer over the number of frames, on two logarithmic axes; name → milliseconds."""
    figure, ax = subplots(10, 4.2)
    draw_lines(ax, milliseconds, frames, legend="upper left")
    ax.set(xlabel="frames T", ylabel="time (ms)", title="One layer of TINY on this machine")
    ax.set(xscale="log", yscale="log")
    tick_at(ax, frames, ",")
    return figure


def leak(differences: Arrays, times: np.ndarray) -> Figure:
    """How far each frame of an utterance moves when padding is added, per way of treating it; name → (T,)."""
    figure, ax = subplots(10, 4.6)
    seen = {name: np.maximum(values, 1e-9) for name, values in differences.items()}
    draw_lines(ax, seen, times, marked=False, linewidth=2)
    ax.set(xlabel="time (s)", ylabel="largest change of c", yscale="log", ylim=(1e-9, 1e2), xlim=(0, times[-1]))
    ax.set_title("One utterance, alone and padded: what changes")
    ax.legend(loc="upper left", ncols=len(differences))
    return figure


def training_curves(losses: Mapping[str, Sequence[float]], chance: float) -> Figure:
    """Loss over updates per variant, with the loss of a guess as a line."""
    figure, ax = subplots(10, 4.4)
    ax.axhline(chance, color=COLORS["muted"], linewidth=1.5)
    ax.text(1, chance + 0.05, "guessing", transform=ax.get_yaxis_transform(), ha="right", fontsize=13, color="#555555")
    draw_lines(ax, losses, markersize=6, markevery=15, legend="upper left")
    ax.set(xlabel="update", ylabel="loss (nats)", ylim=(0, 1.7 * chance), title="Which symbol was one frame ago?")
    return figure
