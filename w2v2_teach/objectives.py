"""Other pre-training objectives: next-step prediction, next-token prediction, and Table 4's inputs and targets.

Next-step contrastive prediction is that of wav2vec (arXiv 1904.05862) and CPC (arXiv 1807.03748); next-token prediction
is that of language models. Both need a causal context network (`config.causal`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2v2_teach.checkpoints import Pretrained
from w2v2_teach.config import ConfigError, Wav2Vec2Config
from w2v2_teach.context_network import FeatureProjection
from w2v2_teach.losses import contrastive_loss, diversity_loss
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2ForPreTrainingOutput, Wav2Vec2Model
from w2v2_teach.quantizer import GumbelVectorQuantizer, QuantizerOutput, gumbel_noise, gumbel_softmax, one_hot


class CausalModel(Pretrained):
    """Base of the models that predict later frames from a context which does not see them."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        """Raises ConfigError unless the configuration is causal."""
        super().__init__()
        if not config.causal:
            raise ConfigError("causal is False; it must be True: a network that sees the future need not predict it.")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)


# --- the next step, among distractors ---------------------------------------------------------------------------------


def bilinear_logits(predictions: Tensor, z: Tensor, negatives: Tensor) -> Tensor:
    """Scalar products of each prediction W_k c with its target and its distractors (arXiv 1807.03748, equation 3).

    Args:
        predictions: (N, C), the prediction for each of the N latent frames.
        z: (N, C) latent frames.
        negatives: (N, K) long, from `sample_negatives`.

    Returns:
        (N, K + 1): the true frame first.
    """
    scores = predictions.float() @ z.float().T  # (N, N)
    own = torch.arange(len(z), device=z.device)[:, None]  # (N, 1)
    return scores.gather(1, torch.cat([own, negatives], dim=1))


@dataclass(frozen=True)
class NextStepOutput:
    """What `Wav2Vec2ForNextStep` returns for a batch with N_k frames that have a context k frames before them."""

    loss: Tensor  # sum over all steps k and their frames, in nats
    logits: dict[int, Tensor]  # k → (N_k, K + 1), the true frame first
    latents: Tensor  # z (B, T, C) as the encoder gives them

    @property
    def num_correct(self) -> dict[int, Tensor]:
        """k → how many of the N_k predictions are closer to their target than to every distractor."""
        return {k: (x[:, 0] > x[:, 1:].amax(dim=1)).sum() for k, x in self.logits.items()}

    @property
    def num_predictions(self) -> int:
        """Over all steps."""
        return sum(map(len, self.logits.values()))


class Wav2Vec2ForNextStep(CausalModel):
    """Next-step contrastive prediction: from the context c_t, tell z_(t+k) from distractors, for several steps k."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        width, channels = config.hidden_size, config.conv_dim[-1]  # D, C
        predictors = [nn.Linear(width, channels) for _ in config.prediction_steps]
        # Random predictions cost more than 0, and the quickest way to make them cheaper is to make all frames alike.
        for predict in predictors:
            nn.init.zeros_(predict.weight)
            nn.init.zeros_(predict.bias)
        self.predictors = nn.ModuleList(predictors)

    def forward(self, input_values: Tensor, negatives: Tensor, attention_mask: Tensor | None = None) -> NextStepOutput:
        """The losses of one batch. Targets are not detached: their gradient trains the encoder, as in wav2vec.

        Args:
            input_values: (B, L) normalized waveforms.
            negatives: (N, K) long, from `sample_negatives` with the N real frames as its mask.
            attention_mask: (B, L), 1 for samples and 0 for padding.
        """
        output = self.wav2vec2(input_values, attention_mask)
        real = output.frame_mask  # (B, T)
        c, z = output.last_hidden_state, output.extract_features[real]  # (B, T, D), (N, C)
        time = torch.arange(c.shape[1], device=c.device).expand_as(real)[real]  # (N,) t of each real frame
        logits = {}
        for k, predict in zip(self.config.prediction_steps, self.predictors, strict=True):
            before = F.pad(c, (0, 0, k, 0))[:, : c.shape[1]][real]  # (N, D): the context k frames before each frame
            logits[k] = bilinear_logits(predict(before), z, negatives)[time >= k]  # (N_k, K + 1)
        loss = sum(map(contrastive_loss, logits.values()), start=c.new_zeros(()))
        return NextStepOutput(loss, logits, output.latents)


# --- the next token ---------------------------------------------------------------------------------------------------


def next_token_loss(logits: Tensor, choice: Tensor) -> Tensor:
    """Cross-entropy with one-hot targets, summed over frames and codebooks, in nats.

    Args:
        logits: (N, G, V) for the next frame's code in each codebook.
        choice: (N, G, V) one-hot; it may carry the gradient of a Gumbel softmax.
    """
    return -(choice * logits.float().log_softmax(dim=-1)).sum()


@dataclass(frozen=True)
class NextTokenOutput:
    """What the next-token models return for N frames that have a next one."""

    loss: Tensor  # sum over the N frames, in nats
    logits: Tensor  # (N, G, V)
    targets: Tensor  # (N, G) long, the next frame's codes
    diversity_loss: Tensor  # between 0 and 1; 0 where the quantizer is not trained
    latents: Tensor  # z (B, T, C) as the encoder gives them

    @property
    def num_correct(self) -> Tensor:
        """How many of the N frames have all G codes right."""
        return (self.logits.argmax(dim=-1) == self.targets).all(dim=-1).sum()


