"""Fine-tuning heads: the pre-trained model and, on its context, what a task asks for (Section 3.3)."""

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
    frame_mask: Tensor  # (B, T) bool, True for real frames, False for padding

    @property
    def log_probs(self) -> Tensor:
        """(B, T, V) log softmax, in single precision whatever the model computes in."""
        return self.logits.float().log_softmax(dim=-1)

    @property
    def frame_lengths(self) -> Tensor:
        """(B,) real frames of each utterance."""
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
        latents: Tensor | None = None,
    ) -> CTCOutput:
        """(B, L) normalized waveforms → (B, T, V); arguments and errors as in `Wav2Vec2Model.forward`."""
        output = self.wav2vec2(input_values, attention_mask, mask_time_indices, mask_feature_indices, latents)
        return CTCOutput(self.lm_head(self.dropout(output.last_hidden_state)), output.frame_mask)


@dataclass(frozen=True)
class LayerMixture:
    """One sequence of frames made of all layers' outputs, or the last one alone."""

    frames: Tensor  # (B, T, D)
    frame_mask: Tensor  # (B, T), True for real frames


class WeightedLayerSum(Pretrained):
    """The pre-trained model and, with `use_weighted_layer_sum`, one learned weight for each of its layers."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        if config.use_weighted_layer_sum:
            states = config.num_hidden_layers + 1  # the Transformer's input, and what each layer makes of it
            self.layer_weights = nn.Parameter(torch.full((states,), 1 / states))

    def mix(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        mask_feature_indices: Tensor | None = None,
        latents: Tensor | None = None,
    ) -> LayerMixture:
        """Σ w_l h_l over the layers l, where w is the softmax of `layer_weights`; arguments as in `Wav2Vec2Model`."""
        mixed = self.config.use_weighted_layer_sum
        output = self.wav2vec2(
            input_values, attention_mask, mask_time_indices, mask_feature_indices, latents, output_hidden_states=mixed
        )
        frames = output.last_hidden_state  # (B, T, D)
        if mixed:
            states = torch.stack(output.hidden_states)  # (layers + 1, B, T, D)
            frames = torch.einsum("lbtd,l->btd", states.float(), self.layer_weights.float().softmax(dim=0))
        mask = output.frame_mask
        return LayerMixture(frames, torch.ones_like(frames[:, :, 0], dtype=torch.bool) if mask is None else mask)


def mean_pooling(x: Tensor, frame_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D), the mean over the real frames, in single precision."""
    real = frame_mask[:, :, None]  # (B, T, 1)
    return x.float().masked_fill(~real, 0).sum(dim=1) / real.sum(dim=1)


def statistics_pooling(x: Tensor, frame_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, 2 D), mean and standard deviation over the real frames (x-vectors, Snyder et al. 2018)."""
    mean = mean_pooling(x, frame_mask)  # (B, D)
    variance = mean_pooling((x.float() - mean[:, None]).square(), frame_mask)  # (B, D)
    return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)  # the root of 0 would have an infinite gradient


class Wav2Vec2ForSequenceClassification(WeightedLayerSum):
    """One label for a whole utterance: projection, mean over the real frames, scores for the classes."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, len(config.labels))

    def forward(self, *args: Tensor | None, **kwargs: Tensor | None) -> Tensor:
        """(B, L) normalized waveforms → logits (B, labels); arguments and errors as in `Wav2Vec2Model.forward`."""
        mixture = self.mix(*args, **kwargs)
        return self.classifier(mean_pooling(self.projector(mixture.frames), mixture.frame_mask))


@dataclass(frozen=True)
class SpeakerOutput:
    """What `Wav2Vec2ForSpeakerVerification` returns."""

    embeddings: Tensor  # (B, E), of any length: two are compared by the angle between them
    class_weights: Tensor  # (S, E), one direction for each speaker of the training; unseen speakers have none


class Wav2Vec2ForSpeakerVerification(WeightedLayerSum):
    """Who speaks: statistics pooling over the frames, then one linear map to an embedding."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        # Statistics have very different sizes; a batch norm brings them to one (as in ECAPA-TDNN, arXiv 2005.07143).
        self.norm = nn.BatchNorm1d(2 * config.hidden_size, affine=False)
        self.dropout = nn.Dropout(config.final_dropout)
        self.embedding = nn.Linear(2 * config.hidden_size, config.speaker_embedding_dim)
        self.class_weights = nn.Parameter(torch.empty(len(config.labels), config.speaker_embedding_dim))
        nn.init.xavier_normal_(self.class_weights)

    def forward(self, *args: Tensor | None, **kwargs: Tensor | None) -> SpeakerOutput:
        """(B, L) normalized waveforms → embeddings; arguments and errors as in `Wav2Vec2Model.forward`."""
        mixture = self.mix(*args, **kwargs)
        statistics = statistics_pooling(mixture.frames, mixture.frame_mask)  # (B, 2 D)
        embeddings = self.embedding(self.dropout(self.norm(statistics)))  # (B, E)
        # A copy: several processes that train together find what was used by looking at how outputs were computed.
        return SpeakerOutput(embeddings.float(), self.class_weights.clone())
