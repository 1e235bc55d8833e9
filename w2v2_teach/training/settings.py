"""How a training runs: the numbers that are not the model's. The command line has an option for each of them."""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from w2v2_teach.errors import CourseError

ADAM = {"betas": (0.9, 0.98), "eps": 1e-6}  # of all the paper's trainings, from fairseq's recipes
LARGEST, LARGEST_SEED = 2**31 - 1, 2**63 - 1  # torch takes no larger numbers, and no larger seed


class SettingsError(CourseError, ValueError):
    """A setting that makes no sense, or that differs from the run that is to be resumed."""


def setting(default: Any, description: str, changes_numbers: bool = True) -> Any:
    """A field with its description; `changes_numbers` says whether a resumed run must have the same value."""
    return field(default=default, metadata={"help": description, "changes_numbers": changes_numbers})


@dataclass(frozen=True)
class TrainingSettings:
    """What every training needs. The defaults are the paper's where it gives them (Section 4.2).

    Raises:
        SettingsError: a number out of range.
    """

    updates: int = setting(400_000, "parameter updates in all")
    batch_size: int = setting(64, "utterances an update, over all processes and accumulation steps")
    shares: tuple[float, ...] = setting(
        (), "share of a batch that each corpus gives, in their order; all alike if empty"
    )
    accumulate: int = setting(1, "micro-batches an update: less memory, the same number of utterances")
    learning_rate: float = setting(5e-4, "peak of the learning rate, reached at the end of the warm-up")
    warmup_updates: int = setting(32_000, "updates in which the learning rate rises from its floor")
    hold_updates: int = setting(0, "updates in which it then stays at its peak, before it falls back to the floor")
    rate_floor: float = setting(0.0, "where the learning rate begins and ends, as a share of its peak")
    weight_decay: float = setting(0.01, "AdamW's weight decay")
    clip_grad_norm: float | None = setting(None, "longest gradient allowed; longer ones are scaled down")
    seed: int = setting(0, "where all random numbers start")
    bf16: bool = setting(False, "matrix products and convolutions in bfloat16 (autocast)")
    compile: bool = setting(False, "compile the feature encoder: some seconds' wait, then faster updates")
    workers: int = setting(1, "processes that read the sound", changes_numbers=False)
    log_every: int = setting(10, "updates that one line of metrics sums up")
    evaluate_every: int = setting(500, "updates between two evaluations on the dev speakers", changes_numbers=False)
    save_every: int = setting(500, "updates between two checkpoints", changes_numbers=False)
    snapshot_every: int = setting(0, "updates between two copies of the model that stay; 0 for none", False)

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, float):
                self.require(f.name, math.isfinite(value), "a finite number")
            elif isinstance(value, int) and f.name != "seed":
                self.require(f.name, value <= LARGEST, f"at most {LARGEST:,}")
        object.__setattr__(self, "shares", tuple(self.shares))  # the command line brings a list
        self.require("shares", all(share > 0 for share in self.shares), "more than 0 each")
        self.require("seed", 0 <= self.seed <= LARGEST_SEED, f"from 0 to {LARGEST_SEED}")
        for name in ("updates", "batch_size", "accumulate", "log_every", "evaluate_every", "save_every"):
            self.require(name, getattr(self, name) >= 1, "1 or more")
        for name in ("warmup_updates", "hold_updates", "weight_decay", "workers", "snapshot_every"):
            self.require(name, getattr(self, name) >= 0, "0 or more")
        self.require("learning_rate", self.learning_rate > 0, "more than 0")
        self.require("clip_grad_norm", self.clip_grad_norm is None or self.clip_grad_norm > 0, "more than 0")
        self.require("rate_floor", 0 <= self.rate_floor < 1, "in [0, 1)")
        self.require("warmup_updates", self.warmup_updates <= self.updates, f"at most updates={self.updates}")
        left = self.updates - self.warmup_updates
        self.require("hold_updates", self.hold_updates <= left, f"at most the {left} updates after the warm-up")

    def require(self, name: str, allowed: bool, rule: str) -> None:
        """Raise SettingsError unless `allowed`."""
        if not allowed:
            raise SettingsError(f"{name} is {getattr(self, name)}; it must be {rule}.")

    def require_same(self, saved: Mapping[str, Any]) -> None:
        """Raise SettingsError where a number-changing setting differs from those of a run that is to go on."""
        changed = [
            f"{f.name} was {saved.get(f.name)!r} and is {getattr(self, f.name)!r}"
            for f in fields(self)
            if f.metadata["changes_numbers"] and saved.get(f.name) != getattr(self, f.name)
        ]
        if changed:
            raise SettingsError(f"a resumed run must keep its settings, but {'; '.join(changed)}.")


def option_name(setting_field: Field) -> str:
    """`learning_rate` → `--learning-rate`."""
    return "--" + setting_field.name.replace("_", "-")
