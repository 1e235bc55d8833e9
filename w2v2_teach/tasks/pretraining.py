"""Pre-training on the masked contrastive task: what one update draws, computes and reports (Sections 3.1, 3.2, 4.2)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.losses import feature_penalty, sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.objectives import Wav2Vec2ForJointNextToken, Wav2Vec2ForNextStep, Wav2Vec2ForNextToken
from w2v2_teach.quantizer import gumbel_noise, perplexity
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.crops import CropDataset, Crops, samples_for
from w2v2_teach.tasks.evaluation import contrastive_metrics
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.distributed import averaged_over_processes, mean_over_processes, own_share
from w2v2_teach.training.schedules import gumbel_temperature
from w2v2_teach.training.settings import ADAM, SettingsError
from w2v2_teach.training.task import Losses, UpdateInputs

# The paper's numbers (Section 4.2); those of TINY and MICRO were chosen for two CPU cores on the bundled corpus.
RECIPES = {
    "base": PretrainingSettings(),
    "large": PretrainingSettings(
        updates=250_000,
        learning_rate=3e-4,
        crop_seconds=20.0,
        temperature_min=0.1,
        encoder_gradient=1.0,
        feature_penalty=0.0,
    ),
    "tiny": PretrainingSettings(
        updates=15_000,
        batch_size=16,
        learning_rate=2e-3,
        warmup_updates=200,
        crop_seconds=2.0,
        temperature_decay=0.9995,
        encoder_gradient=1.0,
        feature_penalty=0.0,
    ),
    "micro": PretrainingSettings(
        updates=600,
        batch_size=8,
        learning_rate=3e-3,
        warmup_updates=30,
        crop_seconds=1.5,
        temperature_decay=0.998,
        encoder_gradient=1.0,
        feature_penalty=0.0,
        workers=0,
        log_every=5,
        evaluate_every=600,
        save_every=600,
    ),
}


# Every model that a task of pre-training can train.
PretrainingModel = Wav2Vec2ForPreTraining | Wav2Vec2ForNextStep | Wav2Vec2ForNextToken | Wav2Vec2ForJointNextToken


class Pretraining:
    """The task for a `Trainer`: masked contrastive learning on the crops of a corpus."""

    objective = "masked contrastive"
    model: PretrainingModel
    model_class: ClassVar[type[PretrainingModel]] = Wav2Vec2ForPreTraining
    progress_metrics: tuple[str, ...] = ("loss", "accuracy", "code_perplexity")
    optimizer_settings: ClassVar = ADAM

    def __init__(self, config: Wav2Vec2Config, settings: PretrainingSettings, train: Corpus, dev: Corpus) -> None:
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.train_corpus, self.dev = config, settings, train, dev
        self.model = self.model_class(config)
        self.skips_parameters = config.layerdrop > 0
        self.dataset = CropDataset(train, config, settings, self.min_frames)
        shortest = samples_for(config, self.min_frames)
        if not any(utterance.num_samples >= shortest for utterance in dev):
            raise SettingsError(
                f"{dev.name} has no utterance of {shortest / SAMPLE_RATE:.3f} s ({self.min_frames} frames) or more, "
                "so there is nothing to measure on."
            )

    @property
    def min_frames(self) -> int:
        """How many frames a crop must have: one mask span and a frame that is not masked."""
        return self.config.mask_time_length + 1

    def start_from(self, checkpoint: str) -> None:
        """Take a trained model's weights in place of fresh ones; CheckpointError where it is built otherwise."""
        model = self.model_class.from_pretrained(checkpoint)
        if model.config != self.config:
            raise CheckpointError(f"{checkpoint} is built otherwise than the model to be trained: choose its preset.")
        self.model.load_state_dict(model.state_dict())

    def prepare(self, batch: Crops, update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw mask, distractors and Gumbel noise for the whole update, and cut out what this process needs.

        Every process draws the same numbers, so that how many there are does not change the result.
        """
        device = generator.device
        lengths = torch.full((self.settings.batch_size,), self.num_frames(batch), device=device)  # (B,)
        mask = time_mask(lengths, self.config, generator)  # (B, T)
        negatives = sample_negatives(mask, self.config.num_negatives, generator)  # (N, K)
        noise = self.draw_noise(len(negatives), generator)  # (N, G, V)
        temperature = torch.tensor(self.temperature(update), device=device)

        before = [0, *mask.sum(dim=1).cumsum(dim=0).tolist()]  # masked frames before each row
        micro_batches = []
        for rows, x in self.micro_batch_rows(batch, device):
            first, last = before[rows.start], before[rows.stop]
            micro_batches.append(
                {
                    "input_values": x,
                    "mask_time_indices": mask[rows],
                    "negatives": negatives[first:last] - first,
                    "noise": noise[first:last],
                    "temperature": temperature,
                }
            )
        return self.update_inputs(batch, micro_batches, len(negatives))

    def micro_batch_rows(self, batch: Crops, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
        """This process's micro-batches: their rows among the B of the whole update, and their waveforms (b, L)."""
        own, size = own_share(self.settings.batch_size), len(batch.ids) // self.settings.accumulate
        for start in range(0, len(batch.ids), size):
            rows = slice(own.start + start, own.start + start + size)
            yield rows, batch.input_values[start : start + size].to(device)

    def num_frames(self, batch: Crops) -> int:
        """T, the number of frames of each row."""
        return self.config.frame_lengths(batch.input_values.shape[1])

    def draw_noise(self, frames: int, generator: torch.Generator) -> Tensor:
        """Gumbel noise for so many frames of the whole update, (N, G, V)."""
        codebooks = self.config.num_codevector_groups, self.config.num_codevectors_per_group  # G, V
        return gumbel_noise(torch.empty(frames, *codebooks, device=generator.device), generator)

    def update_inputs(self, batch: Crops, micro_batches: list[dict[str, Tensor]], items: int) -> UpdateInputs:
        """The inputs of one update, whose B rows make `items` predictions."""
        samples = self.settings.batch_size * batch.input_values.shape[1]
        return UpdateInputs(micro_batches, items, samples / SAMPLE_RATE / 3600)

    def losses(self, model: nn.Module, micro_batch: dict[str, Tensor]) -> Losses:
        """The loss of equation 2 with fairseq's feature penalty, and metrics, each a sum over the masked frames."""
        output = averaged_over_processes(model(**micro_batch))
        N = output.num_masked
        sums = {
            "contrastive_loss": output.contrastive_loss,
            "accuracy": output.num_correct,
            "diversity_loss": N * output.diversity_loss,
            "code_perplexity": N * perplexity(output.quantized.code_probs),
            "prob_perplexity": N * perplexity(output.quantized.mean_probs),
            "masked_share": N * micro_batch["mask_time_indices"].float().mean(),
        }
        return self.with_penalty(output.loss, output.latents, N, sums)

    def with_penalty(self, loss: Tensor, latents: Tensor, N: int, sums: dict[str, Tensor]) -> Losses:
        """A loss and metrics, each a sum over N predictions, with the penalty on the encoder's outputs (B, T, C)."""
        penalty = mean_over_processes(feature_penalty(latents), len(latents))
        sums = {name: total.detach() for name, total in {**sums, "feature_penalty": N * penalty}.items()}
        return Losses(loss + self.settings.feature_penalty * N * penalty, sums)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Every weight, all alike."""
        return [{"params": list(self.model.parameters()), "factor": 1.0}]

    def compile(self) -> None:
        """Compile the feature encoder: it has most of the small operations that compilation joins."""
        self.model.wav2vec2.feature_extractor.compile()

    def adjust_gradients(self) -> None:
        """Scale the feature encoder's gradient; fairseq does so on the way back, at z, which comes to the same."""
        if self.settings.encoder_gradient != 1:
            for parameter in self.model.wav2vec2.feature_extractor.parameters():
                if parameter.grad is not None:
                    parameter.grad *= self.settings.encoder_gradient

    def temperature(self, update: int) -> float:
        """τ of an update."""
        s = self.settings
        return gumbel_temperature(update, s.temperature_start, s.temperature_decay, s.temperature_min)

    def schedules(self, update: int) -> dict[str, float]:
        """The Gumbel temperature."""
        return {"temperature": self.temperature(update)}

    def evaluate(self) -> dict[str, float]:
        """The contrastive task on the dev speakers and, where phone times and codebooks are there, these."""
        assert isinstance(self.model, Wav2Vec2ForPreTraining)  # a task for another model has its own `evaluate`
        metrics = contrastive_metrics(self.model, self.dev)
        if self.dev[0].phones and self.config.quantize_targets:
            metrics |= codebook_metrics(self.model, self.dev)
        self.model.train()
        return metrics

    def export(self, folder: Path) -> None:
        """Write what `from_pretrained` loads."""
        self.model.save_pretrained(folder)

    def fingerprint(self) -> dict[str, Any]:
        """The model's configuration and the speech."""
        corpora = {name: repr(corpus) for name, corpus in (("train", self.train_corpus), ("dev", self.dev))}
        return {"objective": self.objective, "config": self.config.to_dict(), **corpora}
