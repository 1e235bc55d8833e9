"""Masking explorer: choose p, M and the length of the utterance; see what is hidden, and how long the stretches are."""

import torch
import traitlets
from torch import Tensor

from w2v2_teach.config import BASE, SAMPLE_RATE
from w2v2_teach.course.plots.masking import settings
from w2v2_teach.course.widgets.browser import BrowserExplorer, script, style
from w2v2_teach.feature_encoder import frame_times, receptive_field
from w2v2_teach.masking import span_mask

SECONDS = (0.5, 1, 2, 5, 15)  # of an utterance; even the shortest, 24 frames, holds the longest span
DRAWN, SHOWN = 300, 12  # utterances that are counted, and those of them that the picture shows


class MaskingExplorer(BrowserExplorer):
    """Masks of some utterances, the share that is hidden, and a histogram of stretches, by p, M and utterance length.

    The browser draws spans as `span_mask` does, from its own random numbers.
    """

    _esm = script("masking")
    _css = style("masking")

    p = traitlets.Float(0.065).tag(sync=True)  # what the explorer starts with, the paper's numbers
    M = traitlets.Int(10).tag(sync=True)
    length = traitlets.Int(3).tag(sync=True)  # position in `lengths`
    lengths = traitlets.List().tag(sync=True)  # [seconds, frames] of each
    hop = traitlets.Float().tag(sync=True)  # s from frame to frame
    drawn = traitlets.Int(DRAWN).tag(sync=True)
    shown = traitlets.Int(SHOWN).tag(sync=True)

    def __init__(self) -> None:
        frames = [BASE.frame_lengths(round(seconds * SAMPLE_RATE)) for seconds in SECONDS]
        hop = receptive_field(BASE)[-1].hop_ms / 1000
        T, p, M = frames[self.length], self.p, self.M
        mask = span_mask(torch.full((DRAWN,), T), p, M, generator=torch.Generator().manual_seed(0))  # (B, T)
        title = f"p = {p:.3f}, M = {M}, T = {T}"
        figure = settings(mask[:SHOWN].numpy(), span_lengths(mask).numpy(), frame_times(BASE, T).numpy(), title)
        lengths = [list(pair) for pair in zip(SECONDS, frames, strict=True)]
        super().__init__(figure, f"{title}. {sentence(mask, p, M)}", lengths=lengths, hop=hop)


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
