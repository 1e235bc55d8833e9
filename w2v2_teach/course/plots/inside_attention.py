"""Figures of notebook 09: maps and their numbers, heads by type, what a head is worth, what each layer knows."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from w2v2_teach.course.plots.attention import draw_map
from w2v2_teach.course.plots.explorers import TYPES
from w2v2_teach.course.plots.speech import STEPS, Intervals, draw_intervals, draw_waveform, frame_edges
from w2v2_teach.course.plots.style import COLORS, DIVERGING, Arrays, draw_lines, draw_numbers, subplots, titled

# How a head type looks, (color, marker): its color in the explorer, and never told apart by color alone.
TYPE_LOOKS = {name: (TYPES[name], marker) for name, marker in (("global", "o"), ("vertical", "s"), ("diagonal", "^"))}


def toy_maps(maps: Arrays) -> Figure:
    """Maps of a few frames, (T, T) each, side by side with their weights written in."""
    figure, axes = subplots(13, 5.4, columns=len(maps))
    for ax, weights in titled(axes, maps):
        ax.imshow(weights, vmin=0, vmax=1, cmap="Blues", aspect="equal")
        for (row, column), value in np.ndenumerate(weights):
            if value > 0:
                text = f"{value:.2f}".lstrip("0") if value < 1 else "1"
                ink = "white" if value > 0.6 else "black"
                ax.text(column, row, text, ha="center", va="center", fontsize=13, color=ink)
        frames = range(len(weights))
        ax.set(xlabel="key", xticks=frames, yticks=frames)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[0].set_ylabel("query")
    return figure


def grid_of_maps(
    maps: Arrays, words: Intervals, times: np.ndarray, *, types: np.ndarray, most: float, title: str
) -> Figure:
    """All heads of some layers, layer → (H, T, T), on one color scale from 0 to `most` even shares 1/T.

    The frame of each map has the color of its head's type, (layers, H); words stand on the outer axes.
    """
    heads, T, _ = next(iter(maps.values())).shape
    figure, axes = subplots(
        12, 3.05 * len(maps) + 0.9, rows=len(maps), columns=heads, sharex=True, sharey=True, squeeze=False
    )
    start, *_, end = frame_edges(times)
    look = {"extent": (start, end, end, start), "aspect": "equal", "vmin": 0, "vmax": most, "cmap": STEPS}
    for row, (layer, weights) in enumerate(maps.items()):
        for head, ax in enumerate(axes[row]):
            image = ax.imshow(T * weights[head], **look)
            color, marker = TYPE_LOOKS[str(types[row, head])]
            ax.spines[:].set(visible=True, color=color, linewidth=4)
            ax.set_title(f"{layer}, head {head + 1}", fontsize=12, pad=7)
            ax.plot(0.05 * end, 0.05 * end, marker, color="white", markeredgecolor="black", markersize=9)
            ax.tick_params(length=0)
    centers, labels = [(w.start + w.end) / 2 for w in words], [w.label for w in words]
    for ax in axes[-1]:
        ax.set_xticks(centers, labels, rotation=90, fontsize=11)
    for ax in axes[:, 0]:
        ax.set_yticks(centers, labels, fontsize=11)
    where = {"ax": axes, "pad": 0.01, "aspect": 12 * len(maps), "extend": "max"}
    bar = figure.colorbar(image, label="weight, in even shares 1/T", **where)
    bar.ax.tick_params(labelsize=12)
    figure.supxlabel("key", fontsize=14)
    figure.supylabel("query", fontsize=14)
    look = {"title": title, "title_fontsize": 16, "fontsize": 13, "ncols": 3}
    figure.legend(handles=_type_handles(), loc="outside upper center", **look)
    return figure


def _type_handles(of: str = "") -> list[Line2D]:
    """The marks of the head types, for a legend; `of` is put behind their names."""
    looks = {"linestyle": "", "markersize": 10}
    return [Line2D([], [], marker=m, color=c, label=f"{name}{of}", **looks) for name, (c, m) in TYPE_LOOKS.items()]


def measures(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], types: np.ndarray, names: tuple[str, str]) -> Figure:
    """One panel a measure: every head of the first network by its type's mark, of the second as gray crosses.

    `panels` is title and axis → (layers, H) of the two networks, 0 for the even map; `types` (layers, H) of the first.
    """
    figure, axes = subplots(14, 5, columns=len(panels))
    for ax, (title, (values, others)) in zip(axes, panels.items(), strict=True):
        name, _, axis = title.partition("\n")
        ax.axhline(0, color=COLORS["muted"], linewidth=1.5)
        for (layer, head), value in np.ndenumerate(values):
            x = layer + 1 + 0.15 * (head - (values.shape[1] - 1) / 2)
            color, marker = TYPE_LOOKS[str(types[layer, head])]
            ax.plot(x, others[layer, head], "x", color="#666666", markersize=7)
            ax.plot(x, value, marker, color=color, markersize=10)
        ax.set(title=name, ylabel=axis, xlabel="layer", xticks=range(1, len(values) + 1))
        ax.margins(y=0.12)
    cross = Line2D([], [], linestyle="", marker="x", color="#666666", markersize=7, label=names[1])
    handles = [*_type_handles(f" ({names[0]})"), cross]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=13)
    return figure


def head_tables(tables: Arrays, form: str, unit: str, center: float | None = None) -> Figure:
    """Tables of one number a head, (layers, H) each, on one color scale, the numbers written in.

    `form` says how to write a number, such as ".2f", `unit` labels the color bar, and `center` is white between two
    colors; None where all are amounts.
    """
    figure, axes = subplots(1.2 + 5.4 * len(tables), 4.4, columns=len(tables))
    values = np.stack(list(tables.values()))
    scale = {"vmin": values.min(), "vmax": values.max(), "cmap": "Blues"}
    if center is not None:
        reach = max(np.abs(values - center).max(), 1e-9)
        scale = {"vmin": center - reach, "vmax": center + reach, "cmap": DIVERGING}
    for ax, table in titled(axes, tables):
        image = draw_numbers(ax, table, form, **scale)
        layers, heads = table.shape
        ax.set_xticks(range(heads), range(1, heads + 1))
        ax.set_yticks(range(layers), range(1, layers + 1))
        ax.set(xlabel="head", ylabel="layer")
    figure.colorbar(image, ax=figure.axes, label=unit, pad=0.02)
    return figure


def by_class(tables: Arrays, classes: Sequence[str], least: int) -> Figure:
    """Attention from class to class, (classes, classes) each, as multiples of what it is compared with.

    `least` is how many frames the rarest class has: it stands below, for ratios of few frames are no findings.
    """
    figure, axes = subplots(14, 6, columns=len(tables), sharey=True)
    places = range(len(classes))
    for ax, table in titled(axes, tables):
        image = draw_numbers(ax, table, size=13, cmap=DIVERGING, norm=LogNorm(0.5, 2), aspect="equal")
        ax.set_xticks(places, classes, rotation=30, ha="right", rotation_mode="anchor")
        ax.set_yticks(places, classes)
        ax.set_xlabel("key")
    axes[0].set_ylabel("query")
    bar = figure.colorbar(image, ax=figure.axes, label="times as much", pad=0.02)
    bar.set_ticks([0.5, 2**-0.5, 1, 2**0.5, 2], labels=["½", "0.7", "1", "1.4", "2"], minor=False)
    bar.minorticks_off()
    figure.supxlabel(f"the rarest class has {least} frames", fontsize=13, color="#555555")
    return figure


def masked_stretch(
    lines: Arrays, mask: np.ndarray, waveform: np.ndarray, words: Intervals, *, times: np.ndarray, title: str
) -> Figure:
    """Attention that each frame receives, (T,) per line in even shares, over the waveform (L,); masked spans shaded."""
    figure, (strip, sound, ax) = subplots(12, 6, rows=3, sharex=True, height_ratios=(1, 1.6, 4))
    draw_intervals(strip, words, "")
    strip.tick_params(bottom=False, labelbottom=False)
    draw_waveform(sound, waveform)
    sound.set(xlabel="", ylabel="", yticks=[])
    edges = frame_edges(times)  # (T + 1,) s
    changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    for start, end in edges[changes].reshape(-1, 2):
        for panel in (sound, ax):
            panel.axvspan(start, end, color=COLORS["muted"], alpha=0.35, linewidth=0)
    ax.axhline(1, color=COLORS["muted"], linewidth=1.5)
    draw_lines(ax, lines, times, marked=False, drawstyle="steps-mid", linewidth=2.2)
    top = 1.3 * max(values.max() for values in lines.values())
    ax.set(xlabel="time of the key (s); gray: masked", ylabel="attention received\n(even shares)", ylim=(0, top))
    ax.set_xlim(edges[0], edges[-1])
    ax.legend(loc="upper center", ncols=len(lines))
    strip.set_title(title)
    return figure


def losses(bars: Mapping[str, float], chance: float, whole: str) -> Figure:
    """Contrastive loss with parts of the network taken away, from top to bottom; lines for the whole and for chance."""
    figure, ax = subplots(12, 0.62 * len(bars) + 1.6)
    names, values = list(bars), np.array(list(bars.values()))
    colors = [COLORS["c"] if name == whole else COLORS["lit"] for name in names]
    ax.barh(names, values, color=colors, height=0.66)
    for row, value in enumerate(values):
        ax.text(value + 0.03, row, f"{value:.2f}", va="center", fontsize=14)
    ax.axvline(bars[whole], color=COLORS["c"], linestyle="--", linewidth=1.5)
    ax.axvline(chance, color=COLORS["muted"], linewidth=2)
    ax.text(chance - 0.04, 0, "guessing", ha="right", va="center", fontsize=13, color="#555555")
    ax.set(xlabel="contrastive loss (nats a masked frame)", xlim=(0, 1.12 * max(chance, values.max())))
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0, labelsize=14)
    return figure


def layer_matrices(tables: Arrays, layers: Sequence[str], across: Mapping[str, str]) -> Figure:
    """Similarities (layers, layers), 0 to 1, written in; `across` says what network stands in the columns of each."""
    figure, axes = subplots(14, 5.8, columns=len(tables))
    places = range(len(layers))
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        image = draw_numbers(ax, table, size=13, vmin=0, vmax=1, aspect="equal")
        ax.set(title=title, xlabel=across[title])
        ax.set_xticks(places, layers, rotation=40, ha="right", rotation_mode="anchor")
        ax.set_yticks(places, layers)
    figure.colorbar(image, ax=figure.axes, label="linear CKA", pad=0.02)
    return figure


def probes(panels: Mapping[str, Mapping[str, Mapping[str, float]]], chance: Mapping[str, float]) -> Figure:
    """One panel a question: accuracy over the layers, one line a network; question → network → layer → accuracy."""
    figure, axes = subplots(14, 5, columns=len(panels), sharey=True)
    for ax, (question, networks) in zip(axes, panels.items(), strict=True):
        layers = list(next(iter(networks.values())))
        draw_lines(
            ax, {name: [of[k] for k in layers] for name, of in networks.items()}, layers, markersize=8, linewidth=2
        )
        ax.axhline(chance[question], color=COLORS["muted"], linewidth=1.5)
        where = ax.get_yaxis_transform()
        ax.text(0.02, chance[question] - 0.02, "guessing", va="top", fontsize=12, color="#555555", transform=where)
        ax.set(title=question, ylim=(0, 1.02))
        ax.tick_params(axis="x", rotation=40)
    axes[0].set_ylabel("accuracy of a linear probe")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=13)
    return figure


def rollout_beside_truth(maps: Arrays, words: Intervals, times: np.ndarray) -> Figure:
    """Maps (T, T) of what each frame's context comes from, side by side, each on a scale of its own."""
    figure, axes = subplots(14, 5.6, columns=len(maps))
    for ax, weights in titled(axes, maps):
        draw_map(ax, weights, words, times, vmin=0, vmax=len(weights) * np.quantile(weights, 0.99))
        ax.set(xlabel="frame that is looked at, or hidden", ylabel="frame whose context it is")
    return figure


def around_a_frame(lines: Arrays, hop: float, reach: float) -> Figure:
    """Shares over the distance from a frame, (2 T - 1,) each from the past to the future, on a logarithmic axis."""
    figure, ax = subplots(11, 4.8)
    ax.add_patch(Rectangle((-reach, 0), 2 * reach, 1, color=COLORS["z"], alpha=0.18, linewidth=0))
    where = {"ha": "center", "va": "top", "transform": ax.get_xaxis_transform()}
    ax.text(0, 0.97, "reach of the positional convolution", fontsize=13, **where)
    number = len(next(iter(lines.values())))
    draw_lines(ax, lines, (np.arange(number) - number // 2) * hop, marked=False, linewidth=2.2, legend="upper right")
    ax.set(xlabel="distance (s)", ylabel="share of the whole", yscale="log", xlim=(-1.5, 1.5), ylim=(2e-3, 1))
    ax.set_title("Where a context comes from: rollout, and what hiding frames shows")
    return figure
