"""Receptive-field explorer: change kernels and strides, point at a frame, see the samples that it sees."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets
from torch import Tensor

from w2v2_teach.audio import SAMPLE_RATE
from w2v2_teach.config import BASE, NOTES, Wav2Vec2Config
from w2v2_teach.display import png
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.plots.encoder import pyramid
from w2v2_teach.widgets.twin import StaticTwin

FOLDER = Path(__file__).parent


class ReceptiveFieldExplorer(StaticTwin, anywidget.AnyWidget):
    """A stack of convolutions over a waveform; everything happens in the browser, no kernel is asked.

    Args:
        config: the stack to start with.
        waveform: (L,) the samples to draw below it, 16 kHz, from their beginning; BASE shows 85 ms of them.
    """

    _esm = FOLDER / "receptive_field.js"
    _css = FOLDER / "receptive_field.css"

    layers = traitlets.List().tag(sync=True)  # [kernel, stride] of each
    presets = traitlets.Dict().tag(sync=True)  # name → layers
    sample_rate = traitlets.Int(SAMPLE_RATE).tag(sync=True)
    waveform = traitlets.Bytes().tag(sync=True)  # float32, little-endian

    def __init__(self, config: Wav2Vec2Config, waveform: Tensor) -> None:
        super().__init__(
            layers=_layers(config),
            presets={"BASE": _layers(BASE), "NOTES": _layers(NOTES)},
            waveform=waveform.numpy().astype("<f4").tobytes(),
        )
        field = receptive_field(config)[-1]
        self.png = png(pyramid(config))
        self.alt = (
            f"A stack of {len(config.conv_kernel)} convolutions: one frame sees {field.samples} samples "
            f"({field.ms:g} ms), and frames come every {field.hop} samples ({field.hop_ms:g} ms)."
        )


def _layers(config: Wav2Vec2Config) -> list[list[int]]:
    return [list(layer) for layer in zip(config.conv_kernel, config.conv_stride, strict=True)]
