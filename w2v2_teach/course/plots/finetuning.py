"""Figures of fine-tuning: a head by hand, who learns when, masks, text that emerges, and how few labels suffice."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from w2v2_teach.course.plots.pretraining import Records, column, draw_metrics, draw_runs
from w2v2_teach.course.plots.speech import STEPS, Intervals, draw_frames, draw_strip, frame_edges
from w2v2_teach.course.plots.style import COLORS, DIVERGING, LINES, Arrays, draw_lines, draw_numbers, subplots, titled

Summary = Sequence[Mapping[str, Any]]  # the lines of a benchmark's summary: a rate is {"mean": …, "min": …, "max": …}
WIDEST = 74  # letters of a transcript that fit below a figure


def head_by_hand(
    context: np.ndarray, weights: np.ndarray, logits: np.ndarray, probs: np.ndarray, tokens: Sequence[str]
) -> Figure:
    """Context (T, D), the head's matrix (V, D), logits and probabilities (T, V), with their numbers written in."""
    frames, channels = [range(1, n + 1) for n in context.shape]
    panels = [
        ("context c", context, "channel", channels, "frame", frames),
        ("times Wᵀ", weights.T, "token", tokens, "channel", channels),
        ("logits c Wᵀ", logits, "token", tokens, "frame", frames),
        ("softmax of each frame", probs, "token", tokens, "frame", frames),
    ]
    figure, axes = subplots(13, 3.7, columns=4, width_ratios=[matrix.shape[1] + 1 for _, matrix, *_ in panels])
    for ax, (title, matrix, x_name, columns, y_name, rows) in zip(axes, panels, strict=True):
        draw_numbers(ax, matrix, ".2g", cmap=DIVERGING, vmin=-3, vmax=3, aspect="equal")
        ax.set(title=title, xlabel=x_name, ylabel=y_name)
        ax.set_xticks(range(len(columns)), columns)
        ax.set_yticks(range(len(rows)), rows)
    return figure


def who_learns(tables: Arrays, layers: Sequence[str]) -> Figure:
    """Which layers each update trains: recipe → bool (layers, updates), the first layer at the top."""
    figure, axes = subplots(13, 4.2, columns=len(tables), sharey=True)
    colors = ListedColormap(["#E8E8E8", COLORS["c"]])
    for ax, table in titled(axes, tables):
        updates = table.shape[1]
        ax.imshow(table, cmap=colors, vmin=0, vmax=1, extent=(0, updates, len(layers), 0))
        for row, trained in enumerate(table):
            for value, word, ink in ((True, "learns", "white"), (False, "as it was", "#444444")):
                places = np.flatnonzero(trained == value)
                if len(places) > 0.26 * updates:
                    ax.text(places.mean(), row + 0.5, word, ha="center", va="center", color=ink, fontsize=12)
        ax.set_yticks(np.arange(len(layers)) + 0.5, layers)
        for edge in range(1, len(layers)):
            ax.axhline(edge, color="white", linewidth=2)
        ax.tick_params(axis="y", length=0, labelleft=ax is axes[0])
        ax.set_xlabel("update")
        ax.spines[:].set_visible(False)
    return figure


def rates(schedules: Arrays, factors: Arrays, layers: Sequence[str]) -> Figure:
    """Schedules as shares of their peak over the run, and the factor that each layer's rate gets; name → values."""
    figure, (left, right) = subplots(13, 4.6, columns=2, width_ratios=(1.2, 1))
    for (name, values), (color, dash, marker) in zip(schedules.items(), LINES, strict=False):
        share = np.linspace(0, 100, len(values))
        left.plot(share, values, dash, color=color, linewidth=2.5, marker=marker, markevery=0.13, label=name)
    left.set(xlabel="share of the run (%)", ylabel="share of the peak", ylim=(0, 1.08), xlim=(0, 100))
    left.set_title("Over the updates")
    for (name, values), (color, dash, marker) in zip(factors.items(), LINES, strict=False):
        right.plot(values, range(len(layers)), dash, color=color, linewidth=2.5, marker=marker, label=name)
    right.set_yticks(range(len(layers)), layers)
    right.invert_yaxis()
    right.set(xscale="log", xlabel="factor on the rate (logarithmic)", title="Over the layers")
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    return figure


