"""The whole model, put together from its components; no new mathematics here (arXiv 2006.11477, Figure 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from w2v2_teach.checkpoints import Pretrained
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.context_network import ContextNetwork, FeatureProjection
from w2v2_teach.feature_encoder import FeatureEncoder, receptive_field
from w2v2_teach.losses import contrastive_logits, contrastive_loss, diversity_loss
from w2v2_teach.quantizer import GumbelVectorQuantizer, QuantizerOutput


@dataclass(frozen=True)
class Wav2Vec2Output:
    """What `Wav2Vec2Model` returns."""

    last_hidden_state: Tensor  # c (B, T, D), context
    latents: Tensor  # z (B, T, C) as the encoder gives them
    extract_features: Tensor  # z (B, T, C), normalized latent frames: the quantizer's input
    frame_mask: Tensor  # (B, T) bool, True for real frames, False for padding
    hidden_states: list[Tensor]  # if asked for: the Transformer's input, then each layer's output, each (B, T, D)
    attentions: list[Tensor]  # if asked for: one (B, H, T, T) per layer


class Wav2Vec2Model(Pretrained):
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
        mask_feature_indices: Tensor | None = None,
        latents: Tensor | None = None,
        *,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Wav2Vec2Output:
        """Encode a batch of normalized 16 kHz waveforms.

        Args:
            input_values: (B, L) samples, shorter utterances padded on the right.
            attention_mask: (B, L), 1 for samples and 0 for padding.
            mask_time_indices: (B, T) bool, the frames that the mask vector replaces.
            mask_feature_indices: (B, D) bool, the channels that are set to zero (in fine-tuning, Appendix B).
            latents: (B, T, C), what the feature encoder makes of `input_values`, where that is known already.
            output_attentions: keep every layer's attention weights.
            output_hidden_states: keep the Transformer's input and every layer's output.

        Raises:
            ValueError: the shapes disagree, the padding is not on the right, or an utterance has no whole frame.
        """
        frame_mask = self._frame_mask(input_values, attention_mask)  # (B, T)
        if latents is None:
            latents = self.feature_extractor(input_values)  # (B, T, C)
        x, z = self.feature_projection(latents)  # (B, T, D), (B, T, C)
        if mask_time_indices is not None:
            x = torch.where(mask_time_indices[:, :, None], self.masked_spec_embed.to(x.dtype), x)
        if mask_feature_indices is not None:
            x = x.masked_fill(mask_feature_indices[:, None, :], 0)
        padding = None if attention_mask is None else frame_mask  # without a mask, attention takes its fastest path
        context = self.encoder(x, padding, output_attentions, output_hidden_states)
        return Wav2Vec2Output(
            last_hidden_state=context.last_hidden_state,
            latents=latents,
            extract_features=z,
            frame_mask=frame_mask,
            hidden_states=context.hidden_states,
            attentions=context.attentions,
        )

    def latent_features(self, input_values: Tensor) -> Tensor:
        """(B, L) normalized waveforms → z (B, T, C), the normalized latent features that the quantizer reads."""
        return self.feature_projection(self.feature_extractor(input_values))[1]

    def _frame_mask(self, input_values: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(B, L) mask of samples → (B, T) mask of frames: the first `frame_lengths(samples)` of each row."""
        if input_values.ndim != 2:
            raise ValueError(
                f"input_values has shape {tuple(input_values.shape)}; it must be (B, L), one row a waveform."
            )
        num_frames = self.config.frame_lengths(input_values.shape[1])  # T
        if attention_mask is None:
            self._require_a_frame(input_values.shape[1], row=0)
            return torch.ones(len(input_values), num_frames, dtype=torch.bool, device=input_values.device)
        if attention_mask.shape != input_values.shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}, input_values {tuple(input_values.shape)}; "
                "they must agree."
            )
        mask = attention_mask.bool()  # (B, L)
        if (mask[:, 1:] & ~mask[:, :-1]).any():
            raise ValueError("attention_mask has a 1 after a 0; padding must be on the right.")
        lengths = mask.sum(1)  # (B,) samples
        self._require_a_frame(int(lengths.min()), int(lengths.argmin()))
        frames = torch.arange(num_frames, device=mask.device)  # (T,)
        return frames < self.config.frame_lengths(lengths)[:, None]  # (B, T)

    def _require_a_frame(self, samples: int, row: int) -> None:
        needed = receptive_field(self.config)[-1].samples
        if samples < needed:
            raise ValueError(f"Utterance {row} has {samples} samples; the first frame needs {needed}.")


