"""Figures of the contrastive loss: the game, its temperature, its pull, the diversity loss, and what breaks."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2v2_teach.course.plots.pretraining import Records, clinic
from w2v2_teach.course.plots.speech import STEPS, Intervals
from w2v2_teach.course.plots.style import COLORS, DIVERGING, LINES, Arrays, draw_lines, subplots, tick_at, titled


def game(power_db: np.ndarray, duration: float, gap: tuple[float, float], patches: Arrays) -> Figure:
    """What surrounds a hidden stretch of speech, and candidates for it, on one scale of time and of loudness.

    `power_db` (frequencies up to 8 kHz, columns) is the whole utterance, `duration` seconds long, `gap` where the
    hidden stretch starts and ends (s); `patches` is name → (frequencies, columns), as long as the gap.
    """
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    figure.get_layout_engine().set(hspace=0.06, wspace=0.05)
    top, bottom = figure.subfigures(2, 1)
    scale = {"vmin": power_db.min(), "vmax": power_db.max(), "origin": "lower", "cmap": STEPS}
    ax = top.subplots()
    ax.imshow(power_db, extent=(0, duration, 0, 8), **scale)
    ax.axvspan(*gap, color="white")
    ax.text(sum(gap) / 2, 2.5, "?", fontsize=40, ha="center", va="center", color=COLORS["lit text"], weight="bold")
    around = 2 * (gap[1] - gap[0])
    ax.set(xlim=(gap[0] - around, gap[1] + around), ylim=(0, 5), title="One stretch is hidden …")
    ax.set(xlabel="time (s)", ylabel="frequency (kHz)")
    axes = bottom.subplots(1, len(patches), sharey=True)
    for ax, patch in titled(axes, patches):
        ax.imshow(patch, extent=(0, 1000 * (gap[1] - gap[0]), 0, 8), **scale)
        ax.set(xlabel="time (ms)", ylim=(0, 5))
    axes[0].set_ylabel("frequency (kHz)")
    return figure


def temperature(cosines: np.ndarray, shares: Arrays) -> Figure:
    """Cosines of a context with its candidates, the true one first, and what softmax makes of them: name → (K + 1,)."""
    figure, axes = subplots(11, 3.8, columns=1 + len(shares))
    names = ["true", *(f"other {k}" for k in range(1, len(cosines)))]
    colors = [COLORS["q"]] + [COLORS["muted"]] * (len(cosines) - 1)
    for ax, values in titled(axes, {"cosine": cosines, **shares}):
        ax.bar(names, values, color=colors)
        ax.axhline(0, color="black", linewidth=0.8)
        for place, value in enumerate(values):
            text = f"{value:.2f}" if abs(value) >= 0.005 or value == 0 else f"{value:.0e}"
            ax.text(place, max(value, 0) + 0.03, text.replace("-", "−"), ha="center", va="bottom", fontsize=13)
        ax.set(ylim=(-1.1, 1.25), ylabel="cosine") if ax is axes[0] else ax.set(ylim=(0, 1.15), ylabel="probability")
    return figure


def loss_range(
    kappas: np.ndarray, bounds: tuple[np.ndarray, np.ndarray], K: int, chances: Mapping[str, tuple[int, float]]
) -> Figure:
    """What a frame's loss can be over κ, lowest and highest, in nats; and the chance level: name → (K, nats)."""
    figure, (left, right) = subplots(12, 4.6, columns=2, wspace=0.06)
    lowest, highest = bounds
    left.fill_between(kappas, lowest, highest, color=COLORS["loss"], alpha=0.25)
    left.plot(kappas, lowest, color=COLORS["c"], linewidth=2.5)
    left.plot(kappas, highest, color=COLORS["muted"], linewidth=2.5)
    chance = np.log(K + 1)
    left.axhline(chance, color=COLORS["lit"], linestyle="--", linewidth=2)
    left.text(0.021, chance + 0.25, f"guessing: ln {K + 1} = {chance:.3f}", fontsize=13, color=COLORS["lit text"])
    left.text(1.1, 0.2, "best case", fontsize=13, color=COLORS["c"], ha="right")
    left.text(1.1, 9.3, "worst case", fontsize=13, color="#555555", ha="right")
    left.set(xscale="log", xlabel="temperature κ", ylabel="loss of a frame (nats)", ylim=(-0.3, 12))
    left.set(xlim=(kappas[0], kappas[-1]), title=f"What the loss can be, K = {K}")
    tick_at(left, (0.03, 0.1, 0.3, 1))

    counts = np.arange(1, 121)
    right.plot(counts, np.log(counts + 1), color=COLORS["lit"], linestyle="--", linewidth=2)
    for name, (k, nats) in chances.items():
        right.plot(k, nats, "o", color=COLORS["lit text"], markersize=9)
        right.annotate(name, (k, nats), xytext=(0, -24), textcoords="offset points", ha="center", fontsize=13)
    bits = right.secondary_yaxis("right", functions=(lambda nats: nats / np.log(2), lambda b: b * np.log(2)))
    bits.set_ylabel("bits")
    right.set(xlabel="distractors K", ylabel="nats", ylim=(0, 5.2), xlim=(0, 122), title="Guessing: ln (K + 1)")
    return figure


