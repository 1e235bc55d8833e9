"""Options that several commands share: numbers, an option for each setting of a training, and where a run is kept."""

import math
import shlex
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from w2v2_teach.course.environment import versions
from w2v2_teach.speech.by_name import NAMED
from w2v2_teach.training import distributed
from w2v2_teach.training.run_folder import RunError
from w2v2_teach.training.settings import TrainingSettings, option_name
from w2v2_teach.training.trainer import Trainer

MODEL_HELP = "a folder, a checkpoint of the course, or a downloaded hub id"
CORPUS_HELP = f"{', '.join(NAMED)}, or a folder with train and dev speech"


def number(least: float = -math.inf, above: float = -math.inf) -> Callable[[str], float]:
    """Read a finite number that is at least `least` and more than `above`."""

    def read(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= least and value > above):
            rules = [f"{least:g} or more"] * math.isfinite(least) + [f"more than {above:g}"] * math.isfinite(above)
            raise ArgumentTypeError(f"{word!r} is not allowed; it must be a number{''.join(f', {r}' for r in rules)}")
        return value

    return read


HOW: dict[type, dict[str, Any]] = {  # how an option reads a value of each type
    bool: {"action": BooleanOptionalAction},
    int: {"type": int, "metavar": "N"},
    float: {"type": number(), "metavar": "X"},
}
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend"}  # `--shares 1 2` or `--shares 1 --shares 2`


def add_settings(parser: ArgumentParser, settings: type[TrainingSettings]) -> None:
    """Add an option for each setting: `learning_rate` becomes `--learning-rate`, a switch also gets `--no-…`."""
    group = parser.add_argument_group("settings", "Any that you leave out is as in the recipe.")
    types = get_type_hints(settings)
    for field in fields(settings):
        kind = types[field.name]
        several = SEVERAL if get_origin(kind) is tuple else {}
        how = several | HOW[next(iter(get_args(kind)), kind)]  # float | None, and tuple[float, ...], are read as float
        text = field.metadata["help"].replace("%", "%%")  # argparse formats it
        group.add_argument(option_name(field), default=SUPPRESS, help=text, **how)


def given_settings(options: Namespace, settings: TrainingSettings) -> dict[str, Any]:
    """The settings that the command line gives, by name."""
    return {field.name: getattr(options, field.name) for field in fields(settings) if field.name in options}


def add_run(parser: ArgumentParser) -> None:
    """Add the options of every training: where it is kept."""
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for state, metrics and model")
    parser.add_argument("--resume", action="store_true", help="continue from the state in the folder")


def run_training(trainer: Trainer, options: Namespace) -> None:
    """Start or resume a training, go on to its end, and keep in its folder the command and the machine that began it.

    Raises:
        Interrupted, RunError, SettingsError: as the trainer's `start` and `records` do.
    """
    trainer.start(options.resume)
    if not options.resume and distributed.rank() == 0:
        processes = distributed.count()
        launcher = f"torchrun --nproc-per-node {processes} -m w2v2_teach.cli --" if processes > 1 else "w2v2-teach"
        try:
            options.out.mkdir(parents=True, exist_ok=True)
            lines = f"{launcher} {shlex.join(options.words)}\n# {versions()}\n"
            (options.out / "command.txt").write_text(lines, encoding="utf-8")
        except OSError as error:
            raise RunError(f"{options.out} cannot be written to: {error}") from error
    trainer.train()
