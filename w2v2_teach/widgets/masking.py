"""Masking explorer: choose p, M and the length of the utterance; see what is hidden, and how long the stretches are."""

from __future__ import annotations

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.audio import SAMPLE_RATE
from w2v2_teach.config import BASE
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.masking import span_mask
from w2v2_teach.plots.masking import settings
from w2v2_teach.widgets.explorer import Explorer

SECONDS = (0.5, 1, 2, 5, 15)  # of an utterance; even the shortest, 24 frames, holds the longest span
DRAWN, SHOWN = 300, 12  # utterances that are counted, and those of them that the picture shows


def explorer() -> Explorer:
    """Three controls, p, M and the utterance's length, above its masks and a histogram of their stretches."""
    return Explorer(
        draw,
        p=widgets.FloatSlider(value=0.065, min=0.0, max=0.2, step=0.005, readout_format=".3f", description="p"),
        M=widgets.IntSlider(value=10, min=1, max=24, description="M (frames)"),
        seconds=widgets.SelectionSlider(options=SECONDS, value=5, description="utterance (s)"),
    )


def draw(p: float, M: int, seconds: float) -> tuple[Figure, str]:
    """The figure for one setting, and what it shows in words."""
    T = BASE.frame_lengths(round(seconds * SAMPLE_RATE))
    mask = span_mask(torch.full((DRAWN,), T), p, M, generator=torch.Generator().manual_seed(0))  # (B, T)
    hop = receptive_field(BASE)[-1].hop_ms / 1000  # s
    title = f"p = {p:.3f}, M = {M}, T = {T}"
    figure = settings(mask[:SHOWN].numpy(), span_lengths(mask).numpy(), hop, title)
    return figure, f"{title}. {sentence(mask, p, M)}"


def sentence(mask: Tensor, p: float, M: int) -> str:
    """What there is to see of masks (B, T) that were drawn with p and M."""
    lengths = span_lengths(mask)
    return (
        f"Asked for, p·M: {p * M:.0%}; formula, 1 − (1 − p)^M: {1 - (1 - p) ** M:.1%}; "
        f"masked: {mask.float().mean():.1%} of the frames. Hidden stretches: {len(lengths) / len(mask):.1f} an "
        f"utterance, {lengths.float().mean():.1f} frames on average, median {int(lengths.median())}, "
        f"longest {int(lengths.max())}. Hidden whole: {int(mask.all(dim=1).sum())} of {len(mask)} utterances."
    )


def span_lengths(mask: Tensor) -> Tensor:
    """(B, T) bool → (R,) long: how long each unbroken stretch of masked frames is, row by row."""
    change = torch.nn.functional.pad(mask.long(), (1, 1)).diff(dim=1)  # (B, T + 1): 1 where one begins, -1 after it
    return (change == -1).nonzero()[:, 1] - (change == 1).nonzero()[:, 1]