def draw_circle(ax: Axes) -> None:
    """The circle of all vectors of length 1, for what is drawn around it."""
    around = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(around), np.sin(around), color=COLORS["muted"], linewidth=1, zorder=1)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _draw_candidates(ax: Axes, target: float, negatives: np.ndarray, sizes: np.ndarray) -> None:
    """The unit circle with the true target and the distractors, by angle in degrees; sizes (K + 1,) in points²."""
    draw_circle(ax)
    x, y = np.cos(np.radians(negatives)), np.sin(np.radians(negatives))
    ax.scatter(x, y, s=sizes[1:], color=COLORS["lit"], marker="s", edgecolor="white", zorder=3)
    x, y = np.cos(np.radians(target)), np.sin(np.radians(target))
    ax.scatter(x, y, s=sizes[0], color=COLORS["q"], edgecolor="white", zorder=4)
    ax.plot([], [], "o", color=COLORS["q"], markersize=11, label="true target")
    ax.plot([], [], "s", color=COLORS["lit"], markersize=10, label="distractors")
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))


def pull(
    target: float, negatives: np.ndarray, *, places: np.ndarray, push: np.ndarray, angles: np.ndarray, curves: Arrays
) -> Figure:
    """Where a context on the circle is pulled, and its loss over the angle.

    All angles are in degrees: of the true target, of the distractors (K,), of the places (P,) where an arrow starts,
    and (A,) of the curves, name → loss (A,) in nats. `push` (P,) is how strongly the context is pulled; positive:
    against the clock.
    """
    figure, (left, right) = subplots(12, 5, columns=2, width_ratios=(1, 1.3))
    _draw_candidates(left, target, negatives, np.full(len(negatives) + 1, 170.0))
    theta = np.radians(places)
    length = 0.4 * push / np.abs(push).max()
    left.quiver(
        1.18 * np.cos(theta), 1.18 * np.sin(theta), -length * np.sin(theta), length * np.cos(theta),
        angles="xy", scale_units="xy", scale=1, color=COLORS["c"], width=0.008, zorder=2,
    )  # fmt: skip
    left.legend(loc="center")
    left.set_title("Arrows: where c is pulled")
    for (name, values), (color, line, marker) in zip(curves.items(), LINES, strict=False):
        right.plot(angles, values, line, color=color, linewidth=2.5, label=name)
        lowest = values.argmin()
        right.plot(angles[lowest], values[lowest], marker, color=color, markersize=10, markeredgecolor="white")
    _draw_angle_axis(right, target, negatives, np.log(len(negatives) + 1))
    right.legend(loc="upper center", ncols=len(curves))
    highest = max(values.max() for values in curves.values())
    right.set_ylim(-0.05 * highest, 1.35 * highest)
    right.set_title("Loss over the angle of c, marked: lowest")
    return figure


def _draw_angle_axis(ax: Axes, target: float, negatives: np.ndarray, chance: float) -> None:
    """Marks at the candidates' angles, and the line of a guess."""
    ax.axhline(chance, color=COLORS["muted"], linewidth=1.5)
    ax.axvline(target, ymax=0.82, color=COLORS["q"], linewidth=3, alpha=0.5)
    for angle in negatives:
        ax.axvline(angle, ymax=0.82, color=COLORS["lit"], linewidth=1.2, linestyle=":")
    ax.set(xlabel="angle of c (degrees)", ylabel="loss (nats)", xlim=(-180, 180), xticks=range(-180, 181, 60))


def more_distractors(angles: np.ndarray, curves: Mapping[str, tuple[np.ndarray, float]]) -> Figure:
    """Loss over the angle between context and target for several K: name → (loss (A,), level of a guess), in nats."""
    figure, ax = subplots(10, 4.4)
    for (name, (values, chance)), (color, line, _) in zip(curves.items(), LINES, strict=False):
        ax.plot(angles, values, line, color=color, linewidth=2.5, label=name)
        ax.axhline(chance, color=color, linestyle=line, linewidth=1, alpha=0.6)
    ax.set(xlabel="angle between c and its target (degrees)", ylabel="loss (nats)", xlim=(angles[0], angles[-1]))
    ax.set_ylim(0, 1.3 * max(values.max() for values, _ in curves.values()))
    ax.set(title="More distractors: the nearest comes nearer", xticks=range(-180, 181, 60))
    ax.legend(loc="upper center", ncols=len(curves))
    return figure


