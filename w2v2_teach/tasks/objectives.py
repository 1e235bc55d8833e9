"""Tasks for the pre-training objectives of `objectives`, with the trainer, crops and settings of `pretraining`."""

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.losses import sample_negatives
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.objectives import (
    Wav2Vec2ForJointNextToken,
    Wav2Vec2ForNextStep,
    Wav2Vec2ForNextToken,
    Wav2Vec2ForPreTrainingVariant,
)
from w2v2_teach.quantizer import one_hot, perplexity
from w2v2_teach.speech.batching import batches_for
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.crops import Crops
from w2v2_teach.tasks.pretraining import Pretraining
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.task import Losses, UpdateInputs

TEACHER = "tiny-pretrained"  # the default model whose codes are the tokens


class PretrainingVariant(Pretraining):
    """Masked contrastive pre-training with continuous or quantized inputs and targets (Table 4)."""

    model_class = Wav2Vec2ForPreTrainingVariant


class CausalPretraining(Pretraining):
    """Base of the tasks that predict later frames: nothing is masked, and each frame of a crop makes predictions.

    The context network is made causal, whatever `config` says.

    Raises:
        ConfigError: the configuration cannot be made causal.
        SettingsError: as for `Pretraining`.
    """

    progress_metrics: tuple[str, ...] = ("loss", "accuracy")

    def __init__(self, config: Wav2Vec2Config, settings: PretrainingSettings, train: Corpus, dev: Corpus) -> None:
        super().__init__(replace(config, causal=True), settings, train, dev)

    @property
    def min_frames(self) -> int:
        """A frame and the next one."""
        return 2

    def schedules(self, _update: int) -> dict[str, float]:
        """No further numbers: these tasks have no temperature to report."""
        return {}


