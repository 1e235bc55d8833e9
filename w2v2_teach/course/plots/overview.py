"""The figures of notebook 00: the game, the journey from sound to text, what one frame hears, wrong inputs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.speech import Intervals, draw_frames, draw_intervals, draw_waveform
from w2v2_teach.course.plots.style import COLORS, DIVERGING, Arrays, subplots, tick_at, titled

MARKERS = ("o", "^", "s", "D")  # one per codebook, so that color is not alone


def arrow_game(sequence: np.ndarray, hidden: int, candidates: np.ndarray, answer: int | None = None) -> Figure:
    """Unit arrows (T, 2) in a row with one hidden, and candidates (K+1, 2) below; `answer` is revealed where given."""
    figure, (above, below) = subplots(10, 4.4, rows=2)
    for t, arrow in enumerate(sequence):
        if t == hidden and answer is None:
            above.text(t, 0, "?", ha="center", va="center", fontsize=30, color=COLORS["lit"], weight="bold")
        else:
            _arrow(above, t, arrow, COLORS["lit"] if t == hidden else COLORS["c"])
        above.text(t, -0.8, f"{t + 1}", ha="center", va="center", fontsize=13)
    above.set_title("a sequence with one step hidden", loc="left")
    offset = (len(sequence) - len(candidates)) / 2
    for i, arrow in enumerate(candidates):
        _arrow(below, i + offset, arrow, COLORS["lit"] if i == answer else COLORS["q"])
        name = f"{'ABCDEFGH'[i]}{' ✓' if i == answer else ''}"
        below.text(i + offset, -0.8, name, ha="center", va="center", fontsize=14, weight="bold")
    below.set_title("the candidates: the hidden step and three distractors", loc="left")
    for ax in (above, below):
        ax.set(xlim=(-0.6, len(sequence) - 0.4), ylim=(-1.0, 0.55), aspect="equal")
        ax.axis("off")
    return figure


def _arrow(ax: Axes, x: float, direction: np.ndarray, color: str) -> None:
    """An arrow of fixed length whose middle is at (x, 0)."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 3, "mutation_scale": 22, "shrinkA": 0, "shrinkB": 0}
    dx, dy = 0.4 * direction
    ax.annotate("", xy=(x + dx, dy), xytext=(x - dx, -dy), arrowprops=style)


def sound_to_text(
    x: np.ndarray,
    z: np.ndarray,
    codes: np.ndarray,
    letters: Intervals,
    *,
    phones: Intervals,
    words: Intervals,
    times: np.ndarray,
    notes: Sequence[str],
) -> Figure:
    """The whole journey on one time axis: waveform (L,), latent frames (T, C), codes (T, G), letters, truth.

    `letters` are the runs of the same letter with their times; `notes`, one per row, say in a few words what it is
    worth.
    """
    figure, rows = subplots(11, 9.5, rows=6, sharex=True, height_ratios=[1.5, 1.8, 1.8, 0.9, 0.6, 0.6])
    draw_waveform(rows[0], x)
    rows[0].set(title="one utterance, from sound to text", xlabel="", ylabel="waveform x\n(amplitude)")
    most = np.quantile(np.abs(z), 0.98)
    draw_frames(rows[1], z.T, times, cmap=DIVERGING, vmin=-most, vmax=most)
    rows[1].set(ylabel="frames z\n(channel)")
    for group, marker in zip(range(codes.shape[1]), MARKERS, strict=False):
        color = COLORS["q"] if group == 0 else COLORS["loss"]
        rows[2].scatter(times, codes[:, group], s=22, marker=marker, color=color, label=f"codebook {group + 1}")
    rows[2].set(ylabel="codes\n(entry)", ylim=(-2, codes.max() + 2))
    rows[2].legend(loc="upper left", bbox_to_anchor=(0.99, 1), handletextpad=0, borderpad=0)
    _draw_letters(rows[3], letters)
    draw_intervals(rows[4], [p._replace(label="" if p.label == "sil" else p.label) for p in phones], "phones")
    draw_intervals(rows[5], words, "words")
    rows[5].set(xlabel="time (s)")
    for ax, note in zip(rows, notes, strict=True):
        for word in words:
            ax.axvline(word.start, color="black", alpha=0.5, linewidth=0.8, linestyle=":")
        height = 0.25 if ax is rows[2] else 0.5  # the legend stands above it
        ax.text(1.01, height, note, transform=ax.transAxes, va="center", fontsize=13)
    for ax in rows[3:5]:
        ax.tick_params(bottom=False)
    return figure


def _draw_letters(ax: Axes, letters: Intervals) -> None:
    """On three heights, so that neighbors 20 ms apart do not cover each other."""
    for i, (start, end, letter) in enumerate(letters):
        ax.text((start + end) / 2, (0.2, 0.5, 0.8)[i % 3], letter, ha="center", va="center", fontsize=12)
    ax.set(yticks=[], ylim=(0, 1), ylabel="letters")
    ax.yaxis.label.set(rotation=0, ha="right", va="center")
    ax.spines["left"].set_visible(False)


