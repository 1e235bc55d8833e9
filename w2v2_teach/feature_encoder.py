"""Feature encoder f: X → Z, from waveform to latent frames (arXiv 2006.11477, Section 2), and what a frame can see."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}  # GELU in its exact form, with erf


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each frame alone: no frame learns anything about another."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) → (B, C, T)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ConvLayer(nn.Module):
    """Convolution → normalization (group, layer or none) → activation, without padding: T' = (T - k) // s + 1."""

    def __init__(self, config: Wav2Vec2Config, index: int) -> None:
        super().__init__()
        self.conv = _convolution(config, index)
        channels = config.conv_dim[index]
        if config.feat_extract_norm == "layer":
            self.layer_norm: nn.Module = ChannelNorm(channels)
        elif index == 0:  # one group per channel: its mean and variance run over the whole utterance
            self.layer_norm = nn.GroupNorm(num_groups=channels, num_channels=channels)
        else:
            self.layer_norm = nn.Identity()
        self.activation = ACTIVATIONS[config.feat_extract_activation]()

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, T) → (B, C_out, T')
        return self.activation(self.layer_norm(self.conv(x)))


class GatedConvLayer(nn.Module):
    """A block of the NOTES encoder: convolution → group norm → gate → residual → dropout → layer norm.

    The gate is a gated linear unit whose projection all layers share ("layer-tied"); `gate_weight`, one learned scalar
    a layer, says how strongly this layer's gate leans on it ("weighted").
    """

    def __init__(self, config: Wav2Vec2Config, index: int) -> None:
        super().__init__()
        self.conv = _convolution(config, index)
        channels = config.conv_dim[index]
        self.group_norm = nn.GroupNorm(num_groups=channels, num_channels=channels)
        self.activation = ACTIVATIONS[config.feat_extract_activation]()
        self.gate_weight = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(config.conv_dropout)
        self.layer_norm = ChannelNorm(channels)

    def forward(self, x: Tensor, gate: nn.Module) -> Tensor:  # (B, C_in, T) → (B, C_out, T')
        h = self.group_norm(self.conv(x))  # (B, C_out, T')
        h = self.activation(h) * torch.sigmoid(self.gate_weight * gate(h))
        if x.shape[1] == h.shape[1]:  # the first layer has one channel in: nothing to add
            h = h + self._centers(x, h.shape[2])
        return self.layer_norm(self.dropout(h))

    def _centers(self, x: Tensor, frames: int) -> Tensor:
        """The input at the middle of each window, so that the residual has the output's length."""
        (kernel,), (stride,) = self.conv.kernel_size, self.conv.stride
        return x[:, :, (kernel - 1) // 2 :: stride][:, :, :frames]


class FeatureEncoder(nn.Module):
    """Waveform in, one latent vector every hop out: a stack of convolutions."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        layers = range(len(config.conv_dim))
        if config.conv_gate:
            self.gate = nn.Conv1d(config.conv_dim[0], config.conv_dim[0], kernel_size=1)
            self.conv_layers = nn.ModuleList(GatedConvLayer(config, i) for i in layers)
        else:
            self.conv_layers = nn.ModuleList(ConvLayer(config, i) for i in layers)

    def forward(self, input_values: Tensor) -> Tensor:
        """(B, L) samples → (B, T, C) latent frames z."""
        x = input_values[:, None]  # (B, 1, L)
        for layer in self.conv_layers:
            x = layer(x, self.gate) if isinstance(layer, GatedConvLayer) else layer(x)  # (B, C, T)
        return x.transpose(1, 2)  # (B, T, C)


def _convolution(config: Wav2Vec2Config, index: int) -> nn.Conv1d:
    conv = nn.Conv1d(
        in_channels=config.conv_dim[index - 1] if index > 0 else 1,
        out_channels=config.conv_dim[index],
        kernel_size=config.conv_kernel[index],
        stride=config.conv_stride[index],
        bias=config.conv_bias,
    )
    nn.init.kaiming_normal_(conv.weight)  # keeps the variance from layer to layer
    return conv


class ReceptiveField(NamedTuple):
    """What one output frame of a stack of convolutions sees of the waveform."""

    samples: int  # width of the window, in samples
    hop: int  # distance between two neighboring windows, in samples

    @property
    def ms(self) -> float:
        """Width of the window in milliseconds."""
        return 1000 * self.samples / SAMPLE_RATE

    @property
    def hop_ms(self) -> float:
        """Distance between two windows in milliseconds."""
        return 1000 * self.hop / SAMPLE_RATE

    @property
    def frame_rate(self) -> float:
        """Frames per second of audio."""
        return SAMPLE_RATE / self.hop

    def window(self, frame: int) -> range:
        """The samples that `frame` sees."""
        return range(frame * self.hop, frame * self.hop + self.samples)

    def times(self, frames: int) -> Tensor:
        """(T,) float64, the center of each frame's window, in seconds."""
        return (torch.arange(frames, dtype=torch.float64) * self.hop + self.samples / 2) / SAMPLE_RATE


def receptive_field(config: Wav2Vec2Config) -> list[ReceptiveField]:
    """The receptive field after each convolution; the last entry is that of the whole encoder.

    A kernel of width k adds k - 1 steps of its input, each as long as the hop so far; a stride multiplies the hop.
    """
    samples, hop, fields = 1, 1, []
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples += (kernel - 1) * hop
        hop *= stride
        fields.append(ReceptiveField(samples, hop))
    return fields


def frame_times(config: Wav2Vec2Config, frames: int) -> Tensor:
    """(T,) float64, the center of each latent frame's receptive field, in seconds."""
    return receptive_field(config)[-1].times(frames)


def measured_receptive_field(config: Wav2Vec2Config, frame: int = 3) -> range:
    """The samples on which a latent frame really depends, found from gradients of an encoder with random weights.

    Group norm is left out: its statistics run over time, so that strictly every frame of BASE sees every sample. What
    is measured is the reach of the convolutions.
    """
    whole = receptive_field(config)[-1]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        encoder = _without_group_norm(FeatureEncoder(config)).double().eval()
        x = torch.randn(1, (frame + 2) * whole.hop + whole.samples, dtype=torch.float64)  # (1, L)
        direction = torch.randn(config.conv_dim[-1], dtype=torch.float64)  # (C,)
        x.requires_grad_()
        seen = encoder(x)[0, frame] @ direction  # a plain sum would not do: after a layer norm it is constant
        (gradient,) = torch.autograd.grad(seen, x)  # (1, L)
    touched = gradient[0].nonzero().flatten()  # indices of the samples with a gradient
    return range(int(touched[0]), int(touched[-1]) + 1)


def _without_group_norm(encoder: FeatureEncoder) -> FeatureEncoder:
    for layer in encoder.conv_layers:
        for name, child in layer.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(layer, name, nn.Identity())
    return encoder
