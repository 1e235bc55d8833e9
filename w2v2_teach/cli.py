"""The command line: `w2v2-teach check | download | pretrain | finetune | evaluate | transcribe`."""

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

from w2v2_teach.checkpoints import CheckpointError, Pretrained, architecture, pretrained_file
from w2v2_teach.config import PRESETS, ConfigError
from w2v2_teach.course.environment import check_environment, device, versions
from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.decoding.transcription import WINDOW, Recognizer, Transcript, json_line, subtitles
from w2v2_teach.decoding.vocabulary import Vocabulary, VocabularyError
from w2v2_teach.files import replacing
from w2v2_teach.heads import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2ForSpeakerVerification
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech import corpora
from w2v2_teach.speech.audio import AudioError
from w2v2_teach.speech.by_name import joined, train_and_dev
from w2v2_teach.speech.corpora import CorpusNotFound, CorpusTooShort
from w2v2_teach.speech.downloads import DownloadError
from w2v2_teach.speech.mini_librispeech import mini_librispeech
from w2v2_teach.tasks.asr import SpeechRecognition, evaluate_asr
from w2v2_teach.tasks.evaluation import evaluate_pretrained
from w2v2_teach.tasks.finetuning import Finetuning
from w2v2_teach.tasks.keywords import KeywordSpotting, evaluate_keyword_model
from w2v2_teach.tasks.objectives import OBJECTIVES
from w2v2_teach.tasks.pretraining import RECIPES, PretrainingSettings
from w2v2_teach.tasks.speakers import SpeakerRecognition, evaluate_speaker_model
from w2v2_teach.training.distributed import process_group
from w2v2_teach.training.run_folder import RunError
from w2v2_teach.training.settings import SettingsError, TrainingSettings
from w2v2_teach.training.trainer import Trainer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
finetuning = typer.Typer(no_args_is_help=True, help="Fine-tune a pre-trained model on labels.")
app.add_typer(finetuning, name="finetune")


class Download(str, Enum):
    """A corpus that its publisher gives away."""

    fsdd = "fsdd"
    librosa = "librosa"
    mini_librispeech = "mini-librispeech"


class Preset(str, Enum):
    """A model of `config.PRESETS` that has a recipe for its pre-training."""

    micro = "micro"
    tiny = "tiny"
    base = "base"
    large = "large"


class Objective(str, Enum):
    """What `pretrain` can ask of speech without labels."""

    masked = "masked"
    next_step = "next-step"
    next_token = "next-token"
    joint_next_token = "joint-next-token"


class Layout(str, Enum):
    """How `transcribe` writes a transcript."""

    text = "text"
    json = "json"
    srt = "srt"


class Recipe(str, Enum):
    """Whose numbers fine-tuning starts from."""

    tiny = "tiny"
    base = "base"


TASKS: dict[str, type[Finetuning]] = {
    "asr": SpeechRecognition,
    "speaker": SpeakerRecognition,
    "keyword": KeywordSpotting,
}
PRETRAINED = "tiny-pretrained"


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
                annotation=Annotated[_option_type(types[field.name]) | None, typer.Option(help=field.metadata["help"])],
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


def _option_type(kind: Any) -> Any:
    """Several numbers are an option that is given several times."""
    return list[typing.get_args(kind)[0]] if typing.get_origin(kind) is tuple else kind


@app.command()
def check() -> None:
    """Say what this machine has, what is missing, and how to get it."""
    typer.echo(check_environment())


@app.command()
def download(name: Download) -> None:
    """Fetch a corpus from its publisher: verified, cached, and resumed where an earlier try was interrupted."""
    fetch = {
        Download.fsdd: corpora.fsdd,
        Download.librosa: corpora.librosa_excerpts,
        Download.mini_librispeech: mini_librispeech,
    }[name]
    with plain_errors(CorpusNotFound, DownloadError):
        typer.echo(fetch(download=True))


