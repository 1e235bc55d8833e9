"""Fine-tuning heads: the pre-trained model with a task's output layer on its context vectors (Section 3.3)."""

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
    """Speech recognition head: a linear layer from each context vector to the logits of the vocabulary's tokens."""

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


class WeightedLayerSum(Pretrained):
    """Base of the heads for whole utterances: a weighted sum of all layers' outputs, or the last layer's output.

    With `use_weighted_layer_sum` it has one learned weight for each layer (as in SUPERB, arXiv 2105.01051).
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        if config.use_weighted_layer_sum:
            states = config.num_hidden_layers + 1  # the Transformer's input and each layer's output
            self.layer_weights = nn.Parameter(torch.full((states,), 1 / states))

    def layer_sum(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        mask_feature_indices: Tensor | None = None,
        latents: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, L) normalized waveforms → Σ_l w_l h_l (B, T, D) with w = softmax(`layer_weights`), and the frame mask.

        The frame mask (B, T) is True for real frames. Arguments and errors as in `Wav2Vec2Model.forward`.
        """
        use_sum = self.config.use_weighted_layer_sum
        output = self.wav2vec2(
            input_values, attention_mask, mask_time_indices, mask_feature_indices, latents, output_hidden_states=use_sum
        )
        if not use_sum:
            return output.last_hidden_state, output.frame_mask
        states = torch.stack(output.hidden_states)  # (layers + 1, B, T, D)
        frames = torch.einsum("lbtd,l->btd", states.float(), self.layer_weights.float().softmax(dim=0))
        return frames, output.frame_mask


def mean_pooling(x: Tensor, frame_mask: Tensor) -> Tensor:
    """(B, T, D) and (B, T) bool → (B, D), the mean over the real frames, in single precision."""
    real = frame_mask[:, :, None]  # (B, T, 1)
    return x.float().masked_fill(~real, 0).sum(dim=1) / real.sum(dim=1)


def statistics_pooling(x: Tensor, frame_mask: Tensor) -> Tensor:
    """(B, T, D) and (B, T) bool → (B, 2 D), mean and standard deviation over the real frames (Snyder et al. 2018)."""
    mean = mean_pooling(x, frame_mask)  # (B, D)
    variance = mean_pooling((x.float() - mean[:, None]).square(), frame_mask)  # (B, D)
    return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)  # the root of 0 would have an infinite gradient


class Wav2Vec2ForSequenceClassification(WeightedLayerSum):
    """Utterance classification head: projection, mean pooling over the real frames, logits of the labels."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, len(config.labels))

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        mask_feature_indices: Tensor | None = None,
        latents: Tensor | None = None,
    ) -> Tensor:
        """(B, L) normalized waveforms → logits (B, labels); arguments and errors as in `Wav2Vec2Model.forward`."""
        x, frame_mask = self.layer_sum(input_values, attention_mask, mask_time_indices, mask_feature_indices, latents)
        return self.classifier(mean_pooling(self.projector(x), frame_mask))


@dataclass(frozen=True)
class SpeakerOutput:
    """What `Wav2Vec2ForSpeakerVerification` returns."""

    embeddings: Tensor  # (B, E), not normalized: two embeddings are compared by their cosine similarity
    class_weights: Tensor  # (S, E), one for each training speaker, for ArcFace; held-out speakers have none


class Wav2Vec2ForSpeakerVerification(WeightedLayerSum):
    """Speaker verification head: statistics pooling, embedding, class weights for ArcFace (arXiv 1801.07698)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        # The statistics' scales differ widely; batch norm makes them alike (as in ECAPA-TDNN, arXiv 2005.07143).
        self.norm = nn.BatchNorm1d(2 * config.hidden_size, affine=False)
        self.dropout = nn.Dropout(config.final_dropout)
        self.embedding = nn.Linear(2 * config.hidden_size, config.speaker_embedding_dim)
        self.class_weights = nn.Parameter(torch.empty(len(config.labels), config.speaker_embedding_dim))
        nn.init.xavier_normal_(self.class_weights)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        mask_feature_indices: Tensor | None = None,
        latents: Tensor | None = None,
    ) -> SpeakerOutput:
        """(B, L) normalized waveforms → embeddings (B, E); arguments and errors as in `Wav2Vec2Model.forward`."""
        x, frame_mask = self.layer_sum(input_values, attention_mask, mask_time_indices, mask_feature_indices, latents)
        statistics = statistics_pooling(x, frame_mask)  # (B, 2 D)
        embeddings = self.embedding(self.dropout(self.norm(statistics)))  # (B, E)
        # A copy, because DistributedDataParallel finds the parameters in use from the outputs' autograd graph.
        return SpeakerOutput(embeddings.float(), self.class_weights.clone())
