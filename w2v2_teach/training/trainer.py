"""One training loop for every task: updates, metrics, evaluation, checkpoints, resuming, several processes.

All chance comes from (seed, update): two runs with the same settings are the same run, wherever they were interrupted,
and the state on disk needs no generator beside the number of the update. For that, each update seeds torch's global
generator.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from w2v2_teach.training import distributed
from w2v2_teach.training.interrupts import StopRequest, ignore_interrupts
from w2v2_teach.training.run_folder import RunError, RunFolder
from w2v2_teach.training.schedules import learning_rate
from w2v2_teach.training.settings import SettingsError, TrainingSettings

RECENT = 10  # gradient norms that an error report shows


class Interrupted(RunError):
    """Somebody asked the training to stop; it has done so after a whole update, and saved."""


class Losses(NamedTuple):
    """What a task computes of one micro-batch of N items (masked frames, for instance)."""

    loss: Tensor  # what is minimized, summed over the items
    sums: dict[str, Tensor]  # what is looked at, summed over the items


class UpdateInputs(NamedTuple):
    """What this process has to do in one update."""

    micro_batches: Sequence[Any]  # as `Task.losses` takes them
    items: int  # N of the whole update, over all micro-batches and processes
    hours: float  # of audio, likewise


class Task(Protocol):
    """What is trained, on what, by which loss."""

    model: nn.Module
    progress_metrics: tuple[str, ...]  # the metrics that the progress bar shows
    may_freeze: bool  # are there updates that leave some of the parameters as they are?
    dataset: Dataset  # item u is this process's share of the batch of update u, with the `ids` of its utterances

    def prepare(self, batch: Any, update: int, generator: torch.Generator) -> UpdateInputs:
        """Draw what is random, and divide the batch into micro-batches on the generator's device."""

    def losses(self, model: nn.Module, micro_batch: Any) -> Losses:
        """Run the model, which may be wrapped, on one micro-batch."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is trained: `params`, and the `factor` on the learning rate that they get."""

    def adjust_gradients(self) -> None:
        """Change the gradients before they are clipped and used."""

    def info(self, update: int) -> dict[str, float]:
        """What else is to stand in the record of an update: schedules of the task's own."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on speakers that are not trained on."""

    def export(self, folder: Path) -> None:
        """Write a checkpoint that `from_pretrained` loads."""

    def identity(self) -> dict[str, Any]:
        """What a run must have in common with the one that it resumes, besides its settings."""


