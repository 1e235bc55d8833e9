"""Fine-tuning heads: the pre-trained model and, on its context, what a task asks for (Section 3.3); nothing else is new."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from w2v2_teach.checkpoints import Pretrained
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.model import Wav2Vec2Model


@dataclass(frozen=True)
class CTCOutput:
    """What `Wav2Vec2ForCTC` returns."""

    logits: Tensor  # (B, T, V)
    frame_mask: Tensor | None  # (B, T), True for real frames; None if there was no attention mask

    @property
    def log_probs(self) -> Tensor:
        """(B, T, V) log softmax, in single precision whatever the model computes in."""
        return self.logits.float().log_softmax(dim=-1)

    @property
    def frame_lengths(self) -> Tensor:
        """(B,) real frames of each utterance."""
        batch, frames = self.logits.shape[:2]
        if self.frame_mask is None:
            return torch.full((batch,), frames, device=self.logits.device)
        return self.frame_mask.sum(dim=1)


class Wav2Vec2ForCTC(Pretrained):
    """Speech recognition: each frame's context → scores for the tokens of a vocabulary."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout = nn.Dropout(config.final_dropout)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        mask_feature_indices: Tensor | None = None,
    ) -> CTCOutput:
        """(B, L) normalised waveforms → (B, T, V); arguments and errors as in `Wav2Vec2Model.forward`."""
        output = self.wav2vec2(input_values, attention_mask, mask_time_indices, mask_feature_indices)
        return CTCOutput(self.lm_head(self.dropout(output.last_hidden_state)), output.frame_mask)
