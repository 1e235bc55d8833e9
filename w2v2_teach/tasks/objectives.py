"""The tasks that train what `objectives` asks, in the same `Trainer`, on the same crops and with the same settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.losses import feature_penalty, sample_negatives
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.objectives import (
    NextStepOutput,
    NextTokenOutput,
    Wav2Vec2ForJointNextToken,
    Wav2Vec2ForNextStep,
    Wav2Vec2ForNextToken,
    Wav2Vec2ForPreTrainingVariant,
)
from w2v2_teach.quantizer import gumbel_noise, one_hot, perplexity
from w2v2_teach.speech.batching import padded_batches
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.evaluation import contrastive_metrics
from w2v2_teach.tasks.pretraining import Crops, Pretraining, PretrainingSettings
from w2v2_teach.training.distributed import mean_over_processes, own_share
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.task import Losses, UpdateInputs

TEACHER = "tiny-pretrained"  # whose quantizer makes the tokens, unless another is given


class PretrainingVariant(Pretraining):
    """Masked contrastive learning with the inputs and the targets that the configuration asks for."""

    model_class = Wav2Vec2ForPreTrainingVariant

    def evaluate(self) -> dict[str, float]:
        """As without variation; but where the targets are continuous there is no codebook to look at."""
        if self.config.quantize_targets:
            return super().evaluate()
        metrics = contrastive_metrics(self.model, self.dev)
        self.model.train()
        return metrics


class CausalPretraining(Pretraining):
    """What the tasks share that guess what comes next: every frame of a crop asks, and nothing is masked.

    Their network is causal, whatever the configuration says.

    Raises:
        ConfigError: such a network cannot be causal.
        SettingsError: as for `Pretraining`.
    """

    progress_metrics = ("loss", "accuracy")

    def __init__(self, config: Wav2Vec2Config, settings: PretrainingSettings, train: Corpus, dev: Corpus) -> None:
        super().__init__(replace(config, causal=True), settings, train, dev)

    @property
    def min_frames(self) -> int:
        """A frame and the next one."""
        return 2

    def pieces(self, batch: Crops, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
        """This process's micro-batches: which rows of the whole update's B they are, and their waveforms (b, L)."""
        own, size = own_share(self.settings.batch_size), len(batch.ids) // self.settings.accumulate
        for start in range(0, len(batch.ids), size):
            rows = slice(own.start + start, own.start + start + size)
            yield rows, batch.input_values[start : start + size].to(device)

    def frames(self, batch: Crops) -> int:
        """T of every row."""
        return self.config.frame_lengths(batch.input_values.shape[1])

    def work(self, batch: Crops, micro_batches: list[dict[str, Tensor]], items_per_row: int) -> UpdateInputs:
        """The update, in which each of the B rows asks as often as the others."""
        rows, samples = self.settings.batch_size, batch.input_values.shape[1]
        return UpdateInputs(micro_batches, rows * items_per_row, rows * samples / SAMPLE_RATE / 3600)

    def with_penalty(self, output: NextStepOutput | NextTokenOutput, N: int, sums: dict[str, Tensor]) -> Losses:
        """The loss with the feature penalty, as in `Pretraining.losses`; N questions were asked."""
        penalty = mean_over_processes(feature_penalty(output.latents), len(output.latents))
        sums = {name: total.detach() for name, total in {**sums, "feature_penalty": N * penalty}.items()}
        return Losses(output.loss + self.settings.feature_penalty * N * penalty, sums)

    def schedules(self, _update: int) -> dict[str, float]:
        """Nothing else: there is no temperature."""
        return {}


class NextStep(CausalPretraining):
    """wav2vec's and CPC's question: which is the frame k steps ahead?"""

    objective = "next-step contrastive"
    model_class = Wav2Vec2ForNextStep

    @property
    def min_frames(self) -> int:
        """A frame, and the one that is the largest number of steps ahead of it."""
        return max(self.config.prediction_steps) + 1

    def prepare(self, batch: Crops, _update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw K distractors for every frame of the whole update, among its utterance's other frames."""
        T, device = self.frames(batch), generator.device
        everywhere = torch.ones(self.settings.batch_size, T, dtype=torch.bool, device=device)  # (B, T)
        negatives = sample_negatives(everywhere, self.config.num_negatives, generator)  # (B·T, K)
        micro_batches = [
            {"input_values": x, "negatives": negatives[rows.start * T : rows.stop * T] - rows.start * T}
            for rows, x in self.pieces(batch, device)
        ]
        return self.work(batch, micro_batches, sum(T - k for k in self.config.prediction_steps))

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """Contrastive loss and accuracy, over the predictions of all steps."""
        output = model(**micro_batch)
        sums = {"contrastive_loss": output.loss, "accuracy": sum(output.num_correct.values())}
        return self.with_penalty(output, output.num_predictions, sums)

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on the dev speakers, over all steps and for each."""
        metrics = next_step_metrics(self.model, self.dev)
        self.model.train()
        return metrics


class NextToken(CausalPretraining):
    """A language model's question: which is the next token? The tokens are a teacher's codes.

    Args:
        config: a model whose frames are the teacher's; its codebooks are given the teacher's sizes.
        settings, train, dev: as for `Pretraining`.
        teacher: a pre-trained model, which stays as it is; None for the one that comes with the course.

    Raises:
        SettingsError: the teacher cuts speech into other frames.
    """

    objective = "next token"
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
        """Ask the teacher for the codes."""
        teacher = self.teacher.to(generator.device)
        pieces = self.pieces(batch, generator.device)
        micro_batches = [{"input_values": x, "codes": teacher.codes(x)} for _, x in pieces]
        return self.work(batch, micro_batches, self.frames(batch) - 1)

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """Cross-entropy, and how often all G codes are right."""
        output = model(**micro_batch)
        return self.with_penalty(output, len(output.logits), {"accuracy": output.num_correct})

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on the dev speakers, beside the accuracy of repeating the last token."""
        metrics = next_token_metrics(self.model, self.teacher, self.dev)
        self.model.train()
        return metrics

    def fingerprint(self) -> dict[str, Any]:
        """The teacher's configuration, too."""
        return {**super().fingerprint(), "teacher": self.teacher.config.to_dict()}


