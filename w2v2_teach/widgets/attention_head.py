"""Attention explorer: choose a layer, a head and a frame, sharpen the map, and see what the frame looks at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.corpus import Interval, label_at
from w2v2_teach.plots.attention import head_and_query
from w2v2_teach.widgets.explorer import Explorer

SHARPNESS = (1, 3, 10, 30, 100)  # what the scores are multiplied with


def sharpen(attention: Tensor, factor: float) -> Tensor:
    """The weights (..., T, T) that the softmax would give if its scores were `factor` times as large.

    A weight's logarithm is its score up to one number per row, which the softmax does not notice.
    """
    return (factor * attention.log()).softmax(dim=-1)


def attention_head(
    attentions: Mapping[str, Tensor], waveform: Tensor, words: Sequence[Interval], hop: float
) -> Explorer:
    """Explore attention maps that have been computed once.

    Args:
        attentions: a name per layer, and its weights (H, T, T).
        waveform: (L,) the utterance.
        words: its words and their times.
        hop: seconds from one frame to the next.
    """
    names = list(attentions)
    heads, frames = attentions[names[0]].shape[:2]

    def draw(layer: str, head: int, query: int, sharpness: int) -> tuple[Figure, str]:
        weights = sharpen(attentions[layer][head - 1], sharpness)  # (T, T)
        title = f"{layer}, head {head}, scores × {sharpness}"
        figure = head_and_query(weights.numpy(), query, waveform.numpy(), words, hop=hop, title=title)
        return figure, f"{title}. {_sentence(weights[query], query, words, hop)}"

    return Explorer(
        draw,
        layer=widgets.SelectionSlider(options=names, description="layer"),
        head=widgets.IntSlider(1, 1, heads, description="head"),
        query=widgets.IntSlider(frames // 2, 0, frames - 1, description="query frame", continuous_update=False),
        sharpness=widgets.SelectionSlider(options=SHARPNESS, description="scores ×"),
    )


def _sentence(row: Tensor, query: int, words: Sequence[Interval], hop: float) -> str:
    """What there is to see of one query's weights (T,)."""

    def place(frame: int) -> str:
        time = (frame + 0.5) * hop
        word = label_at(words, time)
        return f"frame {frame} at {time:.2f} s" + (f" in “{word}”" if word else "")

    entropy = torch.special.entr(row).sum()  # nats
    distance = hop * (row * (torch.arange(len(row)) - query).abs()).sum()  # s
    return (
        f"Query: {place(query)}. Its largest weight, {len(row) * row.max():.1f} times the even share, goes to "
        f"{place(int(row.argmax()))}. Entropy {entropy:.2f} of at most {math.log(len(row)):.2f} nats; "
        f"mean distance {distance:.2f} s."
    )