def gap_curve(distances: Sequence[float], accuracy: Mapping[str, Sequence[float]], chance: float) -> Figure:
    """How often the hidden frame is found, against the distance (ms) to the nearest visible frame; shares of one."""
    figure, ax = subplots(10, 4.2)
    looks = ((COLORS["c"], "-", "o"), (COLORS["z"], "--", "s"), (COLORS["muted"], ":", "^"))
    for (name, shares), (color, dash, marker) in zip(accuracy.items(), looks, strict=False):
        ax.plot(distances, 100 * np.asarray(shares), dash, color=color, marker=marker, markersize=8, label=name)
    ax.axhline(100 * chance, color="black", linewidth=1)
    ax.text(distances[-1], 100 * chance + 1.5, f"blind guessing {chance:.1%}", ha="right", va="bottom", fontsize=13)
    ax.set_title("filling a gap with the mean of the nearest visible frames")
    ax.set(xlabel="distance to the nearest visible frame (ms)", ylabel="hidden frame found (%)", ylim=(0, None))
    ax.set_xscale("log", base=2)
    tick_at(ax, distances, ".0f")
    ax.legend()
    return figure


def frame_windows(windows: Arrays) -> Figure:
    """What single frames hear: one panel per waveform (400,), its key as title, each at its own amplitude."""
    figure, axes = subplots(11, 3.2, columns=len(windows))
    for ax, samples in titled(axes, windows):
        ax.plot(1000 * np.arange(len(samples)) / SAMPLE_RATE, samples, color=COLORS["x"], linewidth=1.8)
        ax.set(xlabel="time in the window (ms)", xlim=(0, 1000 * len(samples) / SAMPLE_RATE))
    axes[0].set(ylabel="amplitude")
    return figure


def frame_journey(
    x: np.ndarray, codes: np.ndarray, frame: int, *, window: range, times: np.ndarray, words: Intervals, facts: str
) -> Figure:
    """An utterance (L,) with its words and its codes (T, G), and one frame of it lit and enlarged.

    `window` are the samples that the frame sees, and `facts` what there is to say about it, a few short lines.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.add_gridspec(4, 2, height_ratios=[0.5, 1.4, 1.2, 1.8], width_ratios=[1.6, 1])
    strip, wave, track = (figure.add_subplot(grid[row, :]) for row in range(3))
    zoom, text = figure.add_subplot(grid[3, 0]), figure.add_subplot(grid[3, 1])
    seconds = np.asarray(window) / SAMPLE_RATE
    span = (seconds[0], seconds[-1] + 1 / SAMPLE_RATE)

    draw_intervals(strip, words, "words")
    strip.set_title("the whole utterance", loc="left")
    strip.set(xlim=(0, len(x) / SAMPLE_RATE), xticks=[])
    draw_waveform(wave, x)
    wave.set(xlabel="", xticks=[])
    for group, marker in zip(range(codes.shape[1]), MARKERS, strict=False):
        color = COLORS["q"] if group == 0 else COLORS["loss"]
        name = f"codebook {group + 1}"
        track.scatter(times, codes[:, group], s=14, marker=marker, color=color, alpha=0.6, label=name)
        track.scatter(times[frame], codes[frame, group], s=110, marker=marker, color=COLORS["lit"], edgecolor="black")
    track.set(xlim=(0, len(x) / SAMPLE_RATE), xlabel="time (s)", ylabel="code", ylim=(-6, codes.max() + 6))
    track.legend(loc="upper left", bbox_to_anchor=(0.99, 1), handletextpad=0, borderpad=0, markerscale=2)
    for ax in (strip, wave, track):
        ax.axvspan(*span, color=COLORS["lit"], alpha=0.6)
    zoom.plot(1000 * seconds, x[window.start : window.stop], color=COLORS["lit"], linewidth=1.8)
    zoom.set(xlabel="time (ms)", ylabel="amplitude", xlim=(1000 * span[0], 1000 * span[1]))
    zoom.set_title(f"the {len(window)} samples of this frame", loc="left")
    text.text(0, 1, facts, va="top", fontsize=14, linespacing=1.6, transform=text.transAxes)
    text.axis("off")
    return figure


def input_runs(runs: Sequence[tuple[str, np.ndarray, np.ndarray]], unrelated: float) -> Figure:
    """The same utterance given in several ways: (title, samples given, cosine of each frame with the healthy one).

    `unrelated` is the cosine of two frames that have nothing to do with each other.
    """
    figure, axes = subplots(11.5, 5, rows=2, columns=len(runs), sharex=True, squeeze=False)
    for (wave, likeness), (title, x, cosine) in zip(axes.T, runs, strict=True):
        draw_waveform(wave, x)
        wave.set(title=title, xlabel="", ylabel="")
        times = np.linspace(0, len(x) / SAMPLE_RATE, len(cosine))
        likeness.plot(times, cosine, ".", color=COLORS["lit"])
        likeness.set(ylim=(0, 1.1))
        likeness.axhline(unrelated, color="black", linewidth=1, linestyle="--")
    for ax in axes[1, 1:]:
        ax.set(yticklabels=[])
    axes[1, 0].text(0.05, unrelated + 0.04, "two unrelated frames", va="bottom", fontsize=13)
    longest = max(len(x) for _, x, _ in runs) / SAMPLE_RATE
    axes[0, 0].set(ylabel="samples\nas given", xlim=(0, longest))
    axes[1, 0].set(ylabel="cosine with\nthe healthy frame")
    figure.supxlabel("time as the model counts it (s)", fontsize=14)
    return figure
