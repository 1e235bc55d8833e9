"""Explorers that live in the browser: Python sends the data once, and no kernel is asked afterwards."""

import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.course.display import png
from w2v2_teach.course.widgets.static_figure import StaticFigure
from w2v2_teach.speech.intervals import Interval

FOLDER = Path(__file__).parent


def script(name: str) -> str:
    """The JavaScript of an explorer, what all of them share before its own: one module, as a widget has to be."""
    return _joined(name, "js")


def style(name: str) -> str:
    """The style sheet of an explorer, what all of them share before its own."""
    return _joined(name, "css")


def _joined(name: str, kind: str) -> str:
    own = FOLDER / f"{name}.{kind}"
    parts = (FOLDER / f"shared.{kind}", own) if own.is_file() else (FOLDER / f"shared.{kind}",)
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def packed(values: np.ndarray, kind: str) -> bytes:
    """The numbers as `kind` ("<f4", "<i2", "u1", …), deflated: JavaScript's `inflate` unpacks them."""
    return zlib.compress(np.ascontiguousarray(values, dtype=kind).tobytes(), 9)


def sound_bytes(waveform: Tensor) -> bytes:
    """(L,) samples as 16-bit numbers, the loudest scaled to full volume."""
    peak = waveform.abs().max().clamp(min=1e-9)
    return (waveform / peak * 32767).round().numpy().astype("<i2").tobytes()


def intervals(of: Sequence[Interval]) -> list[tuple[float, float, str]]:
    """Phones or words as the browser takes them, their times rounded to a tenth of a millisecond."""
    return [(round(start, 4), round(end, 4), label) for start, end, label in of]


class BrowserExplorer(StaticFigure, anywidget.AnyWidget):
    """An explorer with its static figure. A subclass sets `_esm` to `script(…)`, `_css` to `style(…)`, and its traits.

    `figure` is the static one, `alt` says what there is to see, and `traits` are sent to the browser.
    """

    def __init__(self, figure: Figure, alt: str, **traits: Any) -> None:
        super().__init__(**traits)
        self.figure, self.alt = figure, alt

    @cached_property
    def png(self) -> bytes:  # type: ignore[override]  # once drawn, it is an attribute as in the mixin
        """The static figure as PNG, drawn only when a notebook asks for it, because drawing is the slowest step."""
        return png(self.figure)
