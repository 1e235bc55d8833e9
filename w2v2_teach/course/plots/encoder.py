"""Figures of the feature encoder: how it slides, what a frame sees, what norms and filters do, what it costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.course.plots.speech import Intervals, draw_frames, draw_intervals, draw_waveform
from w2v2_teach.course.plots.style import COLORS, DIVERGING, LINES, Arrays, draw_lines, subplots, titled
from w2v2_teach.feature_encoder import ReceptiveField, receptive_field


def sliding_kernel(x: Sequence[float], kernel: Sequence[float], outputs: Sequence[float], stride: int) -> Figure:
    """One row per output: the input's cells, the kernel's window on them, and the sum that comes out."""
    figure, ax = subplots(10, 1.1 + 0.95 * len(outputs))
    for row, output in enumerate(outputs):
        y, start = -1.25 * row, row * stride
        terms = [f"{_number(w)}·{_number(x[start + i])}" for i, w in enumerate(kernel)]
        for i, value in enumerate(x):
            seen = start <= i < start + len(kernel)
            _cell(ax, i, y, _number(value), COLORS["x"] if seen else "white")
            if seen:
                ax.text(i + 0.45, y + 1.07, f"× {_number(kernel[i - start])}", ha="center", va="center", fontsize=13)
        ax.text(len(x) + 0.3, y + 0.45, f"{' + '.join(terms)}  =", va="center", fontsize=15)
        _cell(ax, len(x) + 3.4, y, _number(output), COLORS["z"])
    ax.set(xlim=(-0.1, len(x) + 4.4), ylim=(-1.25 * (len(outputs) - 1) - 0.1, 1.3))
    ax.axis("off")
    return figure


def _cell(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    ax.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor=color, edgecolor="black"))
    ax.text(x + 0.45, y + 0.45, text, ha="center", va="center", fontsize=16)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def activations(x: np.ndarray, curves: Arrays) -> Figure:
    """Activation functions over their input, the second one dashed."""
    figure, ax = subplots(9, 3.6)
    ax.axhline(0, color=COLORS["muted"], linewidth=0.8)
    draw_lines(ax, curves, x, marked=False, linewidth=2.5, legend="upper left")
    ax.set(xlabel="input", ylabel="output", title="Two activations")
    return figure


def last_windows(field: ReceptiveField, samples: int, frames: int, shown: int = 4) -> Figure:
    """The last windows that fit into `samples`, and the next one, which does not."""
    figure, ax = subplots(10, 3.4)
    for row, frame in enumerate(range(frames - shown, frames + 1)):
        window = field.window(frame)
        look = {"color": COLORS["z"]} if frame < frames else {"color": "white", "hatch": "//", "linestyle": "--"}
        ax.barh(row, len(window), left=window.start, height=0.7, edgecolor="black", **look)
        middle, note = window.start + len(window) / 2, f"{window.start} … {window.stop - 1}"
        ax.text(middle, row, note, ha="center", va="center", fontsize=12, backgroundcolor="white")
    ax.axvline(samples, color=COLORS["lit"], linewidth=2.5)
    ax.text(samples + 6, 0.1, f"the sound ends\nafter {samples} samples", color=COLORS["lit"], fontsize=13, va="center")
    ax.set(
        yticks=range(shown + 1), yticklabels=[f"frame {i}" for i in range(frames - shown, frames + 1)],
        xlabel="sample", xlim=(field.window(frames - shown).start - 20, field.window(frames).stop + 160),
        title=f"{frames} windows fit; the next one would need samples that are not there",
    )  # fmt: skip
    ax.invert_yaxis()
    return figure


def pyramid(config: Wav2Vec2Config) -> Figure:
    """What the first frame sees, layer by layer down to the waveform, and what the second one sees beside it."""
    layers = list(zip(config.conv_kernel, config.conv_stride, strict=True))
    fields = [ReceptiveField(1, 1), *receptive_field(config)]  # the waveform first: each sample sees itself
    top, end = len(layers), fields[-1].window(1).stop
    figure, ax = subplots(11, 1.3 + 0.55 * top)
    _draw_tree(ax, fields, layers, frame=1, color=COLORS["muted"], name="second frame")
    _draw_tree(ax, fields, layers, frame=0, color=COLORS["c"], name="first frame")
    for level, field in enumerate(fields[1:], start=1):
        ax.text(1.02 * end, level, f"sees {field.samples:>3} samples, every {field.hop:>3}", fontsize=13, va="center")
    note = f"{fields[-1].ms:g} ms, every {fields[-1].hop_ms:g} ms"
    ax.text(1.02 * end, 0, note, fontsize=13, va="center", weight="bold")
    names = [f"layer {i}: k {kernel}, s {stride}" for i, (kernel, stride) in enumerate(layers)]
    ax.set(yticks=range(top + 1), yticklabels=["waveform", *names], ylim=(-0.55, top + 0.8), xlim=(0, 1.5 * end))
    ax.set_xticks(range(0, end + 1, 100))
    ax.spines["bottom"].set_bounds(0, end)
    ax.spines["left"].set_bounds(0, top)
    ax.set_xlabel("sample", x=1 / 3)
    return figure


def _draw_tree(
    ax: Axes, fields: list[ReceptiveField], layers: list[tuple[int, int]], *, frame: int, color: str, name: str
) -> None:
    """Every step that a frame depends on, as a dot at the middle of its own window, with lines to what it reads."""

    def middle(level: int, step: int) -> float:
        return step * fields[level].hop + fields[level].samples / 2

    steps = range(frame, frame + 1)
    side = "left" if frame else "right"
    ax.text(middle(len(layers), frame), len(layers) + 0.3, name, color=color, ha=side, fontsize=13)
    for level in range(len(layers), 0, -1):
        kernel, stride = layers[level - 1]
        below = range(steps.start * stride, (steps.stop - 1) * stride + kernel)
        if len(below) <= 100:
            lines = [
                ((middle(level, step), level), (middle(level - 1, step * stride + i), level - 1))
                for step in steps
                for i in range(kernel)
            ]
            ax.add_collection(LineCollection(lines, colors=color, linewidths=0.7, alpha=0.55))
        else:  # too many lines to tell apart: the area that they would fill
            left, right = ([middle(level, steps[end]), middle(level - 1, below[end])] for end in (0, -1))
            ax.fill_betweenx([level, level - 1], left, right, color=color, alpha=0.3, linewidth=0)
        dots = "o" if len(steps) <= 100 else "-"
        ax.plot([middle(level, i) for i in steps], [level] * len(steps), dots, color=color, markersize=4, linewidth=4)
        steps = below
    ax.plot([steps.start, steps.stop], [-0.15 - 0.2 * frame] * 2, color=color, linewidth=5, solid_capstyle="butt")


def norm_grids(x: np.ndarray, group: np.ndarray, layer: np.ndarray) -> Figure:
    """A small (C, T) input and its two normalizations; boxes join the numbers that share a mean and a variance."""
    channels, steps = x.shape
    figure, axes = subplots(11, 1.2 + 0.8 * channels, columns=3)
    grids = {"input": (x, None), "group norm: rows": (group, (steps, 1)), "layer norm: columns": (layer, (1, channels))}
    for ax, (values, box) in titled(axes, grids):
        ax.imshow(values / np.abs(values).max(), cmap=DIVERGING, vmin=-2, vmax=2)
        for (channel, step), value in np.ndenumerate(values):
            ax.text(step, channel, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=16)
            if box and (step if box[0] > 1 else channel) == 0:  # one box per row, or per column
                corner, size = (step - 0.44, channel - 0.42), (box[0] - 0.12, box[1] - 0.16)
                ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=3))
        ax.set(xlabel="time step", xticks=range(steps), yticks=range(channels))
    axes[0].set_ylabel("channel")
    return figure


def window_gradient(gradients: Arrays, paths: Arrays) -> Figure:
    """Mean squared gradient inside a frame's window, and the number of paths to each sample, both with mean 1."""
    figure, axes = subplots(11, 4, columns=len(gradients))
    for ax, (name, gradient) in zip(axes, gradients.items(), strict=True):
        ax.fill_between(range(len(gradient)), gradient, step="mid", color=COLORS["x"], label="squared gradient")
        ax.step(range(len(gradient)), paths[name], where="mid", color="black", linewidth=1.5, label="number of paths")
        ax.set(title=name, xlabel="sample of the window", ylabel="relative to the mean", xlim=(0, len(gradient)))
        ax.set_ylim(0, 1.25 * gradient.max())  # room for the legend
        ax.legend(loc="upper left", ncols=2)
    return figure


