"""Figures of what codes stand for: how they are used, the phones they mean, and what else they tell."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy.cluster.hierarchy import dendrogram

from w2v2_teach.course.plots.explorers import KINDS
from w2v2_teach.course.plots.pretraining import INK, Records, column, draw_guessing, draw_metrics
from w2v2_teach.course.plots.speech import STEPS
from w2v2_teach.course.plots.style import COLORS, LINES, Arrays, draw_lines, subplots, tick_at, titled, without_lines

CLASS_COLORS = {kind: KINDS[kind] for kind in ("vowel", "liquid/glide", "nasal", "stop", "fricative", "silence")}
RARE = "#CFCFCF"  # drawn over columns with too few frames to believe


def toy_tables(panels: Mapping[str, tuple[np.ndarray, Sequence[str]]], phones: Sequence[str]) -> Figure:
    """Small tables of counts (phones, codes), a number in each cell: title → (counts, names of the codes)."""
    widths = [counts.shape[1] for counts, _ in panels.values()]
    figure, axes = subplots(2 + 0.95 * sum(widths), 4, columns=len(panels), width_ratios=widths)
    most = max(counts.max() for counts, _ in panels.values())
    for ax, (counts, codes) in titled(axes, panels):
        ax.imshow(counts, cmap="Blues", vmin=0, vmax=1.6 * most)
        for (row, place), count in np.ndenumerate(counts):
            ax.text(place, row, count, ha="center", va="center", fontsize=17, color="black" if count else "#AAAAAA")
        ax.set_xticks(range(len(codes)), codes)
        ax.set_yticks(range(len(phones)), phones)
        ax.set_xlabel("code")
        ax.tick_params(length=0)
    axes[0].set_ylabel("phone")
    return figure


def chance(entries: Sequence[int], curves: Mapping[str, Sequence[float]]) -> Figure:
    """PNMI of codes that are drawn at random, over the number of entries: name → values."""
    figure, ax = subplots(10, 4.3)
    draw_lines(ax, curves, entries, markersize=8, linewidth=2.5)
    ax.set(title="Codes thrown by dice", xlabel="different codes", ylabel="PNMI", xscale="log", ylim=(0, 1.05))
    tick_at(ax, entries, ",")
    ax.legend(loc="upper left", title="frames")
    return figure


def usage(books: np.ndarray, pairs: np.ndarray) -> Figure:
    """How often each entry is chosen, a panel a codebook, most used first; right: how often each pair is.

    `books` (2, V) and `pairs` (V, V), first codebook downwards, are counts.
    """
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    axes = left.subplots(2, 1, sharex=True, sharey=True)
    orders = [np.argsort(-counts) for counts in books]
    for g, (ax, counts, order) in enumerate(zip(axes, books, orders, strict=True)):
        ax.bar(range(len(counts)), 100 * counts[order] / counts.sum(), 0.85, color=COLORS["q"])
        even = 100 / len(counts)
        ax.axhline(even, color=INK, linestyle=":", linewidth=2)
        ax.text(len(counts) - 0.5, even + 0.25, f"even: 1/{len(counts)}", ha="right", color=INK, fontsize=13)
        ax.set(title=f"codebook {g + 1}", ylabel="frames (%)", xlim=(-0.7, len(counts) - 0.3))
    axes[1].set_xlabel("entries, most used first")
    ax = right.subplots()
    ordered = np.ma.masked_equal(pairs[np.ix_(*orders)], 0)
    image = ax.imshow(ordered, norm=LogNorm(1, pairs.max()))
    ax.set(title="pairs", xlabel="entry of codebook 2, most used first", ylabel="entry of codebook 1, most used first")
    right.colorbar(image, ax=ax, label="frames (white: none)", pad=0.02)
    return figure


def sharpening(records: Records, entries: int, marks: Mapping[int, float]) -> Figure:
    """A training's log: code perplexity and, on unheard speakers, PNMI; `marks` are PNMIs measured here, by update."""
    figure, (left, right) = subplots(13, 4.4, columns=2)
    metrics = {"training, masked frames": "code_perplexity", "dev, all frames": "dev_usage_perplexity"}
    draw_metrics(left, records, metrics)
    draw_guessing(left, entries, f"all entries alike: {entries}")
    left.set(title="Code perplexity", ylabel="entries in use", ylim=(0, 1.15 * entries))
    left.legend(loc="lower right")
    right.plot(*column(records, "dev_pnmi"), LINES[2][1], color=LINES[2][0], linewidth=2.5, label="dev speakers, log")
    right.plot(*zip(*marks.items(), strict=True), "D", color="black", markersize=9, label="test speakers, kept weights")
    right.set(title="What a pair of codes says of the phone", ylabel="PNMI", ylim=(0, 0.75))
    right.legend(loc="lower right")
    for ax in (left, right):
        ax.set_xlabel("update")
    return figure


