"""Receptive-field explorer: change kernels and strides, point at a frame, see the samples that it sees."""

import traitlets
from torch import Tensor

from w2v2_teach.config import BASE, NOTES, SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.course.plots.encoder import pyramid
from w2v2_teach.course.widgets.browser import BrowserExplorer, script, style
from w2v2_teach.feature_encoder import receptive_field


class ReceptiveFieldExplorer(BrowserExplorer):
    """A stack of convolutions over a waveform.

    `config` is the stack to start with; `waveform` (L,) is drawn below it, 16 kHz, from its beginning: BASE shows 85
    ms.
    """

    _esm = script("receptive_field")
    _css = style("receptive_field")

    layers = traitlets.List().tag(sync=True)  # [kernel, stride] of each
    presets = traitlets.Dict().tag(sync=True)  # name → layers
    sample_rate = traitlets.Int(SAMPLE_RATE).tag(sync=True)
    waveform = traitlets.Bytes().tag(sync=True)  # float32, little-endian

    def __init__(self, config: Wav2Vec2Config, waveform: Tensor) -> None:
        field = receptive_field(config)[-1]
        alt = (
            f"A stack of {len(config.conv_kernel)} convolutions: one frame sees {field.samples} samples "
            f"({field.ms:g} ms), and frames come every {field.hop} samples ({field.hop_ms:g} ms)."
        )
        super().__init__(
            pyramid(config),
            alt,
            layers=_layers(config),
            presets={"BASE": _layers(BASE), "NOTES": _layers(NOTES)},
            waveform=waveform.numpy().astype("<f4").tobytes(),
        )


def _layers(config: Wav2Vec2Config) -> list[list[int]]:
    return [list(layer) for layer in zip(config.conv_kernel, config.conv_stride, strict=True)]