@app.command()
@options_of(PretrainingSettings)
def pretrain(
    out: Annotated[Path, typer.Option(help="folder for state, metrics and model")],
    preset: Annotated[Preset, typer.Option(help="model and recipe")] = Preset.tiny,
    objective: Annotated[
        Objective,
        typer.Option(help="guess what is masked (the paper), the frames ahead, or the next code of a frozen quantizer"),
    ] = Objective.masked,
    *,
    speech: Annotated[
        list[str],
        typer.Option("--corpus", help="toy, mini-librispeech, or a folder with train and dev speech; several"),
    ] = ["toy"],  # noqa: B006
    start: Annotated[
        str | None, typer.Option(help="go on from a folder, a checkpoint of the course or a hub id, not from chance")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the state in the folder")] = False,
    options: dict[str, Any],
) -> None:
    """Pre-train a model on speech without labels; what is not given is as in the preset's recipe.

    On several devices: torchrun --nproc-per-node 2 -m w2v2_teach.cli pretrain …
    """
    expected = SettingsError, ConfigError, CheckpointError, CorpusNotFound, RunError
    with plain_errors(*expected), process_group() as own_device:
        settings = replace(RECIPES[preset.value], **options)
        train, dev = (joined(parts) for parts in zip(*(train_and_dev(name) for name in speech), strict=True))
        task = OBJECTIVES[objective.value](PRESETS[preset.value], settings, train, dev)
        if start is not None:
            task.start_from(start)
        trainer = Trainer(task, settings, out, own_device)
        trainer.start(resume)
        trainer.train()


def add_finetuning(name: str, kind: type[Finetuning]) -> None:
    """The command `finetune NAME`, with an option for each of the task's own settings."""

    @options_of(type(kind.recipes["tiny"]))
    def command(
        *,
        out: Annotated[Path, typer.Option(help="folder for state, metrics and model")],
        start: Annotated[
            str, typer.Option(help="a folder, a checkpoint of the course, a hub id, or scratch")
        ] = PRETRAINED,
        recipe: Annotated[Recipe, typer.Option(help="numbers for a model of this size")] = Recipe.tiny,
        speech: Annotated[
            str, typer.Option("--corpus", help="toy, mini-librispeech, or a folder with train and dev speech")
        ] = "toy",
        minutes: Annotated[float | None, typer.Option(help="learn from so much of it, drawn by seed")] = None,
        resume: Annotated[bool, typer.Option("--resume", help="go on from the state in the folder")] = False,
        options: dict[str, Any],
    ) -> None:
        expected = SettingsError, CorpusNotFound, CorpusTooShort, CheckpointError, ConfigError, RunError
        with plain_errors(*expected), process_group() as own_device:
            settings = replace(kind.recipes[recipe.value], **options)
            train, dev = train_and_dev(speech)
            if minutes is not None:
                train = train.minutes(minutes, settings.seed)
            trainer = Trainer(kind.begin(start, settings, train, dev), settings, out, own_device)
            trainer.start(resume)
            trainer.train()

    finetuning.command(name, help=f"{kind.__doc__.splitlines()[0]} What is not given is as in the recipe.")(command)


for task_name, task_kind in TASKS.items():
    add_finetuning(task_name, task_kind)


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="a folder, a checkpoint of the course, or a hub id")],
    out: Annotated[Path | None, typer.Option(help="a JSON file for the results")] = None,
) -> None:
    """Measure a model on speakers that it has not heard: what is measured depends on its head."""
    with plain_errors(CheckpointError, ConfigError, CorpusNotFound, DownloadError, VocabularyError):
        kind = architecture(checkpoint)
        if kind not in MODELS:
            raise CheckpointError(f"{checkpoint} is a {kind}; what can be evaluated: {', '.join(MODELS)}.")
        results = EVALUATIONS[MODELS[kind]](MODELS[kind].from_pretrained(checkpoint).to(device()), checkpoint)
    untrained = results.get("untrained", {})
    for name, value in results.get("trained", results).items():
        if not isinstance(value, dict):
            beside = f"   untrained {untrained[name]:10.3f}" if untrained else ""
            typer.echo(f"{name:<24} {value:10.3f}{beside}")
    if out is not None:
        with replacing(out) as partial:
            partial.write_text(
                json.dumps({"checkpoint": checkpoint, "machine": versions(), **results}, indent=2) + "\n",
                encoding="utf-8",
            )