class Wav2Vec2ForNextToken(CausalModel):
    """Next-token prediction: from the context c_t, predict the codes of frame t + 1, which another model assigns."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.codebooks = config.num_codevector_groups, config.num_codevectors_per_group  # G, V
        self.lm_head = nn.Linear(config.hidden_size, self.codebooks[0] * self.codebooks[1])

    def forward(self, input_values: Tensor, codes: Tensor, attention_mask: Tensor | None = None) -> NextTokenOutput:
        """The loss of one batch.

        Args:
            input_values: (B, L) normalized waveforms.
            codes: (B, T, G) long, from a quantizer that is not trained here; see `Wav2Vec2ForPreTraining.codes`.
            attention_mask: (B, L), 1 for samples and 0 for padding.
        """
        output = self.wav2vec2(input_values, attention_mask)
        has_next = output.frame_mask[:, 1:]  # (B, T - 1)
        logits = self._logits(output.last_hidden_state[:, :-1][has_next])  # (N, G, V)
        targets = codes[:, 1:][has_next]  # (N, G)
        loss = next_token_loss(logits, one_hot(targets, logits))
        return NextTokenOutput(loss, logits, targets, loss.new_zeros(()), output.latents)

    def _logits(self, c: Tensor) -> Tensor:
        return self.lm_head(c).unflatten(-1, self.codebooks)  # (N, D) → (N, G, V)


class Wav2Vec2ForJointNextToken(Wav2Vec2ForNextToken):
    """Next-token prediction of codes that the same loss trains, by a quantizer of the model's own."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.quantizer = GumbelVectorQuantizer(config)

    def forward(
        self,
        input_values: Tensor,
        codes: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        temperature: float = 1.0,
        noise: Tensor | None = None,
    ) -> NextTokenOutput:
        """The loss of one batch, with α·N times the diversity loss unless `codes` are given.

        Args:
            input_values: (B, L) normalized waveforms.
            codes: (B, T, G) long, fixed targets for evaluation; None for what a Gumbel softmax chooses.
            attention_mask: (B, L), 1 for samples and 0 for padding; only with `codes`.
            temperature: τ of the Gumbel softmax.
            noise: (N, G, V) Gumbel noise; drawn if None.

        Raises:
            ValueError: padded waveforms without `codes`.
        """
        if codes is not None:
            return super().forward(input_values, codes, attention_mask)
        if attention_mask is not None:
            raise ValueError("attention_mask is given and codes are None; without codes, no waveform can be padded.")
        output = self.wav2vec2(input_values)
        logits = self._logits(output.last_hidden_state[:, :-1].flatten(0, 1))  # (N, G, V)
        wanted = self.quantizer.logits(output.extract_features[:, 1:].flatten(0, 1))  # (N, G, V)
        choice = gumbel_softmax(wanted, gumbel_noise(wanted) if noise is None else noise, temperature)
        diversity = diversity_loss(wanted.softmax(dim=-1).mean(dim=0))
        weight = self.config.diversity_loss_weight * len(logits)  # α·N
        return NextTokenOutput(
            loss=next_token_loss(logits, choice) + weight * diversity,
            logits=logits,
            targets=choice.argmax(dim=-1),
            diversity_loss=diversity,
            latents=output.latents,
        )

    @torch.no_grad()
    def codes(self, input_values: Tensor) -> Tensor:
        """(B, L) normalized waveforms → (B, T, G) long, the entries that the quantizer picks in evaluation."""
        return self.quantizer.logits(self.wav2vec2.latent_features(input_values)).argmax(dim=-1)


# --- inputs and targets, continuous or quantized (Table 4) ------------------------------------------------------------


class QuantizedProjection(FeatureProjection):
    """Quantizes z before the projection to the Transformer's width: of each frame, the input keeps only G codes."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.quantizer = GumbelVectorQuantizer(config)  # not that of the targets; it has no diversity loss
        self.projection = nn.Linear(config.codevector_dim, config.hidden_size)
        self.temperature = 1.0  # τ, set before each pass in training

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) → projected (B, T, D), and normalized (B, T, C), from which the targets are made."""
        z = self.layer_norm(z)
        quantized = self.quantizer(z.flatten(0, 1), self.temperature).codevectors.unflatten(0, z.shape[:2])  # (B, T, d)
        return self.dropout(self.projection(quantized)), z


class NoQuantizer(nn.Module):
    """Takes the place of a quantizer: returns the latent frames themselves, each with a code of its own."""

    def forward(self, z: Tensor, _temperature: float = 1.0, _noise: Tensor | None = None) -> QuantizerOutput:
        """(N, C) → the same (N, C); a quantizer's temperature and noise have no effect here."""
        each = torch.arange(len(z), device=z.device)[:, None]  # (N, 1)
        even = z.new_ones(1, 1)  # (G, V) of one codebook with one entry: the diversity loss is 0
        return QuantizerOutput(z, each, code_probs=even, mean_probs=even)


class Wav2Vec2ForPreTrainingVariant(Wav2Vec2ForPreTraining):
    """The masked contrastive task with continuous or quantized inputs and targets (Table 4)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        if config.quantize_inputs:
            self.wav2vec2.feature_projection = QuantizedProjection(config)
        if not config.quantize_targets:
            self.quantizer = NoQuantizer()  # type: ignore[assignment]  # it is called alike
            self.project_q = nn.Linear(config.conv_dim[-1], config.proj_codevector_dim)

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
        """Arguments, result and errors as in `Wav2Vec2ForPreTraining.forward`."""
        if isinstance(self.wav2vec2.feature_projection, QuantizedProjection):
            self.wav2vec2.feature_projection.temperature = temperature
        return super().forward(
            input_values, mask_time_indices, negatives, attention_mask, temperature=temperature, noise=noise
        )
