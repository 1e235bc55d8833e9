"""Attention explorer: all heads as small maps, one of them large, and what one frame looks at over the waveform."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import traitlets
from torch import Tensor

from w2v2_teach.analysis.attention import head_numbers, head_types
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.explorers import attention_over_speech
from w2v2_teach.course.widgets.browser import BrowserExplorer, intervals, packed, script, sound_bytes, style
from w2v2_teach.speech.intervals import Interval

BUDGET = 1_500_000  # bytes of a view
MOST_SECONDS = 30  # of sound, which takes 32 kB a second of them
LEVELS = (64, 32, 16, 8)  # how many different weights a row can have in the browser; the most that the budget allows
BRIGHTEST = 0.998  # a map's colors reach to the weight that this share of its weights do not exceed


class AttentionExplorer(BrowserExplorer):
    """Attention maps of one utterance; everything happens in the browser, no kernel is asked.

    A view takes at most 1.5 MB. Weights are sent as levels on a square-root scale between the smallest and the largest
    of their row, 64 where that fits, else 32, 16 or 8, and are off by at most 1/126 to 1/14 of what lies between those
    two where they are large, by less where they are small. Where even 8 levels are too much, two neighboring frames
    become one: keys are added, queries averaged. 4 layers × 8 heads × 400 frames, 5.1 million weights, of the bundled
    model take 8 levels and 1.4 MB with their sound; of noise, which no packing makes smaller, 200 frames of 64 levels.

    `attentions` is a name per layer → its weights (H, T, T); phones and words are none where they are not known. Frame
    0 has its middle at `first`, the next one `hop` later (s); `mask` (T,) says which frames were masked, if any were.

    Raises:
        ValueError: layers of different shapes, or more than half a minute of sound.
    """

    _esm = script("attention")
    _css = style("attention")

    shape = traitlets.Dict().tag(sync=True)  # what all heads share
    heads = traitlets.List().tag(sync=True)  # one dictionary a head
    words = traitlets.List().tag(sync=True)
    phones = traitlets.List().tag(sync=True)
    mask = traitlets.List().tag(sync=True)  # 0 or 1 a frame; empty where nothing was masked
    weights = traitlets.Bytes().tag(sync=True)  # (layers · H, T, T) uint8 levels, packed
    ranges = traitlets.Bytes().tag(sync=True)  # (layers · H, T, 2) uint16, smallest and largest of a row, packed
    sound = traitlets.Bytes().tag(sync=True)  # (L,) int16, packed

    def __init__(
        self,
        attentions: Mapping[str, Tensor],
        waveform: Tensor,
        phones: Sequence[Interval],
        words: Sequence[Interval],
        *,
        hop: float,
        first: float,
        mask: Tensor | None = None,
    ) -> None:
        hop, first = float(hop), float(first)  # they may be elements of a tensor of times, which JSON cannot hold
        if len({weights.shape for weights in attentions.values()}) > 1:
            raise ValueError("all layers need the same shape (H, T, T)")
        if len(waveform) > MOST_SECONDS * SAMPLE_RATE:
            seconds = len(waveform) / SAMPLE_RATE
            raise ValueError(f"the explorer takes at most {MOST_SECONDS} s; this is {seconds:.1f} s")
        maps = np.stack([weights.detach().cpu().numpy() for weights in attentions.values()])  # (layers, H, T, T)
        names, masked = list(attentions), np.zeros(0, bool) if mask is None else mask.cpu().numpy()
        described = describe_heads(maps)
        sound = zlib.compress(sound_bytes(waveform), 9)
        small = shrunk(maps.reshape(-1, *maps.shape[2:]), BUDGET - len(sound) - 50_000)  # 50 kB for all the rest
        super().__init__(
            attention_over_speech(
                maps, names, described, waveform=waveform.numpy(), phones=phones, words=words, hop=hop, first=first
            ),
            _sentence(maps, described),
            shape={
                "layers": names,
                "columns": maps.shape[1],
                "frames": small.frames,
                "most": small.levels - 1,
                "hop": hop * small.joined,
                "first": first + hop * (small.joined - 1) / 2,
                "rate": SAMPLE_RATE,
            },
            heads=[head | scale for head, scale in zip(described, small.scales, strict=True)],
            words=intervals(words),
            phones=intervals(phones),
            mask=[int(any(masked[t : t + small.joined])) for t in range(0, len(masked), small.joined)],
            weights=small.weights,
            ranges=small.ranges,
            sound=sound,
        )


def describe_heads(maps: np.ndarray) -> list[dict[str, Any]]:
    """(layers, H, T, T) → for each head its layer and number, counted from 0, its three measures and its type."""
    numbers = head_numbers([maps])
    types = head_types(numbers)
    return [
        {
            "layer": layer,
            "head": head,
            "type": str(types[layer, head]),
            **{name: float(values[layer, head]) for name, values in numbers._asdict().items()},
        }
        for layer, head in np.ndindex(*types.shape)
    ]


class Shrunk(NamedTuple):
    """Attention maps as they are sent."""

    weights: bytes  # (maps, frames, frames) uint8 levels, packed
    ranges: bytes  # (maps, frames, 2) uint16, the row's smallest and largest weight in 65,535ths of its map's largest
    scales: list[dict[str, float]]  # per map: its largest weight, and those between which its colors lie
    levels: int
    frames: int
    joined: int  # how many frames became one


def shrunk(maps: np.ndarray, budget: int, joined: int = 1) -> Shrunk:
    """(maps, T, T) weights → what fits into `budget` bytes: as many levels as possible, then fewer frames."""
    largest = maps.max(axis=(1, 2), keepdims=True)  # (maps, 1, 1)
    low, high = (limit(maps, axis=2, keepdims=True) for limit in (np.min, np.max))  # (maps, T, 1)
    ranges = packed(np.rint(65_535 * np.concatenate([low, high], axis=2) / largest), "<u2")
    position = np.sqrt((maps - low) / np.maximum(high - low, 1e-30))  # in [0, 1]
    for levels in LEVELS:
        weights = zlib.compress(np.rint((levels - 1) * position).astype(np.uint8).tobytes(), 6)
        if len(weights) + len(ranges) <= budget:
            colors = np.quantile(maps, (1 - BRIGHTEST, BRIGHTEST), axis=(1, 2))  # (2, maps)
            numbers = zip(largest.ravel().tolist(), *colors.tolist(), strict=True)
            scales = [{"largest": most, "floor": floor, "ceiling": ceiling} for most, floor, ceiling in numbers]
            return Shrunk(weights, ranges, scales, levels, maps.shape[1], joined)
    return shrunk(pairs_joined(maps), budget, 2 * joined)


def pairs_joined(maps: np.ndarray) -> np.ndarray:
    """(maps, T, T) → (maps, ⌈T/2⌉, ⌈T/2⌉): two keys added, two queries averaged, so that rows still add up to 1."""
    starts = np.arange(0, maps.shape[1], 2)
    counts = np.diff(starts, append=maps.shape[1])[:, None]  # 2, and 1 for what is left over
    return np.add.reduceat(np.add.reduceat(maps, starts, axis=2), starts, axis=1) / counts


def _sentence(maps: np.ndarray, described: Sequence[Mapping[str, Any]]) -> str:
    counts = {kind: sum(head["type"] == kind for head in described) for kind in ("global", "vertical", "diagonal")}
    return (
        f"Attention maps of {maps.shape[0]} layers with {maps.shape[1]} heads each over {maps.shape[2]} frames: "
        + ", ".join(f"{count} {kind}" for kind, count in counts.items())
        + ". The first one is large, and what its middle frame looks at is drawn over the waveform."
    )
