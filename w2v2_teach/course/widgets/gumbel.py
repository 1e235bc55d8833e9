"""Gumbel explorer: turn temperature and logits, draw again, and see what is chosen and how soft the sample is."""

import torch
import traitlets
from torch import Tensor

from w2v2_teach.course.plots.quantizer import one_draw
from w2v2_teach.course.widgets.browser import BrowserExplorer, script, style
from w2v2_teach.quantizer import gumbel_noise

TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LOGITS = (2.0, 1.0, 0.5, -1.0)  # at the start
DRAWS = 3000
COUNTED = 1000  # of them, at the start
COUNTS = (1, 3, 10, 30, 100, 300, COUNTED, DRAWS)  # how many draws may be counted


class GumbelExplorer(BrowserExplorer):
    """Four entries, each with a slider for its logit, a temperature, the number of the draw, and how many are counted.

    The noise is drawn here, once: at every setting it is the same, so that only what is turned changes.
    """

    _esm = script("gumbel")
    _css = style("gumbel")

    temperatures = traitlets.List(list(TEMPERATURES)).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)  # at the start
    logits = traitlets.List(list(LOGITS)).tag(sync=True)
    counts = traitlets.List(list(COUNTS)).tag(sync=True)
    counted = traitlets.Int(COUNTED).tag(sync=True)  # at the start
    noise = traitlets.Bytes().tag(sync=True)  # float32 (DRAWS, V)

    def __init__(self) -> None:
        noise, logits = draws_of_noise(), torch.tensor(LOGITS)  # (DRAWS, V), (V,)
        soft = ((logits + noise[0]) / self.temperature).softmax(dim=0)  # (V,)
        winners = (logits + noise[:COUNTED]).argmax(dim=1)  # (COUNTED,)
        shares = torch.bincount(winners, minlength=len(logits)) / COUNTED  # (V,)
        softmax = logits.softmax(dim=0)  # (V,)
        arrays = (x.numpy() for x in (logits, noise[0], soft, softmax, shares))
        figure = one_draw(*arrays, title=f"draw 1, τ = {self.temperature:g}")
        alt = _sentence(self.temperature, soft, shares, softmax)
        super().__init__(figure, alt, noise=noise.numpy().astype("<f4").tobytes())


def draws_of_noise() -> Tensor:
    """(DRAWS, V) Gumbel noise, always the same."""
    return gumbel_noise(torch.empty(DRAWS, len(LOGITS)), torch.Generator().manual_seed(0))


def _sentence(temperature: float, soft: Tensor, shares: Tensor, softmax: Tensor) -> str:
    chosen = int(soft.argmax())
    counted = ", ".join(f"{share:.1%} ({p:.1%})" for share, p in zip(shares.tolist(), softmax.tolist(), strict=True))
    return (
        f"Draw 1 chooses entry {chosen + 1}. At τ = {temperature:g} the soft sample gives it "
        f"{soft[chosen]:.3f} of the weight. In {COUNTED:,} draws the entries are chosen with shares of {counted}; in "
        "brackets what the softmax of the logits says."
    )
