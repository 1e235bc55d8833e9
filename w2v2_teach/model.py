"""The whole model, put together from its components; no new mathematics here (arXiv 2006.11477, Figure 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from w2v2_teach.checkpoints import load_pretrained, save_pretrained
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.context_network import ContextNetwork, FeatureProjection
from w2v2_teach.feature_encoder import FeatureEncoder, receptive_field


@dataclass(frozen=True)
class Wav2Vec2Output:
    """What `Wav2Vec2Model` returns."""

    last_hidden_state: Tensor  # c (B, T, D), context
    extract_features: Tensor  # z (B, T, C), normalised latent frames: the quantizer's input
    frame_mask: Tensor | None  # (B, T), True for real frames; None if there was no attention mask
    hidden_states: list[Tensor]  # if asked for: the Transformer's input, then each layer's output, each (B, T, D)
    attentions: list[Tensor]  # if asked for: one (B, H, T, T) per layer


class Wav2Vec2Model(nn.Module):
    """Waveform → latent frames z → context c: feature encoder, projection, mask, context network.

    The attributes carry Hugging Face's names, so that the weights of a published checkpoint fit without renaming.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = FeatureEncoder(config)
        self.feature_projection = FeatureProjection(config)
        self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))  # (D,), stands in for masked frames
        self.encoder = ContextNetwork(config)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Wav2Vec2Output:
        """Encode a batch of normalised 16 kHz waveforms.

        Args:
            input_values: (B, L) samples, shorter utterances padded on the right.
            attention_mask: (B, L), 1 for samples and 0 for padding.
            mask_time_indices: (B, T) bool, the frames that the mask vector replaces.
            output_attentions: keep every layer's attention weights.
            output_hidden_states: keep the Transformer's input and every layer's output.

        Raises:
            ValueError: the shapes disagree, the padding is not on the right, or an utterance has no whole frame.
        """
        frame_mask = self._frame_mask(input_values, attention_mask)  # (B, T) or None
        z = self.feature_extractor(input_values)  # (B, T, C)
        x, z = self.feature_projection(z)  # (B, T, D), (B, T, C)
        if mask_time_indices is not None:
            x = torch.where(mask_time_indices[:, :, None], self.masked_spec_embed.to(x.dtype), x)
        context = self.encoder(x, frame_mask, output_attentions, output_hidden_states)
        return Wav2Vec2Output(
            last_hidden_state=context.last_hidden_state,
            extract_features=z,
            frame_mask=frame_mask,
            hidden_states=context.hidden_states,
            attentions=context.attentions,
        )

    def _frame_mask(self, input_values: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """(B, L) mask of samples → (B, T) mask of frames: the first `frame_lengths(samples)` of each row."""
        if input_values.ndim != 2:
            raise ValueError(
                f"input_values has shape {tuple(input_values.shape)}; it must be (B, L), one row a waveform."
            )
        if attention_mask is None:
            self._demand_a_frame(torch.tensor([input_values.shape[1]]))
            return None
        if attention_mask.shape != input_values.shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}, input_values {tuple(input_values.shape)}; "
                "they must agree."
            )
        mask = attention_mask.bool()  # (B, L)
        if (mask[:, 1:] & ~mask[:, :-1]).any():
            raise ValueError("attention_mask has a 1 after a 0; padding must be on the right.")
        lengths = mask.sum(1)  # (B,) samples
        self._demand_a_frame(lengths)
        frames = torch.arange(self.config.frame_lengths(input_values.shape[1]), device=mask.device)  # (T,)
        return frames < self.config.frame_lengths(lengths)[:, None]  # (B, T)

    def _demand_a_frame(self, lengths: Tensor) -> None:
        shortest = int(lengths.min())
        needed = receptive_field(self.config)[-1].samples
        if shortest < needed:
            row = int(lengths.argmin())
            raise ValueError(f"Utterance {row} has {shortest} samples; the first frame needs {needed}.")

    @classmethod
    def from_pretrained(cls, name: str | Path, download: bool = False) -> Wav2Vec2Model:
        """Load a folder or a hub id; see `checkpoints.load_pretrained`."""
        return load_pretrained(cls, name, download=download)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors`; see `checkpoints.save_pretrained`."""
        save_pretrained(self, folder)