def masked_frames(before: np.ndarray, after: np.ndarray, times: np.ndarray) -> Figure:
    """The context network's input without and with masks, both (T, D), channels downwards."""
    figure, axes = subplots(13, 4.4, columns=2, sharey=True)
    largest = float(np.quantile(np.abs(before), 0.99))
    for ax, frames, title in zip(axes, (before, after), ("as they are", "with both masks"), strict=True):
        image = draw_frames(ax, frames.T, times, cmap=DIVERGING, vmin=-largest, vmax=largest)
        ax.set(title=f"Frames for the context network, {title}", xlabel="time (s)")
    axes[0].set_ylabel("channel")
    figure.colorbar(image, ax=axes, label="value", pad=0.01)
    return figure


def draw_tokens(ax: Axes, probs: np.ndarray, tokens: Sequence[str], times: np.ndarray) -> None:
    """P(token | frame), (T, V), as a heat map with tokens downwards."""
    start, *_, end = frame_edges(times)
    image = ax.imshow(probs.T, vmin=0, vmax=1, cmap=STEPS, extent=(start, end, len(tokens) - 0.5, -0.5))
    ax.set_yticks(range(len(tokens)), ["blank", *tokens[1:]], fontsize=12)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="time (s)", ylabel="token")
    ax.figure.colorbar(image, ax=ax, label="P(token | frame)", pad=0.01)


def tokens_over_time(
    probs: np.ndarray, tokens: Sequence[str], words: Intervals, times: np.ndarray, *, title: str, text: str
) -> Figure:
    """P(token | frame), (T, V), below the words as they were said, above the text that it decodes to."""
    figure, (strip, ax) = subplots(12, 7.6, rows=2, sharex=True, height_ratios=(1, 12))
    draw_strip(strip, words, "said")
    strip.set_title(title)
    draw_tokens(ax, probs, tokens, times)
    ax.set_xlim(frame_edges(times)[[0, -1]])
    _write(figure, [("written", text)])
    return figure


def emergence(
    records: Records,
    probs: np.ndarray,
    tokens: Sequence[str],
    texts: Sequence[tuple[str, str]],
    *,
    times: np.ndarray,
    updates: int,
) -> Figure:
    """A fine-tuning on its way: loss and share of blanks so far, and what some utterances look like at this moment.

    `probs` (T, V) is the first utterance; `texts` are what was said and what is written now, for each utterance; there
    will be `updates` updates.
    """
    figure = Figure(figsize=(13, 8.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.6))
    loss, blanks = left.subplots(2, 1, sharex=True)
    draw_metrics(loss, records, {"": "loss"})
    loss.set(title="CTC loss of a character", ylabel="nats", ylim=(0, None), xlim=(0, updates))
    draw_metrics(blanks, records, {"": "blank_share"})
    blanks.set(title="Frames that say “blank”", ylabel="share", xlabel="update", ylim=(0, 1.05))
    ax = right.subplots()
    draw_tokens(ax, probs, tokens, times)
    ax.set(title="The first utterance, frame by frame", ylabel="")
    _write(figure, [line for said, written in texts for line in (("said", said), ("written", written))])
    return figure


def _write(figure: Figure, lines: Sequence[tuple[str, str]]) -> None:
    """Lines of text in a row each below a figure, with what they are in front of them."""
    shown = (text if len(text) <= WIDEST else f"{text[:WIDEST]}…" for _, text in lines)
    label = "\n".join(f"{name:>8}: {text}" for (name, _), text in zip(lines, shown, strict=True))
    figure.supxlabel(label, x=0.04, ha="left", family="monospace", fontsize=14)


