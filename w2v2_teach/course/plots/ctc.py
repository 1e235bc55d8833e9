"""Figures of CTC: paths, the lattice, letters as spikes over time, word times, and the phase of blanks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from w2v2_teach.course.plots.speech import Intervals, draw_strip
from w2v2_teach.course.plots.style import COLORS, Arrays, subplots, titled, without_lines

BLANK = "–"  # how figures write the blank
INKS = ("#E8E8E8", "#56B4E9", "#E69F00")  # of the toy's blank and its two letters, light enough for black type


def paths(tokens: Sequence[str], probs: np.ndarray, found: np.ndarray, shares: np.ndarray, title: str) -> Figure:
    """What each frame hears, and all paths that collapse to one text, each with its probability.

    `tokens` are the blank and two letters, `probs` (T, 3) those of each frame, `found` (paths, T) token ids, `shares`
    (paths,) their probabilities.
    """
    figure, (left, middle, right) = subplots(13, 6.4, columns=3, width_ratios=(1.25, 1, 1.5), wspace=0.08)
    kinds = np.arange(3)[:, None].repeat(len(probs), axis=1)  # (3, T)
    _draw_cells(left, kinds, [[f"{p:.1f}" for p in row] for row in probs.T])
    left.set_yticks(range(3), tokens, fontsize=18)
    left.set(title="P(token | frame)", xlabel="frame")
    _draw_cells(middle, found, [[tokens[token] for token in path] for path in found])
    middle.set_yticks([])
    middle.set(title=title, xlabel="frame")
    right.barh(np.arange(len(found)), shares, color=COLORS["c"])
    for row, share in enumerate(shares):
        right.text(share + 0.01 * shares.max(), row, f"{share:.4f}", va="center", fontsize=12)
    right.set(ylim=middle.get_ylim(), yticks=[], xlim=(0, 1.25 * shares.max()), xlabel="probability of the path")
    right.set_title(f"together {shares.sum():.4f}")
    return figure


def _draw_cells(ax: Axes, kinds: np.ndarray, texts: Sequence[Sequence[str]]) -> None:
    """A grid of labeled cells, (rows, T), colored by token."""
    for (row, column), kind in np.ndenumerate(kinds):
        corner = (column - 0.5, row - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, facecolor=INKS[kind], edgecolor="white", linewidth=2))
        ax.text(column, row, texts[row][column], ha="center", va="center", fontsize=13)
    rows, columns = kinds.shape
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="auto")
    ax.set_xticks(range(columns), range(1, columns + 1))
    without_lines(ax)


def lattice(
    tokens: Sequence[str],
    skips: np.ndarray,
    values: np.ndarray,
    title: str,
    *,
    alive: np.ndarray,
    path: Sequence[int] | None = None,
    digits: int = 3,
) -> Figure:
    """States over frames as circles, larger for a larger value, with the arrows that a path may take.

    `skips` (S,) says where a state can be reached from two before, `alive` (T, S) which circles lie on a whole path
    (the others are pale), `path` the state at each frame of a path to be drawn. `values` (T, S) stand in the circles.
    """
    figure, ax = subplots(12, 6.2)
    T, S = values.shape
    arrow = {"arrowstyle": "-|>", "shrinkA": 23, "shrinkB": 23, "mutation_scale": 14}
    for t, s in np.ndindex(T - 1, S):
        for before in reversed(range(max(0, s - (2 if skips[s] else 1)), s + 1)):
            on = alive[t, before] and alive[t + 1, s]
            taken = path is not None and path[t] == before and path[t + 1] == s
            color, width, level = (COLORS["lit"], 3.5, 2) if taken else ("#777777", 1.4, 2) if on else ("#E0E0E0", 1, 1)
            style = arrow | {"color": color, "lw": width}
            ax.annotate("", (t + 1, s), (t, before), arrowprops=style, zorder=level)
    sizes = 1700 + 1500 * values / values[alive].max()
    inks = {token: INKS[1 + i % 2] for i, token in enumerate(dict.fromkeys(tokens[1::2]))} | {BLANK: INKS[0]}
    for t, s in np.ndindex(T, S):
        if alive[t, s]:
            edge, width = (COLORS["lit"], 3) if path is not None and path[t] == s else ("#555555", 1)
            look = {"s": sizes[t, s], "color": inks[tokens[s]], "edgecolor": edge, "linewidth": width}
            ax.text(t, s, f"{values[t, s]:.{digits}f}", ha="center", va="center", fontsize=12, zorder=4)
        else:
            look = {"s": 300, "color": "white", "edgecolor": "#CCCCCC", "linewidth": 1}
        ax.scatter(t, s, zorder=3, **look)
    ax.set_yticks(range(S), tokens)
    ax.set_xticks(range(T), range(1, T + 1))
    ax.set(xlim=(-0.4, T - 0.6), ylim=(S - 0.4, -0.6), xlabel="frame", ylabel="state", title=title)
    ax.tick_params(length=0, axis="y", labelsize=18)
    return figure


def spikes(
    probs: np.ndarray,
    tokens: Sequence[str],
    *,
    times: np.ndarray,
    strips: Mapping[str, Intervals],
    title: str,
    span: tuple[float, float],
) -> Figure:
    """P(token | frame) over time: the blank as an area, the others as bars, with their letter where they are likeliest.

    `probs` is (T, V), the blank first; `times` (T,) are the middles of the frames in seconds; `strips`, name → words,
    stand above; `span` is the first and the last second to be shown.
    """
    heights = [1] * len(strips) + [6]
    figure, (*bands, ax) = subplots(13, 4.2 + 0.7 * len(strips), rows=len(heights), sharex=True, height_ratios=heights)
    for band, (name, words) in zip(bands, strips.items(), strict=True):
        inside = [w for w in words if span[0] < (w.start + w.end) / 2 < span[1]]  # a name stands in the middle
        draw_strip(band, [w._replace(start=max(w.start, span[0]), end=min(w.end, span[1])) for w in inside], name)
    bands[0].set_title(title)
    hop = times[1] - times[0]
    ax.fill_between(times, probs[:, 0], step="mid", color=INKS[0], label=f"blank {BLANK}")
    ax.plot([], [], color=COLORS["c"], linewidth=6, label="letters, and | for the space")
    best = probs.argmax(axis=1).tolist()  # T
    for t, row in enumerate(probs):
        for v in (np.flatnonzero(row[1:] > 0.05) + 1).tolist():
            ax.bar(times[t], row[v], 0.8 * hop, color=COLORS["lit"] if tokens[v] == "|" else COLORS["c"])
        if best[t] and (t == 0 or best[t] != best[t - 1]) and span[0] <= times[t] <= span[1]:
            ax.text(times[t], row.max() + 0.03, tokens[best[t]], ha="center", fontsize=14, weight="bold")
    ax.set(xlim=span, ylim=(0, 1.18), xlabel="time (s)", ylabel="P(token | frame)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def boundary_errors(errors: Arrays, bound: float) -> Figure:
    """How far found word boundaries lie from the true ones: name → signed errors in seconds, later is positive."""
    figure, axes = subplots(11, 4.2, columns=len(errors), sharey=True)
    for ax, (name, values) in zip(axes, errors.items(), strict=True):
        ax.hist(1000 * values, bins=np.arange(-210, 211, 20), color=COLORS["c"], edgecolor="white")
        ax.axvline(0, color="black", linewidth=1)
        median = 1000 * float(np.median(values))
        ax.axvline(median, color=COLORS["lit"], linestyle="--", linewidth=2.5)
        ax.set_title(f"{name}: median {median:+.0f} ms".replace("-", "−"))
        ax.axvspan(-1000 * bound, 1000 * bound, color=COLORS["q"], alpha=0.15, linewidth=0)
        ax.set(xlabel="found − true (ms)", xlim=(-220, 220))
    axes[0].set_ylabel("words")
    return figure


def blank_phase(
    shares: np.ndarray, tokens: Sequence[str], deaf: np.ndarray, log: tuple[np.ndarray, np.ndarray]
) -> Figure:
    """Why a recognizer writes nothing at first.

    `shares` (T, V) are posteriors where all tokens are equally likely; `deaf` (steps, 2) P(blank) and P(likeliest
    letter) of a model that cannot hear; `log` the updates of a real training, and the share of its frames that say
    blank.
    """
    figure, (left, middle, right) = subplots(14, 4.8, columns=3, wspace=0.06)
    frames = np.arange(1, len(shares) + 1)
    for v, (name, values) in enumerate(zip(tokens, shares.T, strict=True)):
        left.plot(frames, values, color=COLORS["c"] if v else "#555555", linewidth=2 if v else 3)
        top = int(values.argmax()) if v else len(shares) // 2
        left.text(frames[top], values[top] + 0.02, name, fontsize=15, ha="center")
    left.set(title="A uniform start: posteriors", xlabel="frame", ylabel="posterior", ylim=(0, 1))
    steps = np.arange(len(deaf))
    middle.plot(steps, deaf[:, 0], color="#555555", linewidth=3, label="blank")
    middle.plot(steps, deaf[:, 1], "--", color=COLORS["c"], linewidth=2, label="likeliest other token")
    middle.set(title="A deaf model learns", xlabel="step", ylabel="probability", ylim=(0, 1))
    middle.legend(loc="center right")
    right.plot(*log, color=COLORS["c"], linewidth=2)
    right.set(title="The log of a real training", xlabel="update", ylabel="frames that say blank", ylim=(0, 1.03))
    return figure


def explorer(
    states: Sequence[str],
    *,
    filtered: np.ndarray,
    ahead: np.ndarray,
    posteriors: np.ndarray,
    path: Sequence[int],
    frame: int,
) -> Figure:
    """Where a path may be at each frame: by the frames before, by those after, by all; the best path drawn on the last.

    `filtered` (T, S) is α and `ahead` (T, S) β, each as shares of its frame; `path` is the best path's state at each
    frame. α is shown up to `frame`, counted from 0, β from it on.
    """
    figure, axes = subplots(14, 1.8 + 0.33 * len(states), columns=3, sharey=True)
    t = np.arange(len(posteriors))[:, None]
    panels = {
        "α: what was heard up to here": np.where(t <= frame, filtered, np.nan),
        "β: what can still come": np.where(t >= frame, ahead, np.nan),
        "α · β: posteriors, best path": posteriors,
    }
    for ax, values in titled(axes, panels):
        image = ax.imshow(values.T, vmin=0, vmax=1, extent=(0.5, len(values) + 0.5, len(states) - 0.5, -0.5))
        height = len(states) - 0.1
        ax.add_patch(Rectangle((frame + 0.5, -0.45), 1, height, fill=False, edgecolor="white", linewidth=2.5))
        ax.set(xlabel="frame", xticks=range(1, len(values) + 1, 2))
    axes[2].plot(np.arange(1, len(path) + 1), path, "o-", color=COLORS["lit"], linewidth=2.5, markersize=6)
    axes[0].set_yticks(range(len(states)), states)
    axes[0].set_ylabel("state")
    figure.colorbar(image, ax=axes, label="share of the frame", pad=0.01)
    return figure
