"""The latent frames of waveforms that a frozen feature encoder has encoded before."""

from hashlib import sha1

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from w2v2_teach.model import Wav2Vec2Model


class FrozenEncoderCache:
    """Encodes each waveform once: (B, L) normalized waveforms → latent frames z (B, T, C), for the model's `latents`.

    Most of the arithmetic of a small model is in its encoder, so every epoch after the first costs a fraction. The
    cache is useful for waveforms that come again and again; pieces cropped at random never do. Models that share one
    frozen encoder can share one cache.

    Raises:
        ValueError: an encoder with group norm over time, whose frames depend on the padding beside them.
    """

    def __init__(self, model: Wav2Vec2Model) -> None:
        if model.config.feat_extract_norm != "layer":
            raise ValueError("Only an encoder with layer norm makes the same frames whatever the padding is.")
        self.config, self.encoder = model.config, model.feature_extractor
        self.frames: dict[bytes, Tensor] = {}  # hash of a waveform → (T, C)

    @torch.no_grad()
    def __call__(self, input_values: Tensor) -> Tensor:
        """(B, L), zeros after the end of each → (B, T, C), zero where a frame would see padding."""
        lengths = input_values.shape[1] - (input_values.flip(1) != 0).int().argmax(dim=1)  # (B,)
        rows = [x[:length] for x, length in zip(input_values, lengths.tolist(), strict=True)]
        keys = [sha1(row.cpu().numpy().tobytes()).digest() for row in rows]
        for key, row in zip(keys, rows, strict=True):
            if key not in self.frames:  # alone, so that its frames are the same to the last bit whatever came before
                self.frames[key] = self.encoder(row[None])[0]  # (T, C)
        z = pad_sequence([self.frames[key] for key in keys], batch_first=True)  # (B, up to T, C)
        missing = self.config.frame_lengths(input_values.shape[1]) - z.shape[1]
        return F.pad(z, (0, 0, 0, missing))