def by_likeliest_phone(p: np.ndarray) -> np.ndarray:
    """The columns of P(phone | code) (phones, codes) in the order of their likeliest phone, surest first."""
    return np.lexsort((-p.max(axis=0), p.argmax(axis=0)))


def phones_given_codes(p: np.ndarray, counts: np.ndarray, phones: Sequence[str], least: int, title: str) -> Figure:
    """P(phone | code) (phones, codes), codes sorted by their likeliest phone; below, how many frames each column has.

    Columns with fewer than `least` frames stand at the right, grayed: too few to believe what they say. Unused codes
    are left out.
    """
    figure, (above, below) = subplots(13, 9.6, rows=2, sharex=True, height_ratios=(5, 1))
    used = np.flatnonzero(counts.sum(axis=0))
    order = used[by_likeliest_phone(p[:, used])]
    rare = counts[:, order].sum(axis=0) < least
    order = np.concatenate([order[~rare], order[rare]])
    frames = counts[:, order].sum(axis=0)
    image = above.imshow(p[:, order], vmin=0, vmax=1)
    if rare.any():
        for ax in (above, below):
            ax.axvspan(len(order) - rare.sum() - 0.5, len(order) - 0.5, color=RARE, alpha=0.75, linewidth=0)
    figure.colorbar(image, ax=above, label="P(phone | code)", pad=0.01)
    above.set_yticks(range(len(phones)), phones, fontsize=12)
    above.tick_params(length=0)
    above.set(title=title, ylabel="phone")
    edges = np.arange(len(order) + 1) - 0.5
    below.stairs(frames, edges, baseline=0.5, fill=True, color=COLORS["q"])
    below.axhline(least, color="black", linestyle=":", linewidth=1.5)
    below.set(yscale="log", ylabel="frames n", xlabel="codes, sorted by their likeliest phone", xticks=[])
    below.set_ylim(bottom=0.5)
    if rare.any():
        handle = Patch(color=RARE, label=f"{rare.sum()} with fewer than {least} frames")
        figure.legend(handles=[handle], loc="outside lower right")
    return figure


def tables(panels: Arrays, phones: Sequence[str]) -> Figure:
    """P(phone | code) of several models side by side, each with its own order of codes: title → (phones, codes)."""
    figure, axes = subplots(3.9 * len(panels), 8.2, columns=len(panels), sharey=True)
    for ax, p in titled(axes, panels):
        used = np.nansum(p, axis=0) > 0
        image = ax.imshow(p[:, used][:, by_likeliest_phone(p[:, used])], vmin=0, vmax=1)
        ax.set(xticks=[], xlabel="codes, sorted")
        ax.tick_params(length=0)
    axes[0].set_yticks(range(len(phones)), phones, fontsize=12)
    figure.colorbar(image, ax=axes, label="P(phone | code)", pad=0.01, aspect=40)
    return figure


