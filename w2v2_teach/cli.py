"""The command line: `w2v2-teach check | download | pretrain | evaluate`."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from w2v2_teach import corpus
from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.config import PRESETS, ConfigError
from w2v2_teach.corpus import CorpusNotFound
from w2v2_teach.display import device, versions
from w2v2_teach.downloads import DownloadError
from w2v2_teach.environment import check_environment
from w2v2_teach.evaluation import evaluate_pretrained
from w2v2_teach.files import replacing
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.pretraining import RECIPES, Pretraining, PretrainingSettings
from w2v2_teach.processes import process_group
from w2v2_teach.run_folder import RunError
from w2v2_teach.settings import SettingsError, TrainingSettings
from w2v2_teach.trainer import Trainer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Download(str, Enum):
    """A corpus that its publisher gives away."""

    fsdd = "fsdd"
    librosa = "librosa"


class Preset(str, Enum):
    """A model of `config.PRESETS` that has a recipe for its pre-training."""

    micro = "micro"
    tiny = "tiny"
    base = "base"
    large = "large"


@contextmanager
def plain_errors(*expected: type[Exception]) -> Iterator[None]:
    """An expected error is one sentence on the standard error, and exit status 1."""
    try:
        yield
    except expected as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


def options_of(settings: type[TrainingSettings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each setting; what is given on the command line arrives in its `options`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        types = typing.get_type_hints(settings)
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
        added = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[types[field.name] | None, typer.Option(help=field.metadata["help"])],
            )
            for field in fields(settings)
        ]

        def with_options(**values: Any) -> None:
            given = {p.name: values.pop(p.name) for p in added}
            command(**values, options={name: value for name, value in given.items() if value is not None})

        with_options.__signature__ = inspect.Signature([*own, *added])
        with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
        return with_options

    return decorate


@app.command()
def check() -> None:
    """Say what this machine has, what is missing, and how to get it."""
    typer.echo(check_environment())


@app.command()
def download(name: Download) -> None:
    """Fetch a corpus from its publisher: verified, cached, and resumed where an earlier try was interrupted."""
    fetch = {Download.fsdd: corpus.fsdd, Download.librosa: corpus.librosa_excerpts}[name]
    with plain_errors(DownloadError):
        typer.echo(fetch(download=True))


@app.command()
@options_of(PretrainingSettings)
def pretrain(
    out: Annotated[Path, typer.Option(help="folder for state, metrics and model")],
    preset: Annotated[Preset, typer.Option(help="model and recipe")] = Preset.tiny,
    speech: Annotated[str, typer.Option("--corpus", help="toy, or a folder with train and dev speech")] = "toy",
    resume: Annotated[bool, typer.Option("--resume", help="go on from the state in the folder")] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Pre-train a model on speech without labels; what is not given is as in the preset's recipe.

    On several devices: torchrun --nproc-per-node 2 -m w2v2_teach.cli pretrain …
    """
    with plain_errors(SettingsError, CorpusNotFound, RunError), process_group() as own_device:
        settings = replace(RECIPES[preset.value], **options)
        task = Pretraining(PRESETS[preset.value], settings, *corpus.train_and_dev(speech))
        trainer = Trainer(task, settings, out, own_device)
        trainer.start(resume)
        trainer.train()


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="a folder, a checkpoint of the course, or a hub id")],
    out: Annotated[Path | None, typer.Option(help="a JSON file for the results")] = None,
) -> None:
    """Measure a pre-trained model on the toy corpus' test speakers and on FSDD, beside the same model untrained."""
    with plain_errors(CheckpointError, ConfigError, CorpusNotFound, DownloadError):
        model = Wav2Vec2ForPreTraining.from_pretrained(checkpoint).to(device())
        results = evaluate_pretrained(model, corpus.toy_speech().split("test"), corpus.fsdd())
    for name, value in results["trained"].items():
        if not isinstance(value, dict):
            typer.echo(f"{name:<20} {value:10.3f}   untrained {results['untrained'][name]:10.3f}")
    if out is not None:
        with replacing(out) as partial:
            partial.write_text(
                json.dumps({"checkpoint": checkpoint, "machine": versions(), **results}, indent=2) + "\n",
                encoding="utf-8",
            )


if __name__ == "__main__":
    app()