def on_the_circle(
    angle: float, target: float, negatives: np.ndarray, *, shares: np.ndarray, angles: np.ndarray, losses: np.ndarray
) -> Figure:
    """One context among its candidates, each as large as its probability, and the loss over the context's angle.

    All angles are in degrees: of the context, of the true target, of the distractors (K,), and (A,) of the losses (A,)
    in nats. `shares` (K + 1,) are the probabilities, the true one's first.
    """
    figure, (left, right) = subplots(12, 5, columns=2, width_ratios=(1, 1.3))
    _draw_candidates(left, target, negatives, 25 + 900 * shares)
    x, y = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    left.annotate("", (0.93 * x, 0.93 * y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": COLORS["c"], "lw": 4})
    left.text(-0.16 * x, -0.16 * y, "c", fontsize=16, color=COLORS["c"], ha="center", va="center")
    left.legend(loc="upper center", ncols=2)
    left.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.5))
    right.plot(angles, losses, color=COLORS["c"], linewidth=2.5)
    here = losses[np.abs(angles - angle).argmin()]
    right.plot(angle, here, "o", color=COLORS["c"], markersize=12, markeredgecolor="white")
    _draw_angle_axis(right, target, negatives if len(negatives) <= 10 else np.array([]), np.log(len(negatives) + 1))
    right.text(-175, np.log(len(negatives) + 1), "guessing", fontsize=13, color="#555555", va="bottom")
    right.set_ylim(0, 1.15 * max(losses.max(), np.log(len(negatives) + 1)))
    right.set_title("Loss over the angle of c")
    return figure


def diversity(mean_probs: np.ndarray, push: np.ndarray, p: np.ndarray, losses: Arrays) -> Figure:
    """An average distribution (V,) with the push on its logits (V,), and losses of a codebook of two over p."""
    figure, (left, right) = subplots(12, 4.4, columns=2, wspace=0.06)
    entries = np.arange(1, len(mean_probs) + 1)
    left.bar(entries, mean_probs, color=COLORS["q"], alpha=0.7)
    left.axhline(1 / len(mean_probs), color=COLORS["muted"], linestyle="--", linewidth=2)
    left.text(len(entries) + 0.45, 1 / len(entries) + 0.01, "all alike", ha="right", fontsize=13, color="#555555")
    length = 0.3 * push / np.abs(push).max()
    for entry, height, arrow in zip(entries, mean_probs, length, strict=True):
        start = height + 0.03 + max(0, -arrow)
        style = {"arrowstyle": "-|>", "color": COLORS["lit"], "lw": 3, "mutation_scale": 16}
        left.annotate("", (entry, start + arrow), (entry, start), arrowprops=style)
    left.set(xlabel="entry", ylabel="average probability", xticks=entries, ylim=(0, 1.15))
    left.set_title("Arrows: the push on the logits")
    draw_lines(right, losses, p, marked=False, linewidth=2.5, legend="upper center")
    right.set(xlabel="share of the first of two entries", ylabel="loss", title="Two forms, one minimum")
    right.set_ylim(0, 1.3 * max(map(np.max, losses.values())))
    return figure


def similarity(maps: Arrays, runs: Intervals) -> Figure:
    """Cosines of contexts (rows) with targets (columns), (N, N) per model; `runs` are labeled stretches of 0 … N."""
    figure, axes = subplots(0.5 + 5.6 * len(maps), 5.8, columns=len(maps))
    for ax, cosines in titled(axes, maps):
        N = len(cosines)
        image = ax.imshow(cosines, cmap=DIVERGING, vmin=-1, vmax=1, extent=(0, N, N, 0), aspect="equal")
        ticks, labels = _room_for_labels(runs, least=N / 19)
        ax.set_xticks(ticks, labels, rotation=90, fontsize=12)
        ax.set_yticks(ticks, labels, fontsize=12)
        ax.set(xlabel="target q of masked frame …", ylabel="context c of masked frame …")
        ax.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="cosine", pad=0.02, shrink=0.75)
    return figure


def _room_for_labels(runs: Intervals, least: float) -> tuple[list[float], list[str]]:
    """The middles and the labels of runs, without those that stand closer than `least` behind the last one."""
    ticks: list[float] = []
    labels: list[str] = []
    for run in runs:
        middle = (run.start + run.end) / 2
        if not ticks or middle - ticks[-1] >= least:
            ticks.append(middle)
            labels.append(run.label)
    return ticks, labels


def lab(healthy: Records, failed: Records, name: str, K: int, most: int) -> Figure:
    """A run that works beside another, `name`: loss, accuracy and code perplexity; K distractors, G·V = `most`."""
    return clinic({"healthy": healthy, name: failed}, K=K, entries=most)
