"""`w2v2-teach finetune TASK --out FOLDER`"""

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from w2v2_teach.cli.options import (
    CORPUS_HELP,
    MODEL_HELP,
    SEVERAL,
    add_run,
    add_settings,
    given_settings,
    number,
    run_training,
)
from w2v2_teach.speech.by_name import joined, train_and_dev
from w2v2_teach.tasks.asr import SpeechRecognition
from w2v2_teach.tasks.finetuning import SCRATCH, Finetuning
from w2v2_teach.tasks.keywords import KeywordSpotting
from w2v2_teach.tasks.speakers import SpeakerRecognition
from w2v2_teach.training.distributed import process_group
from w2v2_teach.training.trainer import Trainer

TASKS: dict[str, type[Finetuning]] = {
    "asr": SpeechRecognition,
    "speaker": SpeakerRecognition,
    "keyword": KeywordSpotting,
}
SUMMARIES = {
    "asr": "speech recognition: transcripts by CTC",
    "speaker": "speaker verification: embeddings by ArcFace",
    "keyword": "keyword spotting: one word at a time",
}
PRETRAINED = "tiny-pretrained"
ON_SEVERAL_DEVICES = "On several devices: torchrun --nproc-per-node 2 -m w2v2_teach.cli -- finetune"


def add_options(parser: ArgumentParser) -> None:
    """A command for each task, with the options of its settings."""
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    for name, task in TASKS.items():
        about = f"Fine-tune a pre-trained model for {SUMMARIES[name]}. {ON_SEVERAL_DEVICES} {name} …"
        command = tasks.add_parser(name, help=SUMMARIES[name], description=about, allow_abbrev=False)
        command.usage = "%(prog)s --out FOLDER [options]"
        add_run(command)
        command.add_argument("--corpus", help=f"{CORPUS_HELP}; one or several (default: toy)", **SEVERAL)
        command.add_argument(
            "--from",
            dest="start",
            default=PRETRAINED,
            metavar="MODEL",
            help=f"{MODEL_HELP}; {SCRATCH}: random weights (default: %(default)s)",
        )
        command.add_argument(
            "--recipe",
            choices=task.recipes,
            default="tiny",
            help="for a model of this size (default: %(default)s)",
        )
        command.add_argument(
            "--minutes", type=number(above=0), metavar="X", help="train on this much of each corpus, drawn by --seed"
        )
        add_settings(command, type(task.recipes["tiny"]))
        command.set_defaults(run=finetune, task=task)


def finetune(options: Namespace) -> None:
    """Train to the end, or until somebody asks it to stop."""
    recipe = options.task.recipes[options.recipe]
    settings = replace(recipe, **given_settings(options, recipe))
    with process_group() as own_device:
        train, dev = train_and_dev(*(options.corpus or ["toy"]))
        if options.minutes is not None:
            train = joined([part.minutes(options.minutes, settings.seed) for part in train.parts])
        task = options.task.begin(options.start, settings, train, dev)
        longest = settings.longest_seconds
        if longest is not None and (left_out := len(train) - sum(len(part.at_most(longest)) for part in train.parts)):
            print(f"{left_out} of {len(train)} utterances are left out: longer than {longest:g} s.")
        run_training(Trainer(task, settings, options.out, own_device), options)
