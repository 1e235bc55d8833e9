"""The static figures of the explorers of codes and attention: what they show before anyone has touched them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.attention import draw_map
from w2v2_teach.course.plots.speech import STEPS, Intervals, draw_strip, draw_waveform
from w2v2_teach.course.plots.style import COLORS, subplots
from w2v2_teach.speech.corpora import Utterance

# What a code usually means, by its color; Okabe and Ito's, but for an indigo of Paul Tol's.
KINDS = {
    "vowel": "#E69F00",
    "stop": "#332288",
    "fricative": "#56B4E9",
    "nasal": "#009E73",
    "liquid/glide": "#CC79A7",
    "silence": "#8C8C8C",
    "other": "#D55E00",
    "few frames": "#E0E0E0",
}
# What a head is beside the others, by its color.
TYPES = {"global": "#E69F00", "vertical": "#56B4E9", "diagonal": "#009E73"}
SHADES = ((0.0, 0.0), (1.0, 0.4), (0.0, 0.3))  # towards white or black, and how far: codes of one kind, told apart


def codes_over_speech(
    spectrogram: np.ndarray, utterance: Utterance, codes: np.ndarray, kinds: np.ndarray, *, hop: float, first: float
) -> Figure:
    """Words, phones, spectrogram (rows, columns) and a track of codes per codebook, over one time axis.

    `codes` is (T, G); `kinds` (G, V) says what each code usually means, one of `KINDS`. Frame 0 has its middle at
    `first`, the next one `hop` later (s).
    """
    strips = _strips(utterance.words, utterance.phones)
    heights = [0.55] * len(strips) + [3] + [0.75] * codes.shape[1]
    figure, axes = subplots(13, sum(heights) + 1, rows=len(heights), sharex=True, height_ratios=heights)
    for ax, (name, part) in zip(axes, strips, strict=False):
        draw_strip(ax, part, name)
    image = axes[len(strips)]
    image.imshow(spectrogram, origin="lower", extent=(0, utterance.duration, 0, SAMPLE_RATE / 2000), cmap=STEPS)
    image.set(ylabel="kHz", xlim=(0, utterance.duration))
    for g, ax in enumerate(axes[len(strips) + 1 :]):
        draw_track(ax, codes[:, g], [shade(KINDS[kind], v) for v, kind in enumerate(kinds[g])], hop, first)
        ax.set_ylabel(f"codebook {g + 1}", rotation=0, ha="right", va="center")
    axes[-1].set_xlabel("time (s)")
    shown = [kind for kind in KINDS if kind in kinds]
    patches = [Patch(color=KINDS[kind], label=kind) for kind in shown]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), title="what the code usually means")
    return figure


def shade(color: str, code: int) -> tuple[float, ...]:
    """One of three shades of a color, by the code's number."""
    towards, share = SHADES[code % len(SHADES)]
    return tuple((1 - share) * part + share * towards for part in to_rgb(color))


def draw_track(ax: Axes, codes: np.ndarray, colors: Sequence[tuple[float, ...]], hop: float, first: float) -> None:
    """The codes (T,) of one codebook: a stretch of color for each run, its number in it where that has room."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        left, right = (first + (frame - 0.5) * hop for frame in (start, end))
        color = colors[codes[start]]
        ax.axvspan(left, right, color=color, linewidth=0)
        ax.axvline(left, color="white", linewidth=0.8)
        if end - start > 2:
            ink = "black" if np.dot(color, (0.3, 0.59, 0.11)) > 0.47 else "white"
            style = {"ha": "center", "va": "center", "fontsize": 11, "color": ink, "clip_on": True}
            ax.text((left + right) / 2, 0.5, codes[start], **style)
    ax.set(yticks=[], ylim=(0, 1))
    ax.spines["left"].set_visible(False)


def attention_over_speech(
    maps: np.ndarray,
    layers: Sequence[str],
    heads: Sequence[Mapping[str, Any]],
    *,
    waveform: np.ndarray,
    phones: Intervals,
    words: Intervals,
    hop: float,
    first: float,
) -> Figure:
    """All heads as small maps, the first one large, and its middle query over the waveform (L,).

    `maps` is (layers, H, T, T); `heads`, one a map, have a "type". Frame 0 has its middle at `first`, the next one
    `hop` later (s).
    """
    query = maps.shape[2] // 2
    figure = Figure(figsize=(13, 10), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.8, 1))
    left, right = above.subfigures(1, 2, width_ratios=(1, 1.1))
    draw_heads(left, maps, layers, [head["type"] for head in heads])
    ax = right.subplots()
    times = first + np.arange(maps.shape[2]) * hop  # (T,) s, the frames' centers
    draw_map(ax, maps[0, 0], words, times, vmin=0, vmax=maps.shape[2] * np.quantile(maps[0, 0], 0.998))
    ax.axhline(times[query], color=COLORS["lit"], linestyle="--", linewidth=2)
    ax.set_title(f"{layers[0]}, head 1")

    strips = _strips(words, phones)
    heights = [0.5] * len(strips) + [3]
    *bands, wave = below.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for ax, (name, part) in zip(bands, strips, strict=True):
        draw_strip(ax, part, name)
    draw_waveform(wave, waveform / max(np.abs(waveform).max(), 1e-9))
    row = maps[0, 0, query] / maps[0, 0, query].max()
    wave.fill_between(times, 2 * row - 1, -1, step="mid", color=COLORS["c"], alpha=0.5)
    wave.axvline(times[query], color=COLORS["lit"], linestyle="--", linewidth=2)
    wave.set(ylim=(-1, 1.05), yticks=[], ylabel=f"attention\nof frame {query}")
    return figure


def draw_heads(figure: SubFigure, maps: np.ndarray, layers: Sequence[str], types: Sequence[str]) -> None:
    """Small maps in rows of layers, each in a frame of its type's color."""
    rows, columns = maps.shape[:2]
    for i, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        weights = maps[i // columns, i % columns]
        ax.imshow(weights, vmin=0, vmax=np.quantile(weights, 0.998), aspect="equal")
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(visible=True, color=TYPES[types[i]], linewidth=4)
        if i % columns == 0:
            ax.set_ylabel(layers[i // columns], fontsize=12)
        if i < columns:
            ax.set_title(f"head {i + 1}", fontsize=13)
    patches = [Patch(color=color, label=kind) for kind, color in TYPES.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))


def _strips(words: Intervals, phones: Intervals) -> list[tuple[str, Intervals]]:
    """Those of the two that are known, by name."""
    return [(name, part) for name, part in (("words", words), ("phones", phones)) if part]
