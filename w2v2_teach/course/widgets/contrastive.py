"""Contrastive explorer: turn a context among its candidates, change κ and the number of distractors, see the loss."""

import math

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.course.plots.contrastive import on_the_circle
from w2v2_teach.course.widgets.explorer import Explorer

KAPPAS = (0.03, 0.1, 0.3, 1.0)
COUNTS = (1, 3, 10, 30, 100)  # K
STEP = 5  # degrees


def logits_on_the_circle(angles: Tensor, target: float, negatives: Tensor, kappa: float) -> Tensor:
    """(A, K + 1) logits, the target's first, of contexts at `angles` (A,) among distractors (K,), all in degrees.

    The cosine of two vectors on the circle is the cosine of the angle between them.
    """
    candidates = torch.cat([torch.tensor([target]), negatives])  # (K + 1,)
    return (angles[:, None] - candidates).deg2rad().cos() / kappa


def contrastive_explorer(seed: int = 0) -> Explorer:
    """The target lies at 0°; the distractors are drawn once, from `seed`, and K takes the first K of them."""
    generator = torch.Generator().manual_seed(seed)
    drawn = 360 * torch.rand(max(COUNTS), generator=generator) - 180  # degrees
    angles = torch.arange(-180.0, 181.0, STEP)  # (A,)

    def draw(angle: int, kappa: float, K: int) -> tuple[Figure, str]:
        negatives = drawn[:K]
        logits = logits_on_the_circle(angles, 0.0, negatives, kappa)  # (A, K + 1)
        losses = -logits.log_softmax(dim=1)[:, 0]  # (A,) nats
        here = int((angles == angle).nonzero())
        shares = logits[here].softmax(dim=0)  # (K + 1,)
        figure = on_the_circle(
            angle, 0.0, negatives.numpy(), shares=shares.numpy(), angles=angles.numpy(), losses=losses.numpy()
        )
        return figure, _sentence(angle, kappa, K, shares, losses[here])

    return Explorer(
        draw,
        angle=widgets.IntSlider(40, -180, 180, STEP, description="angle of c (°)", continuous_update=False),
        kappa=widgets.SelectionSlider(options=KAPPAS, value=0.1, description="κ"),
        K=widgets.SelectionSlider(options=COUNTS, value=10, description="distractors K"),
    )


def _sentence(angle: int, kappa: float, K: int, shares: Tensor, loss: Tensor) -> str:
    """What there is to see: the probability of the true target, its strongest rival, and the loss beside a guess's."""
    rival = shares[1:].max()
    choice = "right" if shares[0] > rival else "wrong"
    return (
        f"c at {angle}° from its target, κ = {kappa}, K = {K}. The true target has probability {shares[0]:.3f}, its "
        f"strongest rival {rival:.3f}: the choice is {choice}. Loss {loss:.3f} nats; "
        f"guessing costs ln {K + 1} = {math.log(K + 1):.3f}."
    )
