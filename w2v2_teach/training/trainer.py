"""One training loop for every task: updates, metrics, evaluation, checkpoints, resuming, several processes.

All random numbers come from (seed, update): two runs with the same settings are the same run, wherever they were
interrupted, and the state on disk needs only the number of the update. For that, each update seeds torch's global
generator.
"""

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from w2v2_teach.speech.audio import AudioError
from w2v2_teach.training import distributed
from w2v2_teach.training.batches import background_loader
from w2v2_teach.training.interrupts import StopRequest
from w2v2_teach.training.run_folder import RunError, RunFolder
from w2v2_teach.training.schedules import learning_rate, seed_of
from w2v2_teach.training.settings import SettingsError, TrainingSettings
from w2v2_teach.training.task import Task

RECENT = 10  # gradient norms that an error report shows
REMEDIES = "A lower learning rate, a longer warm-up or clip_grad_norm may help."


class Interrupted(RunError):
    """Somebody asked the training to stop; it has done so after a whole update, and saved."""


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
        self._written = self.folder if distributed.rank() == 0 else None  # by this process
        self.update = 0  # updates done
        self.hours = 0.0  # of audio heard
        self._sums: Counter[str] = Counter()  # of metrics, since the last record
        self._norms: deque[float] = deque(maxlen=RECENT)  # of the latest gradients
        self._since = 0.0  # when the present update began, waiting for its batch included
        self._stop = StopRequest()
        task.model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            task.parameter_groups(),
            lr=0.0,  # set before each step
            weight_decay=settings.weight_decay,
            fused=True,  # one pass over the weights in place of ten
            **task.optimizer_settings,
        )
        if settings.compile:
            task.compile()
        self._model: nn.Module = task.model

    def start(self, resume: bool = False) -> None:
        """Check, before anything is spent, that the folder is free, or go back to the state that it holds.

        Raises:
            RunError: a state where none is to be resumed; or no folder, no state or a damaged one where it is.
            SettingsError: the run had other settings, data or model.
        """
        if not resume:
            if self.folder is not None and self.folder.state_file.exists():
                raise RunError(
                    f"{self.folder.path} already holds a run: --resume goes on with it, another folder starts anew."
                )
            return
        if self.folder is None:
            raise RunError("A run without a folder keeps no state to resume from: give the Trainer the run's folder.")
        state = self.folder.load()
        self.settings.require_same(state["settings"])
        if state["fingerprint"] != self.task.fingerprint():
            raise SettingsError(f"{self.folder.path} holds a run of another model, or on other speech.")
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.update, self.hours, self._sums = state["update"], state["hours"], Counter(state["sums"])

    def save(self) -> None:
        """Write the state from which `start(resume=True)` goes on.

        Raises:
            RunError: a weight is not finite, or the folder cannot be written to; the state before it stays.
        """
        self._require_finite_weights()
        if self._written is not None:
            self._written.save(
                {
                    "update": self.update,
                    "hours": self.hours,
                    "sums": dict(self._sums),
                    "model": self.task.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "settings": asdict(self.settings),
                    "fingerprint": self.task.fingerprint(),
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
            RunError: the loss, a gradient or a weight is not finite, or the folder cannot be written to.
        """
        s = self.settings
        log = nullcontext() if self._written is None else closing(self._written.start(self.update))
        with log, self._stop, self._parallel():
            self._since = time.perf_counter()
            for batch in self._batches():
                stop = self.run_update(batch)
                record = None
                if self._due(s.log_every) or self._due(s.evaluate_every):
                    record = self._record()
                    try:
                        if self._due(s.evaluate_every):
                            record |= {f"dev_{name}": value for name, value in self.task.evaluate().items()}
                    except Exception:  # a dev recording that cannot be read, for instance: no update is lost by that
                        self._log(record)
                        self.save()
                        raise
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

    def run_update(self, batch: Any) -> bool:
        """Forward, backward and one step of the optimizer; returns whether any process was asked to stop."""
        s = self.settings
        torch.manual_seed(seed_of(s.seed, self.update, distributed.rank()))  # dropout differs between processes
        generator = torch.Generator(self.device).manual_seed(seed_of(s.seed, self.update))  # masks do not
        inputs = self.task.prepare(batch, self.update, generator)
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=self.device))
        for i, micro_batch in enumerate(inputs.micro_batches):
            more = i + 1 < len(inputs.micro_batches)
            with self._model.no_sync() if more and isinstance(self._model, DistributedDataParallel) else nullcontext():
                with torch.autocast(self.device.type, torch.bfloat16, enabled=s.bf16):
                    loss, metrics = self.task.losses(self._model, micro_batch)
                # over all items, divided by their number; but DistributedDataParallel divides by its processes
                (loss * distributed.count() / inputs.items).backward()
            for name, value in {"loss": loss.detach(), **metrics}.items():
                sums[name] = sums[name] + value
        self.task.adjust_gradients()
        norm = nn.utils.clip_grad_norm_(self.task.model.parameters(), s.clip_grad_norm or math.inf)

        sums["stop"] = sums["stop"] + self._stop.asked
        totals = distributed.sum_over_processes(torch.stack([*sums.values()]))
        *values, grad_norm = torch.cat([totals, norm[None].double()]).tolist()  # the one wait for the device
        numbers = dict(zip(sums, values, strict=True))
        stop = numbers.pop("stop") > 0
        self._norms.append(grad_norm)
        if not math.isfinite(numbers["loss"]) or not math.isfinite(grad_norm):
            raise RunError(self._what_led_here(numbers["loss"] / inputs.items, batch.ids))
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(s, self.update)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update += 1
        self.hours += inputs.hours
        numbers |= {"items": inputs.items, "updates": 1, "grad_norm": grad_norm}
        self._sums.update(numbers | {"seconds": time.perf_counter() - self._since})
        return stop

    def _record(self) -> dict[str, float]:
        """The metrics since the last record."""
        sums, self._sums = self._sums, Counter()
        items, updates = sums.pop("items"), sums.pop("updates")
        grad_norm, seconds = sums.pop("grad_norm"), sums.pop("seconds")
        return {
            "update": self.update,
            **{name: total / items for name, total in sums.items()},
            **self.task.schedules(self.update - 1),
            "learning_rate": learning_rate(self.settings, self.update - 1),
            "grad_norm": grad_norm / updates,
            "seconds_per_update": seconds / updates,
            "hours_of_audio": self.hours,
        }

    def _due(self, every: int) -> bool:
        return self.update % every == 0 or self.update == self.settings.updates

    def _batches(self) -> Iterator[Any]:
        """The batches from the present update on, read by background workers.

        Raises:
            RunError: a recording cannot be read, here or by another process; the state has been saved.
        """
        updates, pin_memory = range(self.update, self.settings.updates), self.device.type == "cuda"
        for batch in background_loader(self.task.dataset, updates, self.settings.workers, pin_memory):
            error = batch if isinstance(batch, AudioError) else None
            if distributed.any_process(error is not None, self.device):
                self.save()
                raise RunError(f"{error or 'Another process could not read a recording.'} {self._what_is_kept()}")
            yield batch

    def _log(self, record: dict[str, float]) -> None:
        if self._written is not None:
            self._written.log(record)

    def _export(self, name: str) -> None:
        """A copy of the model that `from_pretrained` loads."""
        self._require_finite_weights()
        if self._written is not None:
            self.task.export(self._written.path / name)

    @contextmanager
    def _parallel(self) -> Iterator[None]:
        """Where several processes train, make gradients common to them.

        The wrapper must be gone before the process group is: where it is what keeps the group alive, the group's end
        and gloo's worker thread can wait for each other for ever.
        """
        if distributed.count() > 1:
            unused = self.task.skips_parameters
            self._model = DistributedDataParallel(self.task.model, find_unused_parameters=unused)
        try:
            yield
        finally:
            self._model = self.task.model

    def _require_finite_weights(self) -> None:
        """Raise RunError where the last update has spoiled a weight: only the next one's loss would show it."""
        for name, weight in self.task.model.state_dict().items():
            if not weight.isfinite().all():
                raise RunError(
                    f"update {self.update}: {name} has become NaN or infinite. {self._what_is_kept()} {REMEDIES}"
                )

    def _what_led_here(self, loss: float, ids: Sequence[str]) -> str:
        norms = ", ".join(f"{norm:.3g}" for norm in self._norms)
        return (
            f"update {self.update + 1}: the loss is {loss:.3g}. Norms of the latest gradients, this one last: {norms}. "
            f"Utterances of the batch: {', '.join(ids)}. The weights are still those of update {self.update}. "
            f"{self._what_is_kept()} {REMEDIES}"
        )

    def _what_is_kept(self) -> str:
        state_file = None if self.folder is None else self.folder.state_file
        return f"The last state is in {state_file}." if state_file and state_file.exists() else "No state is kept."

    def _how_to_resume(self) -> str:
        done = f"stopped after update {self.update} of {self.settings.updates}"
        if self.folder is None:
            return f"{done}; the run has no folder, so nothing is saved."
        return f"{done}; the state is saved. To go on: the same command with --out {self.folder.path} --resume"