def effective_numbers(codes: Sequence[float], phones: Mapping[str, float], classes: Mapping[str, str]) -> Figure:
    """Left: how many phones each code stands for, in effect; right: how many codes each phone is spread over.

    `codes` are exp of the entropy of P(phone | code), one a code; `phones` is label → exp of the entropy of P(code |
    phone), `classes` label → its class.
    """
    figure, (left, right) = subplots(13, 4.8, columns=2, width_ratios=(1, 2.1))
    left.hist(codes, np.arange(1, np.ceil(max(codes)) + 1), color=COLORS["q"], edgecolor="white")
    left.set(title="A code stands for …", xlabel="phones, in effect", ylabel="codes")
    names = sorted(phones, key=phones.__getitem__)
    colors = [CLASS_COLORS[classes[name]] for name in names]
    right.bar(range(len(names)), [phones[name] for name in names], 0.8, color=colors, edgecolor="black", linewidth=0.6)
    right.set_xticks(range(len(names)), names, fontsize=11, rotation=90)
    right.set(title="A phone is spread over …", ylabel="codes, in effect", xlim=(-0.7, len(names) - 0.3))
    right.legend(handles=_class_handles(), loc="upper left", ncols=2, fontsize=12)
    return figure


def shared_codes(overlap: np.ndarray, tree: np.ndarray, phones: Sequence[str], classes: Mapping[str, str]) -> Figure:
    """How much of their codes two phones share (phones, phones), and the tree of those that share most.

    `overlap` lies between 0, no code in common, and 1; `tree` is what `scipy.cluster.hierarchy.linkage` made of 1 -
    overlap; `classes`, label → its class, color the labels.
    """
    figure, (left, right) = subplots(13, 8.8, columns=2, width_ratios=(1, 2.3))
    drawn = dendrogram(
        tree, orientation="left", ax=left, labels=phones, color_threshold=0, above_threshold_color="#444444"
    )
    order = drawn["leaves"]
    left.invert_yaxis()
    left.set(xlabel="codes not shared", xlim=(1, 0))
    left.spines[:].set_visible(False)
    image = right.imshow(overlap[np.ix_(order, order)], vmin=0, vmax=0.9, cmap=STEPS)  # few: colors are for labels
    names = [phones[i] for i in order]
    right.set_yticks([])
    right.set_xticks(range(len(names)), names, fontsize=12, rotation=90)
    right.tick_params(length=0)
    left.tick_params(axis="y", labelsize=13)
    for label in (*left.get_yticklabels(), *right.get_xticklabels()):
        label.set(color=CLASS_COLORS[classes[label.get_text()]], fontweight="bold")
    right.set(title="Share of codes in common")
    figure.colorbar(image, ax=right, pad=0.01, extend="max")
    figure.legend(handles=_class_handles(), loc="outside lower center", ncols=len(CLASS_COLORS))
    return figure


def _class_handles() -> list[Patch]:
    return [Patch(facecolor=color, edgecolor="black", label=name) for name, color in CLASS_COLORS.items()]


def code_strings(rows: Mapping[str, tuple[np.ndarray, Sequence[str]]], meant: Sequence[Sequence[str]]) -> Figure:
    """The same word several times, a box a frame: the code of each codebook, colored by the class it usually means.

    `rows` is name → codes (T, G) and what is being said in each frame (T,); `meant` (G, V) the class of the likeliest
    phone of each entry.
    """
    longest = max(len(codes) for codes, _ in rows.values())
    figure, axes = subplots(max(11, 0.36 * longest + 2), 1.35 * len(rows) + 1, rows=len(rows), sharex=True)
    for ax, (name, (codes, phones)) in zip(axes, rows.items(), strict=True):
        for t, frame in enumerate(codes):
            for g, code in enumerate(frame):
                color = CLASS_COLORS[meant[g][code]]
                ax.add_patch(Rectangle((t, g), 1, 1, facecolor=color, alpha=0.6, edgecolor="white"))
                ax.text(t + 0.5, g + 0.5, code, ha="center", va="center", fontsize=11)
        starts = [t for t in range(len(phones)) if t == 0 or phones[t] != phones[t - 1]]
        for start, end in zip(starts, [*starts[1:], len(phones)], strict=True):
            ax.plot([start, start], [-0.9, 2], color="black", linewidth=1.5)
            ax.text((start + end) / 2, -0.42, phones[start], ha="center", va="center", fontsize=13)
        ax.set(xlim=(0, longest), ylim=(2, -0.9), xticks=[], yticks=(0.5, 1.5), yticklabels=("book 1", "book 2"))
        ax.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=14)
        without_lines(ax)
    figure.legend(handles=_class_handles(), loc="outside lower center", ncols=len(CLASS_COLORS))
    return figure


