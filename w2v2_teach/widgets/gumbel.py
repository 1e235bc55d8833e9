"""Gumbel explorer: turn temperature and logits, draw again, and see what is chosen and how soft the sample is."""

from __future__ import annotations

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.plots.quantizer import one_draw
from w2v2_teach.quantizer import gumbel_noise
from w2v2_teach.widgets.explorer import Explorer

TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OTHERS = (0.5, -1.0)  # logits of the entries that have no slider
DRAWS = 1000  # whose winners are counted
FIRST_DRAWS = 10  # those that the reader can look at one by one


def explorer() -> Explorer:
    """Four entries, two of them with a slider for their logit, a temperature, and the number of the draw."""
    return Explorer(
        draw,
        temperature=widgets.SelectionSlider(options=TEMPERATURES, value=1.0, description="temperature τ"),
        logit_1=widgets.FloatSlider(2.0, min=-3.0, max=5.0, step=1.0, description="logit of entry 1"),
        logit_2=widgets.FloatSlider(1.0, min=-3.0, max=5.0, step=1.0, description="logit of entry 2"),
        number=widgets.IntSlider(1, 1, FIRST_DRAWS, description="draw"),
    )


def draw(temperature: float, logit_1: float, logit_2: float, number: int) -> tuple[Figure, str]:
    """The figure for one setting, and what it shows in words."""
    logits = torch.tensor([logit_1, logit_2, *OTHERS])  # (V,)
    noise = draws_of_noise()  # (DRAWS, V), the same at every setting: only what is turned changes
    own = noise[number - 1]  # (V,)
    soft = ((logits + own) / temperature).softmax(dim=0)  # (V,)
    winners = (logits + noise).argmax(dim=1)  # (DRAWS,)
    shares = torch.bincount(winners, minlength=len(logits)) / DRAWS  # (V,)
    softmax = logits.softmax(dim=0)  # (V,)
    arrays = (x.numpy() for x in (logits, own, soft, softmax, shares))
    figure = one_draw(*arrays, title=f"draw {number}, τ = {temperature:g}")
    return figure, _sentence(temperature, number, soft, shares, softmax)


def draws_of_noise() -> Tensor:
    """(DRAWS, V) Gumbel noise, always the same."""
    like = torch.empty(DRAWS, 2 + len(OTHERS))
    return gumbel_noise(like, torch.Generator().manual_seed(0))


def _sentence(temperature: float, number: int, soft: Tensor, shares: Tensor, softmax: Tensor) -> str:
    chosen = int(soft.argmax())
    counted = ", ".join(f"{share:.0%} ({p:.0%})" for share, p in zip(shares.tolist(), softmax.tolist(), strict=True))
    return (
        f"Draw {number} chooses entry {chosen + 1}. At τ = {temperature:g} the soft sample gives it "
        f"{soft[chosen]:.3f} of the weight. In {DRAWS:,} draws the entries are chosen with shares of {counted}; in "
        "brackets what the softmax of the logits says."
    )