def leak(gradients: Arrays, samples: np.ndarray, window: range) -> Figure:
    """Size of one frame's gradient over an utterance, at `samples`, on a logarithmic axis; its window is shaded."""
    figure, axes = subplots(11, 4, columns=len(gradients), sharey=True)
    for ax, gradient in titled(axes, gradients):
        ax.axvspan(window.start, window.stop, color=COLORS["z"], alpha=0.35, linewidth=0)
        ax.plot(samples, np.where(gradient > 0, gradient, np.nan), ".", markersize=5, color=COLORS["c"])
        ax.text(window.stop + 300, gradient.max(), "its window", va="center", fontsize=13)
        ax.set(xlabel="sample", yscale="log", xlim=(0, 2 * samples[-1] - samples[-2]))
        ax.locator_params(axis="x", nbins=4)
    axes[0].set_ylabel("size of the gradient")
    return figure


def layer_scales(scales: Mapping[str, Sequence[float]]) -> Figure:
    """Root mean square of every layer's output, one line per kind of first weights."""
    figure, ax = subplots(9, 4)
    for (name, values), (color, dash, marker) in zip(scales.items(), LINES, strict=False):
        ax.plot(values, color=color, linestyle=dash, marker=marker, linewidth=2.5, markersize=8)
        ax.text(len(values) - 0.8, values[-1], name, color=color, va="center", fontsize=13)
    ax.set_xlabel("layer (0 reads the waveform)", x=0.4)
    ax.set(ylabel="RMS of the output", yscale="log", xlim=(-0.2, len(values) + 2.2), xticks=range(len(values)))
    ax.spines["bottom"].set_bounds(-0.2, len(values) - 0.8)
    ax.set_title("How large are the numbers after each layer?")
    return figure