def whose_codes(shares: np.ndarray, speakers: Sequence[str], bars: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Left: which speakers use each code, (speakers, codes), each column adding up to 1; right: nats about what.

    `bars`: what is asked for → nats that the codes tell of it, nats that as many shuffled codes tell, nats there are.
    """
    figure, (left, right) = subplots(13, 4.8, columns=2, width_ratios=(1.6, 1))
    bottom = np.zeros(shares.shape[1])
    order = np.lexsort((-shares.max(axis=0), shares.argmax(axis=0)))
    looks = zip([COLORS[k] for k in ("c", "z", "q", "loss")], ("", "//", "..", "xx"), strict=True)
    edges = np.arange(shares.shape[1] + 1) - 0.5
    for name, share, (color, hatch) in zip(speakers, shares[:, order], looks, strict=False):
        look = {"facecolor": color, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        left.stairs(bottom + share, edges, baseline=bottom, fill=True, label=name, **look)
        bottom = bottom + share
    left.set(title="Who uses each code", xlabel="codes of both codebooks, sorted", ylabel="share of its frames")
    left.set(xlim=(-0.6, shares.shape[1] - 0.4), ylim=(0, 1), xticks=[])
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(speakers))

    told, by_chance, there = zip(*bars.values(), strict=True)
    names = list(bars)
    right.bar(names, there, 0.7, color="white", edgecolor="black", label="there is")
    right.bar(names, told, 0.7, color=COLORS["q"], label="codes tell")
    right.bar(names, by_chance, 0.7, color="black", label="shuffled codes tell")
    for place, (some, most) in enumerate(zip(told, there, strict=True)):
        right.text(place, most + 0.05, f"{some:.2f} of {most:.2f}", ha="center", fontsize=14)
    right.set(title="What a pair of codes tells", ylabel="nats", ylim=(0, 1.45 * max(there)))
    right.legend(loc="upper right")
    return figure


def lengths(curves: Arrays, hop: float) -> Figure:
    """How long codes and phones last, as the share that lasts longer than so many seconds: name → lengths (n,) in s."""
    figure, ax = subplots(10.5, 4.4)
    seconds = np.arange(0, 13) * hop
    longer = {name: [100 * np.mean(values > s + 1e-6) for s in seconds] for name, values in curves.items()}
    draw_lines(ax, longer, 1000 * seconds, markersize=7, linewidth=2.5, legend="upper right")
    ax.set(title="How many last longer than …", xlabel="time (ms)", ylabel="share (%)", ylim=(0, 103))
    ax.set_xlim(0, 1000 * seconds[-1])
    return figure


def dying(entries: Sequence[int], measures: Mapping[str, Sequence[float]]) -> Figure:
    """What each measure says when only so many entries of each codebook are left: name → values in [0, 1]."""
    figure, ax = subplots(10.5, 4.6)
    draw_lines(ax, measures, entries, markersize=8, linewidth=2.5)
    ax.set(title="A codebook dies", xlabel="entries left in each codebook", xscale="log", ylim=(0, 1.05))
    tick_at(ax, entries)
    ax.invert_xaxis()
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