class Trainer:
    """Trains a task, leaves state and metrics in a folder, and goes on from there.

    Args:
        task: model, data and loss.
        settings: see `TrainingSettings`.
        folder: where the run is kept; None keeps nothing.
        device: where to train.

    Raises:
        SettingsError: the batch cannot be divided evenly among processes and micro-batches.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainingSettings,
        folder: str | Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        shares = distributed.count() * settings.accumulate
        if settings.batch_size % shares:
            raise SettingsError(
                f"batch_size={settings.batch_size} cannot be divided among {distributed.count()} processes "
                f"with {settings.accumulate} micro-batches each."
            )
        self.task, self.settings, self.device = task, settings, torch.device(device)
        self.folder = RunFolder(folder) if folder is not None else None
        self.update = 0  # updates done
        self.hours = 0.0  # of audio heard
        self._sums: Counter[str] = Counter()  # since the last record
        self._norms: deque[float] = deque(maxlen=RECENT)  # of the latest gradients
        self._since = 0.0  # when the update at hand began, waiting for its batch included
        self._stop = StopRequest()
        task.model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            task.parameter_groups(),
            lr=0.0,
            betas=(0.9, 0.98),
            eps=1e-6,
            weight_decay=settings.weight_decay,
            fused=True,  # one pass over the weights in place of ten
        )
        if settings.compile:  # where most of the small operations are that compilation joins
            task.model.wav2vec2.feature_extractor.compile()
        self._model: nn.Module = task.model

    def start(self, resume: bool = False) -> None:
        """Check, before anything is spent, that the folder is free, or go back to the state that it holds.

        Raises:
            RunError: a state where none is to be resumed; or none, or a damaged one, where it is.
            SettingsError: the run had other settings, data or model.
        """
        if not resume:
            if self.folder is not None and self.folder.state_file.exists():
                raise RunError(
                    f"{self.folder.path} already holds a run: --resume goes on with it, another folder starts anew."
                )
            return
        state = self.folder.load()
        self.settings.require_same(state["settings"])
        if state["identity"] != self.task.identity():
            raise SettingsError(f"{self.folder.path} holds a run of another model, or on other speech.")
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.update, self.hours, self._sums = state["update"], state["hours"], Counter(state["sums"])

    def save(self) -> None:
        """Write the state from which `start(resume=True)` goes on."""
        if distributed.rank() == 0 and self.folder is not None:
            self.folder.save(
                {
                    "update": self.update,
                    "hours": self.hours,
                    "sums": dict(self._sums),
                    "model": self.task.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "settings": asdict(self.settings),
                    "identity": self.task.identity(),
                }
            )

    def train(self) -> None:
        """Train to the end, with a progress bar; raises as `records` does."""
        with tqdm(
            total=self.settings.updates, initial=self.update, unit="update", disable=distributed.rank() > 0
        ) as bar:
            for record in self.records():
                bar.update(record["update"] - bar.n)
                bar.set_postfix({name: f"{record[name]:.3g}" for name in self.task.progress_metrics})

    def records(self) -> Iterator[dict[str, float]]:
        """Train, and hand over the metrics of every `log_every` updates: `for record in trainer.records(): …`

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the update has been finished and saved.
            RunError: the loss or a gradient is not finite, or the folder cannot be written to.
        """
        s = self.settings
        with self._logging(), self._stop, self._parallel():
            self._since = time.perf_counter()
            for batch in self._loader():
                stop = self._do_update(batch)
                record = None
                if self._due(s.log_every) or self._due(s.evaluate_every):
                    record = self._record()
                    if self._due(s.evaluate_every):
                        record |= {f"dev_{name}": value for name, value in self.task.evaluate().items()}
                    self._log(record)
                if self._due(s.save_every) or stop:
                    self.save()
                if s.snapshot_every and self.update % s.snapshot_every == 0:
                    self._export(f"snapshots/{self.update:06d}")
                if record is not None:
                    yield record
                if stop and self.update < s.updates:
                    raise Interrupted(self._how_to_resume())
                self._since = time.perf_counter()
        self._export("model")

    def _do_update(self, batch: Any) -> bool:
        """Forward, backward and optimizer on one batch; returns whether any process was asked to stop."""
        s = self.settings
        torch.manual_seed(seed_of(s.seed, self.update, distributed.rank()))  # dropout differs between processes
        generator = torch.Generator(self.device).manual_seed(seed_of(s.seed, self.update))  # masks do not
        work = self.task.prepare(batch, self.update, generator)

        sums: Counter[str] = Counter()
        for i, micro_batch in enumerate(work.micro_batches):
            more = i + 1 < len(work.micro_batches)
            with self._model.no_sync() if more and distributed.count() > 1 else nullcontext():
                with torch.autocast(self.device.type, torch.bfloat16, enabled=s.bf16):
                    loss, parts = self.task.losses(self._model, micro_batch)
                # over all items, divided by their number; but DistributedDataParallel divides by its processes
                (loss * distributed.count() / work.items).backward()
            for name, part in {"loss": loss.detach(), **parts}.items():
                sums[name] += float(part)
        self.task.adjust_gradients()
        norm = nn.utils.clip_grad_norm_(self.task.model.parameters(), s.clip_grad_norm or math.inf).item()
        self._norms.append(norm)

        sums = _summed_over_processes({**sums, "stop": self._stop.asked}, self.device)
        stop = sums.pop("stop") > 0
        if not math.isfinite(sums["loss"]) or not math.isfinite(norm):
            raise RunError(self._what_led_here(sums["loss"] / work.items, batch.ids))
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(s, self.update)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update += 1
        self.hours += work.hours
        sums |= {"items": work.items, "updates": 1, "grad_norm": norm, "seconds": time.perf_counter() - self._since}
        self._sums.update(sums)
        return stop

    def _record(self) -> dict[str, float]:
        """The metrics since the last record."""
        sums, self._sums = self._sums, Counter()
        items, updates = sums.pop("items"), sums.pop("updates")
        grad_norm, seconds = sums.pop("grad_norm"), sums.pop("seconds")
        return {
            "update": self.update,
            **{name: total / items for name, total in sums.items()},
            **self.task.info(self.update - 1),
            "learning_rate": learning_rate(self.settings, self.update - 1),
            "grad_norm": grad_norm / updates,
            "seconds_per_update": seconds / updates,
            "hours_of_audio": self.hours,
        }

    def _due(self, every: int) -> bool:
        return self.update % every == 0 or self.update == self.settings.updates

    def _loader(self) -> DataLoader:
        """The batches from the present update on, read by background workers."""
        workers = self.settings.workers
        return DataLoader(
            self.task.dataset,
            batch_size=None,  # an item is a batch
            sampler=range(self.update, self.settings.updates),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=ignore_interrupts,
            pin_memory=self.device.type == "cuda",
        )

    def _log(self, record: dict[str, float]) -> None:
        if distributed.rank() == 0 and self.folder is not None:
            self.folder.log(record)

    def _export(self, name: str) -> None:
        """A copy of the model that `from_pretrained` loads."""
        if distributed.rank() == 0 and self.folder is not None:
            self.task.export(self.folder.path / name)

    @contextmanager
    def _parallel(self) -> Iterator[None]:
        """Where several processes train, make gradients common to them.

        The wrapper must be gone before the process group is: where it is what keeps the group alive, the group's end
        and gloo's worker thread can wait for each other for ever.
        """
        if distributed.count() == 1:
            yield
            return
        model = self.task.model
        may_skip = model.config.layerdrop > 0 or self.task.may_freeze  # then there is no gradient to wait for
        self._model = DistributedDataParallel(model, find_unused_parameters=may_skip)
        try:
            yield
        finally:
            self._model = model

    @contextmanager
    def _logging(self) -> Iterator[None]:
        if distributed.rank() > 0 or self.folder is None:
            yield
            return
        self.folder.start(self.update)
        try:
            yield
        finally:
            self.folder.close()

    def _what_led_here(self, loss: float, ids: Sequence[str]) -> str:
        norms = ", ".join(f"{norm:.3g}" for norm in self._norms)
        return (
            f"update {self.update + 1}: the loss is {loss:.3g}. Norms of the latest gradients, this one last: {norms}. "
            f"Utterances of the batch: {', '.join(ids)}. The weights are still those of update {self.update}; "
            f"{'no state is kept' if self.folder is None else f'the last state is in {self.folder.state_file}'}. "
            "A lower learning rate, a longer warm-up or clip_grad_norm may help."
        )

    def _how_to_resume(self) -> str:
        done = f"stopped after update {self.update} of {self.settings.updates}"
        if self.folder is None:
            return f"{done}; the run has no folder, so nothing is saved."
        return f"{done}; the state is saved. To go on: the same command with --out {self.folder.path} --resume"


def seed_of(*numbers: int) -> int:
    """One seed out of several numbers, none of which can be told from it."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _summed_over_processes(sums: dict[str, float], device: torch.device) -> dict[str, float]:
    if distributed.count() == 1:
        return sums
    values = torch.tensor(list(sums.values()), dtype=torch.float64, device=device)
    return dict(zip(sums, distributed.sum_over_processes(values).tolist(), strict=True))