def _evaluate_pretrained(model: Wav2Vec2ForPreTraining, _checkpoint: str) -> dict[str, Any]:
    return evaluate_pretrained(model, corpora.toy_speech().split("test"), corpora.fsdd())


def _evaluate_recognizer(model: Wav2Vec2ForCTC, checkpoint: str) -> dict[str, Any]:
    toy = corpora.toy_speech()
    vocabulary = Vocabulary.load(pretrained_file(checkpoint, "vocab.json"))
    return evaluate_asr(model, vocabulary, toy.split("train"), toy.split("test"))


def _evaluate_speakers(model: Wav2Vec2ForSpeakerVerification, _checkpoint: str) -> dict[str, Any]:
    toy = corpora.toy_speech()
    return evaluate_speaker_model(model, toy.split("dev"), toy.split("test"), corpora.fsdd())


def _evaluate_keywords(model: Wav2Vec2ForSequenceClassification, _checkpoint: str) -> dict[str, Any]:
    return evaluate_keyword_model(model, corpora.toy_speech().split("test"), corpora.fsdd())


EVALUATIONS: dict[type[Pretrained], Callable[[Any, str], dict[str, Any]]] = {
    Wav2Vec2ForPreTraining: _evaluate_pretrained,
    Wav2Vec2ForCTC: _evaluate_recognizer,
    Wav2Vec2ForSpeakerVerification: _evaluate_speakers,
    Wav2Vec2ForSequenceClassification: _evaluate_keywords,
}
MODELS = {model.__name__: model for model in EVALUATIONS}


@app.command()
def transcribe(
    files: Annotated[list[Path], typer.Argument(help="sound: WAV, FLAC, OGG, MP3, of any length", metavar="FILE")],
    model: Annotated[str, typer.Option(help="a folder, a checkpoint of the course, or a hub id")] = "tiny-asr",
    layout: Annotated[
        Layout,
        typer.Option(
            "--format",
            help="text: one line a file; json: one object a line, with word times (s) and confidence; srt: subtitles",
        ),
    ] = Layout.text,
    window: Annotated[
        float, typer.Option(min=2, help="seconds that the model hears at once; for a published model, 15 are better")
    ] = WINDOW,
    beam: Annotated[
        bool, typer.Option("--beam", help="beam search with word statistics of the toy corpus: for its sentences only")
    ] = False,
) -> None:
    """Write down what is said in sound files; one that cannot be used is named, and the others are written."""
    if layout is Layout.srt and len(files) > 1:
        raise typer.BadParameter(
            "subtitles belong to one recording; give one FILE at a time", param_hint="'--format srt'"
        )
    with plain_errors(CheckpointError, ConfigError, VocabularyError, CorpusNotFound):
        texts = [utterance.text for utterance in corpora.toy_speech().split("train")] if beam else []
        recognizer = Recognizer.from_pretrained(model, NGramModel.from_texts(texts) if beam else None)
        recognizer.model.to(device())
    failed = False
    for file in files:
        try:
            typer.echo(_written(file, recognizer.transcribe(file, window), layout), nl=False)
        except AudioError as error:
            typer.echo(error, err=True)
            failed = True
    if failed:
        raise typer.Exit(1)


def _written(file: Path, transcript: Transcript, layout: Layout) -> str:
    """A transcript as the command prints it."""
    if layout is Layout.srt:
        return subtitles(transcript.words)
    return f"{transcript.text}\n" if layout is Layout.text else json_line(str(file), transcript)


if __name__ == "__main__":
    app()
