"""Figures of the quantizer: codebooks, Gumbel noise, temperature, straight-through, perplexity, codes over time."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from w2v2_teach.course.plots.speech import Intervals, draw_intervals, frame_edges
from w2v2_teach.course.plots.style import COLORS, Arrays, draw_lines, subplots, tick_at, titled

MARKERS = "os^Dv<>P"  # one per entry: never told apart by color alone


def nearest_and_mixture(z: np.ndarray, entries: np.ndarray, codes: np.ndarray, soft: np.ndarray) -> Figure:
    """Left: frames z (N, 2), each tied to the entry (V, 2) of its code. Right: what softmax mixes instead (N, 2)."""
    figure, (left, right) = subplots(11, 4.8, columns=2, sharex=True, sharey=True)
    for v, entry in enumerate(entries):
        own = z[codes == v]
        left.plot(*np.stack([own, np.broadcast_to(entry, own.shape)]).transpose(2, 0, 1), color="#CCCCCC", linewidth=1)
        left.plot(*own.T, MARKERS[v], color=COLORS["z"], markersize=6)
    right.plot(*soft.T, "o", color=COLORS["lit"], markersize=6, markeredgecolor="white", label="mixtures")
    for ax, title in ((left, "nearest entry"), (right, "softmax of the logits")):
        for v, entry in enumerate(entries):
            name = "entries" if v == 0 else None
            ax.plot(*entry, MARKERS[v], color=COLORS["q"], markersize=15, markeredgecolor="black", label=name)
        ax.set(title=title, xlabel="first channel", aspect="equal")
    left.set_ylabel("second channel")
    right.legend(loc="upper right")
    return figure


def noise_and_winners(
    x: np.ndarray, density: np.ndarray, noise: np.ndarray, softmax: np.ndarray, shares: np.ndarray
) -> Figure:
    """Left: draws of Gumbel noise and their density over x. Right: how often each of V entries won, and its softmax."""
    figure, (left, right) = subplots(12, 4.2, columns=2)
    left.hist(noise, bins=80, range=(x[0], x[-1]), density=True, color=COLORS["x"], label="drawn")
    left.plot(x, density, color="black", linewidth=2, label="density")
    left.set(title="Gumbel noise", xlabel="n = −log(−log u)", ylabel="density", xlim=(x[0], x[-1]))
    left.legend(loc="upper right")
    right.bar(np.arange(len(shares)), shares, 0.7, color=COLORS["x"], edgecolor="black", label="logit + noise largest")
    _softmax_marks(right, softmax)
    right.set(title="How often each entry wins", ylabel="share of the draws", ylim=(0, 1.1 * shares.max()))
    _name_entries(right, len(shares))
    right.legend(loc="upper right")
    return figure


def temperatures(samples: Mapping[float, np.ndarray], choices: np.ndarray) -> Figure:
    """Soft samples, τ → (draws, V), a row per draw and a column per τ; the entry that was chosen is hatched."""
    draws = len(choices)
    figure, axes = subplots(11, 1.6 * draws + 1, rows=draws, columns=len(samples), sharex=True, sharey=True)
    for column, (tau, soft) in zip(axes.T, samples.items(), strict=True):
        for row, ax in enumerate(column):
            _chosen_bars(ax, soft[row], choices[row])
        column[0].set_title(f"τ = {tau:g}")
    for row, ax in enumerate(axes[:, 0]):
        ax.set_ylabel(f"draw {row + 1}")
    axes[0, 0].set(ylim=(0, 1.08), yticks=(0, 0.5, 1))
    for ax in axes.flat:
        ax.label_outer()
    return figure


def straight_through(scores: np.ndarray, soft: np.ndarray, hard: np.ndarray, gradients: Arrays) -> Figure:
    """The way forward (scores, soft and hard choice, each (V,)), and below it what comes back, per way of choosing."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1)
    winner = int(scores.argmax())
    forward = {"logits + noise": scores, "softmax at τ (soft)": soft, "what goes on (hard)": hard}
    for ax, values in titled(above.subplots(1, 3), forward):
        _chosen_bars(ax, values, winner, numbers=True)
    axes = below.subplots(1, len(gradients), sharey=True)
    for ax, values in titled(axes, gradients):
        _chosen_bars(ax, values, winner, numbers=True, color=COLORS["loss"])
    largest = max(np.abs(values).max() for values in gradients.values())
    axes[0].set_ylim(-1.5 * largest, 1.5 * largest)
    axes[0].set_ylabel("gradient of the loss\nto the logits")
    return figure