class NextStep(CausalPretraining):
    """Next-step contrastive prediction, as in wav2vec and CPC."""

    objective = "next-step contrastive"
    model: Wav2Vec2ForNextStep
    model_class = Wav2Vec2ForNextStep

    @property
    def min_frames(self) -> int:
        """A frame, and the one that is the largest number of steps ahead of it."""
        return max(self.config.prediction_steps) + 1

    def prepare(self, batch: Crops, _update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw K distractors for each frame of the whole update, from the other frames of its utterance."""
        T, device = self.num_frames(batch), generator.device
        all_frames = torch.ones(self.settings.batch_size, T, dtype=torch.bool, device=device)  # (B, T)
        negatives = sample_negatives(all_frames, self.config.num_negatives, generator)  # (B·T, K)
        micro_batches = [
            {"input_values": x, "negatives": negatives[rows.start * T : rows.stop * T] - rows.start * T}
            for rows, x in self.micro_batch_rows(batch, device)
        ]
        predictions = sum(T - k for k in self.config.prediction_steps)  # of each row
        return self.update_inputs(batch, micro_batches, self.settings.batch_size * predictions)

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """Contrastive loss in nats and accuracy, summed over the predictions of all steps."""
        output = model(**micro_batch)
        sums = {"contrastive_loss": output.loss, "accuracy": sum(output.num_correct.values())}
        return self.with_penalty(output.loss, output.latents, output.num_predictions, sums)

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on the dev speakers, over all steps, and the accuracy of each step."""
        metrics = next_step_metrics(self.model, self.dev)
        self.model.train()
        return metrics


class NextToken(CausalPretraining):
    """Next-token prediction, as in a language model; the tokens are the codes of another model, the teacher.

    Args:
        config: of the model to train; the numbers of codebooks and entries are replaced by the teacher's.
        settings, train, dev: as for `Pretraining`.
        teacher: a pre-trained model, which is not changed; None for the bundled `tiny-pretrained`.

    Raises:
        SettingsError: the teacher has other frames than the model to train.
    """

    objective = "next token"
    model: Wav2Vec2ForNextToken
    model_class = Wav2Vec2ForNextToken

    def __init__(
        self,
        config: Wav2Vec2Config,
        settings: PretrainingSettings,
        train: Corpus,
        dev: Corpus,
        teacher: Wav2Vec2ForPreTraining | None = None,
    ) -> None:
        self.teacher = Wav2Vec2ForPreTraining.from_pretrained(TEACHER) if teacher is None else teacher.eval()
        theirs = self.teacher.config
        if (theirs.conv_kernel, theirs.conv_stride) != (config.conv_kernel, config.conv_stride):
            raise SettingsError("the teacher's convolutions have other kernels or strides, and so it has other frames.")
        G, V = theirs.num_codevector_groups, theirs.num_codevectors_per_group
        config = replace(config, num_codevector_groups=G, num_codevectors_per_group=V)
        super().__init__(config, settings, train, dev)

    def prepare(self, batch: Crops, _update: int, generator: torch.Generator) -> UpdateInputs:
        """Compute the teacher's codes."""
        teacher = self.teacher.to(generator.device)
        waveforms = [x for _, x in self.micro_batch_rows(batch, generator.device)]  # (b, L) each
        micro_batches = [{"input_values": x, "codes": teacher.codes(x)} for x in waveforms]
        return self.update_inputs(batch, micro_batches, self.settings.batch_size * (self.num_frames(batch) - 1))

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """Cross-entropy in nats, and how many frames have all G codes predicted correctly."""
        output = model(**micro_batch)
        return self.with_penalty(output.loss, output.latents, len(output.logits), {"accuracy": output.num_correct})

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on the dev speakers, and the accuracy of repeating the current token."""
        metrics = next_token_metrics(self.model, self.teacher, self.dev)
        self.model.train()
        return metrics

    def fingerprint(self) -> dict[str, Any]:
        """The model's configuration, the speech, and the teacher's configuration."""
        return {**super().fingerprint(), "teacher": self.teacher.config.to_dict()}


class JointNextToken(CausalPretraining):
    """Next-token prediction of codes that the same loss trains, which may collapse to a few codes."""

    objective = "next token, joint quantizer"
    model: Wav2Vec2ForJointNextToken
    model_class = Wav2Vec2ForJointNextToken
    progress_metrics = ("loss", "accuracy", "code_perplexity")

    def prepare(self, batch: Crops, update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw the Gumbel noise of the whole update."""
        pairs, device = self.num_frames(batch) - 1, generator.device  # frames of a row that have a next one
        N = self.settings.batch_size * pairs
        noise = self.draw_noise(N, generator)  # (N, G, V)
        temperature = torch.tensor(self.temperature(update), device=device)
        micro_batches = [
            {"input_values": x, "noise": noise[rows.start * pairs : rows.stop * pairs], "temperature": temperature}
            for rows, x in self.micro_batch_rows(batch, device)
        ]
        return self.update_inputs(batch, micro_batches, N)

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """Cross-entropy in nats, accuracy, and the perplexity of the codes in use."""
        output = model(**micro_batch)
        N = len(output.logits)
        used = one_hot(output.targets, output.logits).mean(dim=0)  # (G, V)
        sums = {"accuracy": output.num_correct, "code_perplexity": N * perplexity(used)}
        return self.with_penalty(output.loss, output.latents, N, {**sums, "diversity_loss": N * output.diversity_loss})

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on the dev speakers, and how their codes are used."""
        metrics = next_token_metrics(self.model, self.model, self.dev)
        if self.dev[0].phones:
            metrics |= codebook_metrics(self.model, self.dev)
        self.model.train()
        return metrics


OBJECTIVES: dict[str, type[Pretraining]] = {
    "masked": Pretraining,
    "next-step": NextStep,
    "next-token": NextToken,
    "joint-next-token": JointNextToken,
}


@torch.no_grad()
def next_step_metrics(model: Wav2Vec2ForNextStep, corpus: Corpus) -> dict[str, float]:
    """Metrics of next-step prediction on whole utterances; leaves the model in evaluation mode.

    Returns:
        `contrastive_loss` in nats per prediction, `accuracy` over all predictions, and `accuracy_k` for each step k.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    loss = 0.0
    correct: Counter[int] = Counter()
    predicted: Counter[int] = Counter()
    for x, attention_mask, _ in batches_for(model, corpus):  # (B, L) each
        lengths = model.config.frame_lengths(attention_mask.sum(dim=1))  # (B,)
        real = torch.arange(int(lengths.max()), device=device) < lengths[:, None]  # (B, T)
        negatives = sample_negatives(real, model.config.num_negatives, generator)
        output = model(x, negatives, attention_mask)
        loss += output.loss.item()
        correct.update({k: int(number) for k, number in output.num_correct.items()})
        predicted.update({k: len(logits) for k, logits in output.logits.items()})
    each = {f"accuracy_{k}": correct[k] / predicted[k] for k in sorted(predicted)}
    total = predicted.total()
    return {"contrastive_loss": loss / total, "accuracy": correct.total() / total, **each}


@torch.no_grad()
def next_token_metrics(
    model: Wav2Vec2ForNextToken, teacher: Wav2Vec2ForPreTraining | Wav2Vec2ForJointNextToken, corpus: Corpus
) -> dict[str, float]:
    """Metrics of next-token prediction on whole utterances; leaves the model in evaluation mode.

    Args:
        model: that predicts the tokens.
        teacher: whose codes, without noise, are the tokens; it may be `model` itself.
        corpus: to measure on.

    Returns:
        `token_loss` in nats per token of all G codebooks, `accuracy`, and `repeat_accuracy`, the accuracy of always
        predicting the current token again.
    """
    device = next(model.parameters()).device
    teacher.to(device)
    loss, correct, repeated, tokens = 0.0, 0, 0, 0
    for x, attention_mask, _ in batches_for(model, corpus):  # (B, L) each
        codes = teacher.codes(x)  # (B, T, G)
        output = model(x, codes, attention_mask)
        loss += output.loss.item()
        correct += int(output.num_correct)
        tokens += len(output.logits)
        same = (codes[:, 1:] == codes[:, :-1]).all(dim=-1)  # (B, T - 1)
        lengths = model.config.frame_lengths(attention_mask.sum(dim=1))  # (B,)
        has_next = torch.arange(1, codes.shape[1], device=device) < lengths[:, None]  # (B, T - 1)
        repeated += int((same & has_next).sum())
    return {"token_loss": loss / tokens, "accuracy": correct / tokens, "repeat_accuracy": repeated / tokens}