def macs(costs: Mapping[str, Sequence[float]]) -> Figure:
    """Multiply-accumulates of every layer for one second of sound, one panel per encoder."""
    figure, axes = subplots(11, 3.8, columns=len(costs))
    for ax, (name, values) in zip(axes, costs.items(), strict=True):
        bars = ax.bar(range(len(values)), [v / 1e6 for v in values], color=COLORS["z"], edgecolor="black")
        ax.bar_label(bars, [f"{v / 1e6:,.{0 if v > 1e7 else 1}f}" for v in values], fontsize=12, padding=2)
        ax.set(title=f"{name}: {sum(values) / 1e9:.3g} GMAC", xlabel="layer", xticks=range(len(values)))
        ax.margins(y=0.12)
    axes[0].set_ylabel("million MACs\nper second of sound")
    return figure


def frames_and_phones(phones: Intervals, z: np.ndarray, seconds: np.ndarray, steps: Arrays) -> Figure:
    """Phones, latent frames z (C, T) as an image, and how far each frame is from the next; boundaries run through.

    `seconds` (T,) are the middles of the frames' windows; each curve (T - 1,) stands half-way between two of them.
    """
    figure, (strip, image, curve) = subplots(11, 6.4, rows=3, sharex=True, height_ratios=[0.5, 3, 2.4])
    draw_intervals(strip, phones, "phones")
    limit = np.quantile(np.abs(z), 0.99)
    picture = draw_frames(image, z, seconds, cmap=DIVERGING, vmin=-limit, vmax=limit)
    figure.colorbar(picture, ax=image, label="relative to the\nchannel's mean", pad=0.01)
    image.set(ylabel="channel")
    draw_lines(curve, steps, (seconds[1:] + seconds[:-1]) / 2, markersize=5)
    for phone in phones:
        image.axvline(phone.start, color="black", linewidth=1.2)
        curve.axvline(phone.start, color=COLORS["muted"], linewidth=1, linestyle="--")
    highest = max(change.max() for change in steps.values())
    curve.legend(loc="upper left", ncols=len(steps), facecolor="white", frameon=True, framealpha=1, edgecolor="white")
    curve.set(xlabel="time (s)", ylabel="distance to the next\nframe / its mean", ylim=(0, 1.35 * highest))
    curve.set_xlim(phones[0].start, phones[-1].end)
    return figure