def curves(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    updates: Sequence[int],
    levels: Mapping[str, tuple[float, str]],
    logarithmic: Sequence[str] = (),
) -> Figure:
    """Quantities over the updates, a panel each: title → name → values.

    `levels` are lines across a panel, title → (height, name); `logarithmic` are titles of panels with such an axis.
    """
    figure, _ = subplots(max(10, 4.4 * len(panels)), 4.3, columns=len(panels))
    for ax, (title, lines) in zip(figure.axes, panels.items(), strict=True):
        draw_lines(ax, lines, updates, markersize=6, markevery=max(1, len(updates) // 8))
        ax.set(title=title, xlabel="update")
        if title in logarithmic:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, 1.1 * max(map(max, lines.values())))
        if title in levels:
            height, name = levels[title]
            ax.axhline(height, color=COLORS["muted"], linewidth=1.5, label=name)
    parts = [ax.get_legend_handles_labels() for ax in figure.axes]
    handles = {label: handle for part in parts for handle, label in zip(*part, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return figure


def product_codebooks(codebooks: np.ndarray, codes: Sequence[int]) -> Figure:
    """G codebooks (G, V, d/G) as tables of numbers, the chosen rows framed, and below them the joined code vector."""
    groups, size, width = codebooks.shape
    figure, ax = subplots(10, 0.8 + 0.75 * (size + 1.6))
    for g, book in enumerate(codebooks):
        left = g * (width + 1)
        ax.text(left + width / 2, -0.35, f"codebook {g + 1}", ha="center", fontsize=15)
        for v, entry in enumerate(book):
            ax.text(left - 0.1, v + 0.5, f"{v + 1}", ha="right", va="center", fontsize=13, color="#555555")
            _cells(ax, left, v, entry, COLORS["q"] if v == codes[g] else "white")
        frame = Rectangle((left, codes[g]), width, 1, fill=False, edgecolor="black", linewidth=3.5)
        ax.add_patch(frame)
        place = (groups - 1) / 2 + g * width  # the joined vector stands in the middle
        _cells(ax, place, size + 1.2, book[codes[g]], COLORS["q"])
        style = {"arrowstyle": "-|>", "linewidth": 1.5, "color": "black"}
        ax.annotate("", (place + width / 2, size + 1.15), (left + width / 2, size + 0.1), arrowprops=style)
    end = (groups - 1) / 2 + groups * width
    ax.text(end + 0.2, size + 1.7, "joined: d numbers", va="center", fontsize=14)
    ax.set(xlim=(-0.6, groups * (width + 1) + 1.5), ylim=(size + 2.4, -0.9))
    ax.axis("off")
    return figure


def perplexities(distributions: Arrays) -> Figure:
    """Distributions over V entries, each under a title that says its perplexity."""
    figure, axes = subplots(12, 3.4, columns=len(distributions), sharey=True)
    for ax, probs in titled(axes, distributions):
        ax.bar(range(len(probs)), probs, 0.7, color=COLORS["q"], edgecolor="black")
        _name_entries(ax, len(probs))
    axes[0].set(ylabel="probability", ylim=(0, 1.08))
    return figure


def codes_over_time(phones: Intervals, seconds: np.ndarray, codes: Arrays) -> Figure:
    """Which entry each frame chose, one panel per codebook: (T,) heights over `seconds`; phones above, as a strip."""
    heights = [0.6] + [2.7] * len(codes)
    figure, (strip, *axes) = subplots(12, 1 + sum(heights), rows=len(heights), sharex=True, height_ratios=heights)
    draw_intervals(strip, phones, "phones")
    edges = frame_edges(seconds)
    for ax, entries in titled(axes, codes):
        ax.hlines(entries, edges[:-1], edges[1:], color=COLORS["q"], linewidth=5)
        for phone in phones:
            ax.axvline(phone.start, color=COLORS["muted"], linewidth=0.8, linestyle="--")
        ax.set(ylabel="entry, in order\nof appearance", ylim=(-1, entries.max() + 2))
    axes[-1].set(xlabel="time (s)", xlim=(phones[0].start, phones[-1].end))
    return figure


def sharpness(
    taus: Sequence[float], middle: Sequence[float], low: Sequence[float], high: Sequence[float], V: int
) -> Figure:
    """Largest weight of a soft sample over τ: the middle of many draws, and the range that holds most of them."""
    figure, ax = subplots(10, 4.2)
    ax.fill_between(taus, low, high, color=COLORS["x"], alpha=0.45, label="eight draws of ten")
    ax.plot(taus, middle, color=COLORS["c"], marker="o", label="the middle draw")
    ax.axhline(1 / V, color=COLORS["muted"], linestyle="--", linewidth=1.5)
    ax.text(taus[0], 1 / V + 0.02, "even: 1/V", fontsize=13, color="#555555")
    ax.set(xscale="log", xlabel="temperature τ", ylabel="largest weight", ylim=(0, 1.05))
    ax.set_title("How close is a soft sample to a choice?")
    tick_at(ax, taus)
    ax.legend(loc="lower left", ncols=2)
    return figure


def one_draw(
    logits: np.ndarray, noise: np.ndarray, soft: np.ndarray, softmax: np.ndarray, shares: np.ndarray, *, title: str
) -> Figure:
    """One choice among V entries: logits and noise, soft sample, hard sample; and many choices beside the softmax."""
    figure, (scores, middle, hard, many) = subplots(13, 4.4, columns=4)
    figure.suptitle(title, fontsize=15)
    entries, winner = np.arange(len(logits)), int((logits + noise).argmax())
    scores.axhline(0, color="black", linewidth=0.8)
    scores.hlines(logits, entries - 0.4, entries + 0.4, color=COLORS["c"], linewidth=4, label="logit")
    scores.plot(entries, logits + noise, "D", color=COLORS["lit"], markersize=9, label="+ noise")
    scores.vlines(entries, logits, logits + noise, color=COLORS["lit"], linewidth=1.5)
    scores.set(title="logits and noise", ylabel="score", ylim=(-6.5, 11))
    scores.legend(loc="upper center", ncols=2, handlelength=1, columnspacing=1)
    for ax, values, name in ((middle, soft, "soft sample"), (hard, np.eye(len(logits))[winner], "hard sample")):
        _chosen_bars(ax, values, winner)
        ax.set(title=name, ylim=(0, 1.08))
    many.bar(entries, shares, 0.7, color=COLORS["x"], edgecolor="black")
    _softmax_marks(many, softmax)
    many.set(title="share of 1,000 draws", ylim=(0, 1.25))
    many.legend(loc="upper right")
    for ax in figure.axes:
        _name_entries(ax, len(entries))
    return figure


def gradient_by_temperature(
    taus: Sequence[float], length: Sequence[float], spread: Sequence[float], silent: Sequence[float]
) -> Figure:
    """Left: mean and spread of the straight-through gradient, as parts of the true one. Right: draws without any."""
    figure, (left, right) = subplots(12, 4.4, columns=2)
    draw_lines(left, {"mean of all draws": length, "spread of single draws": spread}, taus, markersize=7)
    left.axhline(1, color=COLORS["muted"], linewidth=1.5, label="the true gradient")
    left.set(title="Gradient to the logits", ylabel="length, true gradient = 1", yscale="log", ylim=(0.03, 60))
    left.legend(loc="upper right")
    right.plot(taus, silent, color=COLORS["q"], marker="^", markersize=8)
    right.set(title="Draws with hardly any gradient", ylabel="share of the draws", ylim=(-0.02, 1))
    for ax in (left, right):
        ax.set(xscale="log", xlabel="temperature τ")
        tick_at(ax, taus)
    return figure


def _chosen_bars(ax: Axes, heights: np.ndarray, chosen: int, numbers: bool = False, color: str = COLORS["c"]) -> None:
    """A bar per entry, the chosen one hatched and in another color; with its numbers, if wanted."""
    for i, height in enumerate(heights):
        look = {"color": COLORS["lit"], "hatch": "//"} if i == chosen else {"color": color}
        ax.bar(i, height, 0.7, edgecolor="black", **look)
        if numbers:
            text = f"{height:.2f}".replace("-", "−")
            side, offset = ("top", -4) if height < 0 else ("bottom", 4)
            where = (i, height), (0, offset), "data", "offset points"
            ax.annotate(text, *where, ha="center", va=side, fontsize=13)
    ax.axhline(0, color="black", linewidth=0.8)
    _name_entries(ax, len(heights))
    if numbers:  # room for them
        top, bottom = max(heights.max(), 0.0), min(heights.min(), 0.0)
        margin = 0.2 * (top - bottom) or 1.0
        ax.set_ylim(bottom - margin * (bottom < 0), top + margin)


def _name_entries(ax: Axes, size: int) -> None:
    """The numbers of the entries on the x-axis, from 1."""
    ax.set_xticks(range(size), range(1, size + 1))
    ax.set_xlabel("entry")


def _softmax_marks(ax: Axes, softmax: np.ndarray) -> None:
    entries = np.arange(len(softmax))
    ax.hlines(softmax, entries - 0.45, entries + 0.45, color="black", linewidth=3, zorder=3, label="softmax")


def _cells(ax: Axes, x: float, y: float, values: np.ndarray, color: str) -> None:
    """A row of numbers in boxes of width and height 1."""
    for i, value in enumerate(values):
        ax.add_patch(Rectangle((x + i, y), 1, 1, facecolor=color, edgecolor="black"))
        ink = "black" if color == "white" else "white"
        ax.text(x + i + 0.5, y + 0.5, f"{value:g}", ha="center", va="center", fontsize=15, color=ink)
