"""A frozen feature encoder need not work twice on the same waveform: it remembers what it made of it."""

from __future__ import annotations

from functools import partial
from hashlib import sha1
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.training.batches import KEPT_HOURS

if TYPE_CHECKING:
    from w2v2_teach.tasks.finetuning import FinetuningSettings


class EncoderMemory:
    """Stands in for the forward pass of a frozen feature encoder, whose frames it keeps for every waveform.

    Most of the arithmetic of a small model is in its encoder, so that every epoch after the first costs a fraction. It
    takes waveforms that come again and again; pieces cropped at random never do. Frames after the end of a shorter
    waveform are zero: the context network masks them anyway.
    """

    def __init__(self) -> None:
        self.frames: dict[bytes, Tensor] = {}  # waveform → (T, C)

    def attach(self, model: Wav2Vec2Model) -> None:
        """From now on `model` asks this memory first; several models with the same encoder may share one.

        Raises:
            ValueError: an encoder with a group norm over time, whose frames depend on the padding beside them.
        """
        if model.config.feat_extract_norm != "layer":
            raise ValueError("Only an encoder with layer norm makes the same frames whatever the padding is.")
        encoder = model.feature_extractor
        self.config, self.encode = model.config, partial(type(encoder).forward, encoder)
        model.feature_extractor.forward = self

    @torch.no_grad()
    def __call__(self, input_values: Tensor) -> Tensor:
        """(B, L) normalized waveforms, zeros after their end → (B, T, C)."""
        lengths = input_values.shape[1] - (input_values.flip(1) != 0).int().argmax(dim=1)  # (B,)
        rows = [x[:length] for x, length in zip(input_values, lengths.tolist(), strict=True)]
        keys = [sha1(row.cpu().numpy().tobytes()).digest() for row in rows]
        for key, row in zip(keys, rows, strict=True):
            if key not in self.frames:  # alone, so that its frames are the same to the last bit whatever came before
                self.frames[key] = self.encode(row[None])[0]  # (T, C)
        z = pad_sequence([self.frames[key] for key in keys], batch_first=True)  # (B, up to T, C)
        missing = self.config.frame_lengths(input_values.shape[1]) - z.shape[1]
        return F.pad(z, (0, 0, 0, missing))


def remember_frozen_encoder(model: Wav2Vec2Model, settings: FinetuningSettings, hours: float) -> None:
    """Give `model` a memory where that pays: a frozen encoder, whole utterances, and little enough to keep."""
    whole = settings.freeze_encoder and settings.crop_seconds is None and model.config.feat_extract_norm == "layer"
    if whole and hours <= KEPT_HOURS:
        EncoderMemory().attach(model)
