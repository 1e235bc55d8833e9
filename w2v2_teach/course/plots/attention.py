"""Figures of the context network: attention weights and maps, positions, depth, cost, and what breaks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2v2_teach.course.plots.speech import draw_intervals, frame_edges
from w2v2_teach.course.plots.style import COLORS, DIVERGING, LINES
from w2v2_teach.speech.intervals import Interval


def attention_by_hand(scores: np.ndarray, weights: np.ndarray) -> Figure:
    """Scores and weights of a few frames, each (T, T), side by side with their numbers written in."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    titles = ("scores  q kᵀ / √2", "weights: each row a softmax")
    for ax, matrix, title in zip(figure.subplots(1, 2), (scores, weights), titles, strict=True):
        ax.imshow(matrix, vmin=0, cmap="Blues", aspect="equal")
        for (row, column), value in np.ndenumerate(matrix):
            ink = "white" if value > 0.6 * matrix.max() else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=15, color=ink)
        frames = range(len(matrix))
        ax.set(title=title, xlabel="key: the frame looked at", ylabel="query: the frame that asks")
        ax.set(xticks=frames, yticks=frames, xticklabels=[f + 1 for f in frames], yticklabels=[f + 1 for f in frames])
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    return figure


def sorted_weights(weights: Mapping[str, np.ndarray]) -> Figure:
    """Softmax weights of one query, largest first, per variant, each (T,)."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    ax = figure.subplots()
    for (name, values), (color, line, marker) in zip(weights.items(), LINES, strict=False):
        ranks = np.arange(1, len(values) + 1)
        ax.plot(ranks, values, line, color=color, marker=marker, markersize=5, label=name)
    ax.set(
        xlabel="rank of the key",
        ylabel="weight",
        xlim=(0, None),
        ylim=(0, 1),
        title="One query over its keys, largest weight first",
    )
    ax.legend(loc="upper right")
    return figure


def impulse_response(offsets_s: np.ndarray, strength: np.ndarray) -> Figure:
    """How strongly one frame shows in the positional embedding of its neighbors: strength over distance, both (T,)."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(offsets_s, strength, step="mid", color=COLORS["z"], alpha=0.6)
    ax.axvline(0, color=COLORS["lit"], linestyle="--", linewidth=2)
    ax.text(0.04, 1.04 * strength.max(), "the frame itself", color="#A34700", fontsize=13, va="bottom")
    ax.set(xlabel="distance from the impulse frame (s)", ylabel="length of the embedding")
    ax.set(title="Positional convolution: the answer to one frame", xlim=(-2, 2), ylim=(0, 1.2 * strength.max()))
    return figure


def sinusoids(table: np.ndarray) -> Figure:
    """A table of sinusoidal position vectors (T, D), time to the right."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(table.T, cmap=DIVERGING, vmin=-1, vmax=1, origin="lower")
    ax.set(xlabel="frame", ylabel="channel", title="Sinusoids: one fixed vector per position")
    figure.colorbar(image, ax=ax, label="value added", pad=0.01)
    return figure


def depth(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """One panel per quantity, one line per variant, over the layer's number; `panels` is title → name → values."""
    figure = Figure(figsize=(13, 4.3), layout="constrained")
    for i, (ax, (title, curves)) in enumerate(zip(figure.subplots(1, len(panels)), panels.items(), strict=True)):
        for (name, values), (color, line, marker) in zip(curves.items(), LINES, strict=False):
            layers = np.arange(len(values))
            ax.plot(layers, values, line, color=color, marker=marker, markersize=5, markevery=4, label=name)
        ax.set(title=title, xlabel="layer")
        ax.set_ylim(bottom=min(0, *(min(values) for values in curves.values())))
        if i == 0:
            ax.legend(loc="upper left")
    return figure


def attention_maps(maps: Mapping[str, np.ndarray], words: Sequence[Interval], times: np.ndarray) -> Figure:
    """Attention maps, title → weights (T, T), with words on both axes; `times` (T,) are the frames' centers in seconds.

    Colors say how many times the even share 1/T a weight is. A title that ends in "own scale" gets a scale of its own.
    """
    rows = (len(maps) + 1) // 2
    figure = Figure(figsize=(11, 4.9 * rows), layout="constrained")
    shared = max((len(w) * np.quantile(w, 0.998) for t, w in maps.items() if not t.endswith("own scale")), default=None)
    for ax, (title, weights) in zip(figure.subplots(rows, 2).flat, maps.items(), strict=False):
        own = title.endswith("own scale")
        draw_map(ax, weights, words, times, **({} if own else {"vmin": 0.0, "vmax": shared}))
        ax.set_title(title)
    return figure


def draw_map(
    ax: Axes, weights: np.ndarray, words: Sequence[Interval], times: np.ndarray, **scale: float | None
) -> None:
    """One attention map (T, T): queries downwards, keys to the right; `times` (T,) are the frames' centers in seconds.

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


def sharpened_rows(rows: Mapping[str, np.ndarray], words: Sequence[Interval], times: np.ndarray) -> Figure:
    """One query's weights over the keys, each (T,) in even shares 1/T, one panel per variant, words below."""
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    *axes, strip = figure.subplots(len(rows) + 1, 1, sharex=True, height_ratios=[3] * len(rows) + [1])
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
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    ax = figure.subplots()
    for (name, values), (color, line, marker) in zip(milliseconds.items(), LINES, strict=False):
        ax.loglog(frames, values, line, color=color, marker=marker, label=name)
    ax.set(xlabel="frames T", ylabel="time (ms)", title="One layer of TINY on this machine", xticks=frames)
    ax.set_xticklabels([f"{t:,}" for t in frames])
    ax.minorticks_off()
    ax.legend(loc="upper left")
    return figure


def leak(differences: Mapping[str, np.ndarray], times: np.ndarray) -> Figure:
    """How far each frame of an utterance moves when padding is added, per way of treating it; name → (T,)."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    ax = figure.subplots()
    for (name, values), (color, line, _) in zip(differences.items(), LINES, strict=False):
        ax.semilogy(times, np.maximum(values, 1e-9), line, color=color, linewidth=2, label=name)
    ax.set(xlabel="time (s)", ylabel="largest change of c", ylim=(1e-9, 1e2), xlim=(0, times[-1]))
    ax.set_title("One utterance, alone and padded: what changes")
    ax.legend(loc="upper left", ncols=len(differences))
    return figure


def training_curves(losses: Mapping[str, Sequence[float]], chance: float) -> Figure:
    """Loss over updates per variant, with the loss of a guess as a line."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    ax = figure.subplots()
    ax.axhline(chance, color=COLORS["muted"], linewidth=1.5)
    ax.text(1, chance + 0.05, "guessing", transform=ax.get_yaxis_transform(), ha="right", fontsize=13, color="#555555")
    for (name, values), (color, line, marker) in zip(losses.items(), LINES, strict=False):
        ax.plot(values, line, color=color, marker=marker, markersize=6, markevery=15, label=name)
    ax.set(xlabel="update", ylabel="loss (nats)", ylim=(0, 1.7 * chance), title="Which symbol was one frame ago?")
    ax.legend(loc="upper left")
    return figure