class JointNextToken(CausalPretraining):
    """The same question about tokens that are learned by the same loss: the way into a collapse."""

    objective = "next token, joint quantizer"
    model_class = Wav2Vec2ForJointNextToken
    progress_metrics = ("loss", "accuracy", "code_perplexity")

    def prepare(self, batch: Crops, update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw the Gumbel noise of the whole update."""
        pairs, device = self.frames(batch) - 1, generator.device  # a row's frames that have a next one
        shape = (
            self.settings.batch_size * pairs,
            self.config.num_codevector_groups,
            self.config.num_codevectors_per_group,
        )
        noise = gumbel_noise(torch.empty(shape, device=device), generator)  # (N, G, V)
        temperature = torch.tensor(self.temperature(update), device=device)
        micro_batches = [
            {"input_values": x, "noise": noise[rows.start * pairs : rows.stop * pairs], "temperature": temperature}
            for rows, x in self.pieces(batch, device)
        ]
        return self.work(batch, micro_batches, pairs)

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """Cross-entropy, accuracy, and how many codes are in use."""
        output = model(**micro_batch)
        N = len(output.logits)
        used = one_hot(output.targets, output.logits).mean(dim=0)  # (G, V)
        sums = {"accuracy": output.num_correct, "code_perplexity": N * perplexity(used)}
        return self.with_penalty(output, N, {**sums, "diversity_loss": N * output.diversity_loss})

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on the dev speakers, and their codes."""
        self.model.eval()
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
def next_step_metrics(model: Wav2Vec2ForNextStep, corpus: Corpus, seed: int = 0) -> dict[str, float]:
    """The next-step task on whole utterances; leaves the model in evaluation mode.

    Returns:
        `contrastive_loss` in nats a prediction, `accuracy` over all of them, and for each step k `accuracy_k`.
    """
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    loss, correct, asked = 0.0, Counter(), Counter()
    for batch in padded_batches(corpus, model.config):
        attention_mask = batch.attention_mask.to(device)  # (B, L)
        lengths = model.config.frame_lengths(attention_mask.sum(dim=1))  # (B,)
        real = torch.arange(int(lengths.max()), device=device) < lengths[:, None]  # (B, T)
        negatives = sample_negatives(real, model.config.num_negatives, generator)
        output = model(batch.input_values.to(device), negatives, attention_mask)
        loss += output.loss.item()
        correct.update({k: int(number) for k, number in output.num_correct.items()})
        asked.update({k: len(logits) for k, logits in output.logits.items()})
    each = {f"accuracy_{k}": correct[k] / asked[k] for k in sorted(asked)}
    return {"contrastive_loss": loss / asked.total(), "accuracy": correct.total() / asked.total(), **each}


@torch.no_grad()
def next_token_metrics(
    model: Wav2Vec2ForNextToken, teacher: Wav2Vec2ForPreTraining | Wav2Vec2ForJointNextToken, corpus: Corpus
) -> dict[str, float]:
    """The next-token task on whole utterances, the codes without noise; leaves the model in evaluation mode.

    Returns:
        `token_loss` in nats a token of all G codebooks, `accuracy`, and `repeat_accuracy`: how often the next token is
        the last one again.
    """
    model.eval()
    device = next(model.parameters()).device
    teacher.to(device)
    loss, correct, repeated, tokens = 0.0, 0, 0, 0
    for batch in padded_batches(corpus, model.config):
        x, attention_mask = batch.input_values.to(device), batch.attention_mask.to(device)  # (B, L)
        codes = teacher.codes(x)  # (B, T, G)
        output = Wav2Vec2ForNextToken.forward(model, x, codes, attention_mask)
        loss += output.loss.item()
        correct += int(output.num_correct)
        tokens += len(output.logits)
        same = (codes[:, 1:] == codes[:, :-1]).all(dim=-1)  # (B, T - 1)
        lengths = model.config.frame_lengths(attention_mask.sum(dim=1))  # (B,)
        has_next = torch.arange(1, codes.shape[1], device=device) < lengths[:, None]  # (B, T - 1)
        repeated += int((same & has_next).sum())
    return {"token_loss": loss / tokens, "accuracy": correct / tokens, "repeat_accuracy": repeated / tokens}