def filters(kinds: Mapping[str, tuple[np.ndarray, np.ndarray]], top_hz: float, shown: int = 8) -> Figure:
    """First-layer kernels (C, k), some as waveforms, and their responses in dB (C, F): one row of axes per kind."""
    figure, rows = subplots(11, 4.2 * len(kinds), rows=len(kinds), columns=2, squeeze=False, width_ratios=[1, 2])
    for (waves, image), (name, (kernels, response)) in zip(rows, kinds.items(), strict=True):
        chosen = np.linspace(0, len(kernels) - 1, shown).round().astype(int)
        for i in chosen:
            waves.axhline(i, color=COLORS["muted"], linewidth=0.6)
            waves.plot(i - 1.8 * kernels[i] / np.abs(kernels[i]).max(), color=COLORS["c"], marker="o", markersize=3)
        waves.set(title=f"{name}: {shown} kernels", xlabel="sample of the kernel", ylabel="kernel, by its peak")
        waves.set(yticks=chosen, ylim=(len(kernels) + 1.5, -2.5))
        picture = image.imshow(response, extent=(0, top_hz / 1000, len(kernels) - 0.5, -0.5), vmin=-30, vmax=0)
        image.set(title=f"{name}: all {len(kernels)} frequency responses", xlabel="frequency (kHz)", yticks=chosen)
        figure.colorbar(picture, ax=image, label="dB relative to its peak", ticks=range(-30, 1, 10), pad=0.01)
    return figure


def changes(seconds: np.ndarray, x: np.ndarray, curves: Arrays) -> Figure:
    """A waveform, and below it the relative change of each frame under something done to the sound, on a log axis."""
    figure, (above, below) = subplots(11, 5.4, rows=2, sharex=True, height_ratios=[1, 2])
    draw_waveform(above, x)
    above.set_xlabel("")
    draw_lines(below, curves, seconds, markersize=5, legend="center right")
    below.axhline(1, color=COLORS["muted"], linewidth=0.8)
    below.set(xlabel="time (s)", ylabel="relative change of z", yscale="log", ylim=(1e-8, 1e2))
    return figure


def coverage(counts: Mapping[str, Sequence[int]]) -> Figure:
    """How many paths lead from the frames to each sample; a cross marks the samples that no frame sees."""
    figure, axes = subplots(11, 2.1 * len(counts) + 0.4, rows=len(counts), sharex=True)
    for ax, values in titled(axes, counts):
        ax.bar(range(len(values)), values, color=COLORS["x"], edgecolor="black")
        unseen = [i for i, value in enumerate(values) if value == 0]
        ax.plot(unseen, [0.15] * len(unseen), "x", color=COLORS["lit"], markersize=9, markeredgewidth=2.5)
        ax.set(ylabel="paths", yticks=range(max(values) + 1))
    ax.set(xlabel="sample", xlim=(-0.7, max(map(len, counts.values())) - 0.3))
    return figure
