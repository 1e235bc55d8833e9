"""What a training leaves on disk: its state, to go on from, and its metrics, to look at."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from w2v2_teach.errors import CourseError
from w2v2_teach.files import replacing


class RunError(CourseError, RuntimeError):
    """A training that cannot start, go on or save; the message says what is left on disk and how to go on."""


class RunFolder:
    """`state.pt`, `metrics.jsonl` and TensorBoard's events, in one folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state_file = self.path / "state.pt"
        self.metrics_file = self.path / "metrics.jsonl"
        self._events: SummaryWriter | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Put `state` in the place of the state before it, whole or not at all.

        Raises:
            RunError: it cannot be written, because the disk is full for instance; the earlier state stays.
        """
        try:
            with replacing(self.state_file) as partial, partial.open("wb") as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
            kept = f"the state before it stays in {self.state_file}" if self.state_file.exists() else "nothing is saved"
            raise RunError(f"the state of update {state['update']} cannot be written: {error}; {kept}.") from error

    def load(self) -> dict[str, Any]:
        """The state that was saved last.

        Raises:
            RunError: there is none, or the file is damaged.
        """
        if not self.state_file.is_file():
            raise RunError(f"{self.path} holds no {self.state_file.name}: there is nothing to resume.")
        damaged = RunError(
            f"{self.state_file} is damaged, and left as it is: put a good copy in its place, or start elsewhere."
        )
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise damaged from error
        if not isinstance(state, dict) or "update" not in state:  # something else that torch has saved
            raise damaged
        return state

    def start(self, update: int) -> RunFolder:
        """Get ready for the metrics of `update` and later ones: those that an interrupted run wrote beyond it go.

        Raises:
            RunError: the folder cannot be made or written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            kept = [line for line in read_metrics(self.metrics_file) if line["update"] <= update]
            with replacing(self.metrics_file) as partial:
                partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self.path} cannot be written to: {error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{self.metrics_file} is not a log of metrics: move it away, or start elsewhere.") from error
        self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=update + 1)
        return self

    def log(self, record: dict[str, float]) -> None:
        """Append one line of metrics, and show it in TensorBoard; `record["update"]` says when it was."""
        try:
            with self.metrics_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise RunError(f"{self.metrics_file} cannot be written to: {error}") from error
        assert self._events is not None, "`start` comes before `log`"
        for name, value in record.items():
            if name != "update":
                self._events.add_scalar(name, value, record["update"])

    def close(self) -> None:
        """Write out what TensorBoard's writer still holds."""
        if self._events is not None:
            self._events.close()


def read_metrics(path: str | Path) -> list[dict[str, float]]:
    """The lines of a `metrics.jsonl`, without a last one that a killed process left half-written; [] if no file."""
    path = Path(path)
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
