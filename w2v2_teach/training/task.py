"""What a `Trainer` asks of a task: the model, its data, its loss, and how it is measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Losses(NamedTuple):
    """What a task computes for one micro-batch of N items (masked frames, for instance)."""

    loss: Tensor  # the loss to minimize, summed over the items
    sums: dict[str, Tensor]  # metrics, summed over the items


class UpdateInputs(NamedTuple):
    """What this process computes in one update."""

    micro_batches: Sequence[Any]  # as `Task.losses` takes them
    items: int  # N of the whole update, over all micro-batches and processes
    hours: float  # of audio, over all micro-batches and processes


class Task(Protocol):
    """What is trained, on what, by which loss."""

    progress_metrics: tuple[str, ...]  # shown by the progress bar
    skips_parameters: bool  # are there updates in which some parameters that are trained get no gradient?

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def dataset(self) -> Dataset:
        """Item u holds what `prepare` needs for update u, and the `ids` of its utterances."""

    @property
    def optimizer_settings(self) -> dict[str, Any]:
        """Of AdamW, besides the learning rate and the weight decay."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The parameters to train: `params`, and the `factor` on the learning rate that they get."""

    def compile(self) -> None:
        """Compile the part of the model that gains most from it."""

    def prepare(self, batch: Any, update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw what is random, and divide an item of `dataset` into micro-batches on the generator's device."""

    def losses(self, model: nn.Module, micro_batch: Any) -> Losses:
        """Run the model, which may be wrapped, on one micro-batch."""

    def adjust_gradients(self) -> None:
        """Change the gradients before they are clipped and used."""

    def schedules(self, update: int) -> dict[str, float]:
        """The task's own schedules at an update, for its record."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on held-out speakers."""

    def export(self, folder: Path) -> None:
        """Write a checkpoint that `from_pretrained` loads."""

    def fingerprint(self) -> dict[str, Any]:
        """What a run must have in common with the one that it resumes, besides its settings."""