def label_efficiency(lines: Summary, all_minutes: float) -> Figure:
    """Word error rate over minutes of labels, from scratch and pre-trained, greedy and by beam search with n-grams.

    Each line has its start, minutes (0: all there are, `all_minutes`), and rates.
    """
    figure, axes = subplots(12, 5, columns=2, sharey=True)
    starts = list(dict.fromkeys(line["start"] for line in lines))
    for ax, rate in titled(axes, {"Greedy": "wer", "Beam search and n-grams": "beam_wer"}):
        for start, (color, dash, marker) in zip(starts, LINES, strict=False):
            own = [line for line in lines if line["start"] == start]
            own.sort(key=lambda line: line["minutes"] or all_minutes)
            minutes = [line["minutes"] or all_minutes for line in own]
            look = {"color": color, "marker": marker, "markersize": 8, "linewidth": 2.5, "capsize": 6}
            name = "random weights" if start == "scratch" else "pre-trained"
            ax.errorbar(minutes, *_spread(own, rate), fmt=dash, label=name, **look)
        ax.set(xscale="log", xlabel="minutes of labeled speech", ylim=(0, None))
        ticks = sorted({line["minutes"] or all_minutes for line in lines})
        ax.set_xticks(ticks, [f"{m:g}" if m != all_minutes else f"all {m:.0f}" for m in ticks])
        ax.minorticks_off()
        ax.grid(axis="y", alpha=0.4)
    axes[0].set_ylabel("word error rate (%)")
    axes[0].legend(loc="lower left")
    return figure


def _spread(lines: Summary, rate: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) means in percent, and (2, n) how far the least and the most of the seeds are from them."""
    low, mean, high = (100 * np.array([line[rate][name] for line in lines]) for name in ("min", "mean", "max"))
    return mean, np.stack([mean - low, high - mean])


def recipes(lines: Summary, panels: Mapping[str, str]) -> Figure:
    """Rates of several recipes, a row each: mean over the seeds as a dot, least to most as a bar; rate → title."""
    figure, _ = subplots(13, 0.55 * len(lines) + 1.6, columns=len(panels), sharey=True)
    rows = np.arange(len(lines))
    for ax, (rate, title), (color, _, marker) in zip(figure.axes, panels.items(), LINES, strict=False):
        means, whiskers = _spread(lines, rate)
        ax.errorbar(means, rows, xerr=whiskers, fmt=marker, color=color, markersize=10, linewidth=2.5, capsize=6)
        ax.axvline(means[0], color=COLORS["muted"], linestyle=":", linewidth=2)
        ax.set(title=title, xlabel="%")
        ax.grid(axis="y", alpha=0.4)
    figure.axes[0].set_yticks(rows, [line["row"] for line in lines])
    figure.axes[0].invert_yaxis()
    return figure


def heads(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """What attention heads do before and after fine-tuning, one panel a measure; title → two (layers, H) arrays."""
    figure, axes = subplots(12, 3.4 * len(panels) + 0.8, rows=len(panels), sharex=True)
    for ax, (before, after) in titled(axes, panels):
        layers, number = before.shape
        x = (np.arange(layers)[:, None] * (number + 1) + np.arange(number)).ravel()
        ax.vlines(x, before.ravel(), after.ravel(), color=COLORS["muted"], linewidth=3, zorder=0)
        names = ("pre-trained", "fine-tuned")
        for name, values, (color, _, marker) in zip(names, (before, after), LINES, strict=False):
            ax.plot(x, values.ravel(), marker, color=color, markersize=10, label=name)
        ax.margins(y=0.12)
    lowest = figure.axes[-1]
    lowest.set_xticks(x, np.tile(np.arange(1, number + 1), layers))
    for layer in range(layers):
        middle, where = layer * (number + 1) + (number - 1) / 2, (lowest.get_xaxis_transform(), "offset points")
        lowest.annotate(f"layer {layer + 1}", (middle, 0), (0, -42), *where, ha="center", fontsize=14)
    lowest.set_xlabel("head", labelpad=24)
    figure.axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def deafness(runs: Mapping[str, Records], alike: Mapping[str, Sequence[float]]) -> Figure:
    """Loss of several runs over updates, and how alike the contexts of an utterance's frames are; name → values.

    `runs` is name → records, `alike` name → mean cosine of two frames, after each record.
    """
    figure, (loss, cosine) = subplots(13, 4.6, columns=2, sharex=True)
    draw_runs(loss, runs, "loss", linewidth=2.5)
    updates, _ = column(next(iter(runs.values())), "loss")
    draw_lines(cosine, alike, updates, linewidth=2.5)
    loss.set(ylabel="nats", ylim=(0, None), title="CTC loss of a character")
    cosine.set(xlabel="update", ylabel="mean cosine of two frames", ylim=(0, 1.05), title="How alike the contexts are")
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=len(runs))
    return figure