@dataclass(frozen=True)
class Wav2Vec2ForPreTrainingOutput:
    """What `Wav2Vec2ForPreTraining` returns for a batch with N masked frames."""

    contrastive_loss: Tensor  # sum over the N frames, in nats
    logits: Tensor  # (N, K + 1), target first, -inf for a distractor that equals it
    quantized: QuantizerOutput  # of the N masked frames
    latents: Tensor  # z (B, T, C) as the encoder gives them: what the feature penalty reads
    diversity_loss_weight: float  # α

    @property
    def diversity_loss(self) -> Tensor:
        """Between 0 and 1."""
        return diversity_loss(self.quantized.mean_probs)

    @property
    def loss(self) -> Tensor:
        """Contrastive + α·N·diversity (equation 2), a sum over the N frames as in transformers."""
        return self.contrastive_loss + self.diversity_loss_weight * self.num_masked * self.diversity_loss

    @property
    def num_masked(self) -> int:
        """N, frames that were masked."""
        return len(self.logits)

    @property
    def num_correct(self) -> Tensor:
        """How many of the N contexts are closer to their target than to every distractor."""
        return (self.logits[:, 0] > self.logits[:, 1:].amax(dim=1)).sum()


class Wav2Vec2ForPreTraining(Pretrained):
    """The contrastive task on top of the model: name the true quantized frame behind each mask (Section 3.2)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout_features = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = GumbelVectorQuantizer(config)
        self.project_hid = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)

    def forward(
        self,
        input_values: Tensor,
        mask_time_indices: Tensor,
        negatives: Tensor,
        attention_mask: Tensor | None = None,
        *,
        temperature: float = 1.0,
        noise: Tensor | None = None,
    ) -> Wav2Vec2ForPreTrainingOutput:
        """The losses of one batch. Targets are not detached: their gradient trains quantizer and encoder.

        Args:
            input_values: (B, L) normalized waveforms.
            mask_time_indices: (B, T) bool, from `span_mask`.
            negatives: (N, K) long, from `sample_negatives`.
            attention_mask: (B, L), 1 for samples and 0 for padding.
            temperature: τ of the Gumbel softmax, used in training.
            noise: (N, G, V) Gumbel noise, used in training; drawn if None.

        Raises:
            ValueError: see `Wav2Vec2Model.forward`.
        """
        output = self.wav2vec2(input_values, attention_mask, mask_time_indices)
        c = self.project_hid(output.last_hidden_state[mask_time_indices])  # (N, d)
        z = self.dropout_features(output.extract_features[mask_time_indices])  # (N, C)
        quantized = self.quantizer(z, temperature, noise)
        q = self.project_q(quantized.codevectors)  # (N, d)

        kappa = self.config.contrastive_logits_temperature
        logits = contrastive_logits(c, q, quantized.codes, negatives, kappa)  # (N, K + 1)
        return Wav2Vec2ForPreTrainingOutput(
            contrastive_loss=contrastive_loss(logits),
            logits=logits,
            quantized=quantized,
            latents=output.latents,
            diversity_loss_weight=self.config.diversity_loss_weight,
        )

    @torch.no_grad()
    def codes(self, input_values: Tensor) -> Tensor:
        """(B, L) normalized waveforms → (B, T, G) long, the entries that the quantizer picks in evaluation."""
        return self.quantizer.logits(self.wav2vec2.latent_features(input_values)).argmax(dim=-1)
