"""Figures of pre-training: learning curves live and from a log, schedules, what Adam makes of a factor, sick runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from w2v2_teach.course.plots.style import COLORS, LINES, Arrays, draw_lines, subplots

Records = Sequence[Mapping[str, float]]  # the lines of a metrics.jsonl
INK = "#555555"  # of lines that stand for guessing, and of their labels


def column(records: Records, name: str) -> tuple[list[float], list[float]]:
    """The updates at which a metric was written down, and its values."""
    there = [record for record in records if name in record]
    return [record["update"] for record in there], [record[name] for record in there]


def draw_guessing(ax: Axes, value: float, label: str) -> None:
    """A horizontal line at what guessing gives, with its label at the right."""
    ax.axhline(value, color=INK, linestyle=":", linewidth=2)
    where = (1, value), (0, 4), ax.get_yaxis_transform(), "offset points"
    ax.annotate(label, *where, ha="right", va="bottom", color=INK, fontsize=13)


def draw_metrics(ax: Axes, records: Records, names: Mapping[str, str]) -> None:
    """One line per metric, `names` maps what the legend says to the metric; one with few values gets markers."""
    for (label, name), (color, dash, marker) in zip(names.items(), LINES, strict=False):
        updates, values = column(records, name)
        few = len(updates) <= 50
        ax.plot(updates, values, dash, color=color, linewidth=2, marker=marker if few else None, label=label)


def draw_runs(ax: Axes, runs: Mapping[str, Records], metric: str, **look: Any) -> None:
    """One metric of several runs over the updates, name → records; a run that lacks it has no line."""
    for (name, records), (color, dash, marker) in zip(runs.items(), LINES, strict=False):
        ax.plot(*column(records, metric), dash, color=color, marker=marker, label=name, **look)
    ax.set_xlabel("update")


def _draw_game(loss: Axes, accuracy: Axes, records: Records, K: int, parts: Mapping[str, str]) -> None:
    """Loss and accuracy with what guessing gives; `parts` maps what the legend says to the prefix of the metrics."""
    draw_metrics(loss, records, {label: f"{prefix}contrastive_loss" for label, prefix in parts.items()})
    draw_guessing(loss, np.log(K + 1), f"guessing: ln {K + 1}")
    draw_metrics(accuracy, records, {label: f"{prefix}accuracy" for label, prefix in parts.items()})
    draw_guessing(accuracy, 1 / (K + 1), f"guessing: 1 in {K + 1}")


def live(records: Records, table: np.ndarray, phones: Sequence[str], *, updates: int, K: int, entries: int) -> Figure:
    """A training on its way: loss, accuracy and code perplexity so far, and P(phone | code) at this moment.

    `table` (phones, V) has a column a code, which adds up to 1 unless the code is not used; there will be `updates`
    updates. K distractors say what guessing gives, and `entries`, G·V, how many codes there are.
    """
    figure = Figure(figsize=(13, 7), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    loss, accuracy, perplexity = left.subplots(3, 1, sharex=True)
    _draw_game(loss, accuracy, records, K, {"": ""})
    loss.set(ylabel="loss (nats)", ylim=(3, 5.2), title="Contrastive loss")
    accuracy.set(ylabel="accuracy", ylim=(0, 0.6), title="Right codes found")
    draw_metrics(perplexity, records, {"": "code_perplexity"})
    perplexity.set(ylabel="perplexity", ylim=(0, 1.1 * entries), title=f"Code perplexity, at most {entries}")
    perplexity.set(xlabel="update", xlim=(0, updates))
    draw_table(right.subplots(), table, phones)
    return figure


def draw_table(ax: Axes, table: np.ndarray, phones: Sequence[str]) -> None:
    """P(phone | code) as a heat map (phones, V); codes for the same phone stand side by side, unused ones last."""
    unused = table.sum(axis=0) == 0
    order = np.lexsort((-table.max(axis=0), table.argmax(axis=0), unused))
    image = ax.imshow(table[:, order], vmin=0, vmax=0.6)
    ax.figure.colorbar(image, ax=ax, label="P(phone | code)", pad=0.02, extend="max")
    ax.set_yticks(range(len(phones)), phones, fontsize=12)
    ax.set(xticks=[], xlabel="entries of the first codebook, sorted", ylabel="phone", title="What a code stands for")
    ax.tick_params(length=0)


def overfit(records: Records, K: int) -> Figure:
    """Loss and accuracy on a single utterance, over updates."""
    figure, (loss, accuracy) = subplots(11, 3.8, columns=2, sharex=True)
    _draw_game(loss, accuracy, records, K, {"": ""})
    loss.set(xlabel="update", ylabel="loss (nats)", ylim=(0, 6.2), title="Loss on one utterance")
    accuracy.set(xlabel="update", ylabel="accuracy", ylim=(0, 1.05), title="Accuracy on one utterance")
    return figure


def schedules(rates: Arrays, temperatures: Arrays) -> Figure:
    """Learning rate, as a share of its peak, and Gumbel temperature over the share of the run; name → values."""
    figure, (left, right) = subplots(12, 4.2, columns=2, sharex=True)
    for ax, curves in ((left, rates), (right, temperatures)):
        for (name, values), (color, dash, marker) in zip(curves.items(), LINES, strict=False):
            share = np.linspace(0, 100, len(values))
            ax.plot(share, values, dash, color=color, linewidth=2, marker=marker, markevery=0.15, label=name)
        ax.set(xlabel="share of the run (%)", xlim=(0, 100))
    left.set(title="Learning rate", ylabel="share of its peak", ylim=(0, 1.08))
    right.set(title="Gumbel temperature", ylabel="τ", ylim=(0, 2.15))
    right.yaxis.label.set(rotation=0, ha="right", va="center")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=len(temperatures))
    return figure


def steps_of_adam(gradients: np.ndarray, steps: Arrays, found: np.ndarray) -> Figure:
    """Adam's first step, in learning rates, over the size of the gradient; below it, where real gradients lie.

    `steps` is name → steps (n,) for the sizes `gradients` (n,); `found` are the sizes of real gradients.
    """
    figure, (top, bottom) = subplots(11, 5.4, rows=2, sharex=True, height_ratios=(2, 1))
    draw_lines(top, steps, gradients, linewidth=2.5, markevery=12, legend="upper left")
    top.set(xscale="log", ylabel="step (learning rates)", ylim=(0, 1.08))
    top.set_title("Adam's first step against the size of the gradient")
    bottom.hist(found, bins=np.geomspace(gradients[0], gradients[-1], 60), color=COLORS["z"])
    bottom.set(xlabel="size of the gradient of one weight", ylabel="weights", xlim=(gradients[0], gradients[-1]))
    bottom.set_title("The encoder's gradients in one update", fontsize=14)
    return figure


def run_log(
    records: Records,
    moments: Mapping[str, float],
    *,
    K: int,
    entries: int,
    now: float | None = None,
    log_axis: bool = True,
) -> Figure:
    """A whole run: loss, accuracy, perplexity, gradient norm, learning rate and τ over updates.

    `moments`, what happened → at which update, are vertical lines, named above; `now` is an update to point at. K are
    the distractors, `entries` is G·V. The updates' axis is logarithmic or linear.
    """
    figure, axes = subplots(12, 9.5, rows=5, sharex=True, height_ratios=(1.4, 1.2, 1.2, 0.9, 0.9))
    loss, accuracy, perplexity, norm, schedule = axes
    _draw_game(loss, accuracy, records, K, {"train": "", "dev": "dev_"})
    loss.set(ylabel="loss\n(nats)", ylim=(None, 1.12 * np.log(K + 1)))
    accuracy.set(ylabel="accuracy", ylim=(0, None))
    draw_metrics(perplexity, records, {"of the codes": "code_perplexity", "of the probabilities": "prob_perplexity"})
    perplexity.set(ylabel="perplexity", ylim=(0, 1.08 * entries))
    draw_metrics(norm, records, {"": "grad_norm"})
    norm.set(ylabel="gradient\nnorm", ylim=(0, None))
    (updates, rates), (_, temperatures) = column(records, "learning_rate"), column(records, "temperature")
    schedules = {"rate, of its peak": np.array(rates) / max(rates), "τ": temperatures}
    draw_lines(schedule, schedules, updates, marked=False, linewidth=2)
    schedule.set(ylabel="schedules", xlabel="update" + (" (logarithmic axis)" if log_axis else ""), ylim=(0, None))
    for ax in axes:
        if ax is not norm:
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    loss.set_xlim(records[0]["update"] if log_axis else 0, records[-1]["update"])
    _draw_moments(axes, moments, now, log_axis)
    return figure


def _draw_moments(axes: Sequence[Axes], moments: Mapping[str, float], now: float | None, log_axis: bool) -> None:
    for ax in axes:
        if log_axis:
            ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        for update in moments.values():
            ax.axvline(update, color=COLORS["muted"], linewidth=1.5, zorder=0)
        if now is not None:
            ax.axvline(now, color=COLORS["lit"], linestyle="--", linewidth=2.5)
    left, right = axes[0].get_xlim()
    top = axes[0].get_xaxis_transform()
    for row, (name, update) in enumerate(sorted(moments.items(), key=lambda item: item[1])):
        height = 1.05 + 0.17 * (len(moments) - 1 - row)  # the leftmost stands highest: no name crosses another's line
        side = "right" if update > left + 0.7 * (right - left) else "left"
        axes[0].plot([update, update], [1, height], color=COLORS["muted"], linewidth=1.5, transform=top, clip_on=False)
        axes[0].text(update, height, f" {name}: {update:,} ", ha=side, fontsize=13, transform=top)


def clinic(charts: Mapping[str, Records], *, K: int, entries: int) -> Figure:
    """Loss, accuracy and code perplexity of several short runs, one line each; name → records."""
    figure, (loss, accuracy, perplexity) = subplots(13, 4.4, columns=3, sharex=True)
    for ax, metric in ((loss, "contrastive_loss"), (accuracy, "accuracy"), (perplexity, "code_perplexity")):
        draw_runs(ax, charts, metric, linewidth=2.5, markevery=0.2)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for ax, value in ((loss, np.log(K + 1)), (accuracy, 1 / (K + 1))):
        ax.axhline(value, color=INK, linestyle=":", linewidth=2, label=f"guessing among {K + 1}")
    loss.set(title="Loss (nats)")
    accuracy.set(title="Accuracy", ylim=(0, None))
    perplexity.set(title=f"Code perplexity, at most {entries}", ylim=(0, 1.05 * entries))
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=len(charts) + 1)
    return figure
