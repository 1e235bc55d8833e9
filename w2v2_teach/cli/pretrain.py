"""`w2v2-teach pretrain --out FOLDER`"""

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from w2v2_teach.cli.options import CORPUS_HELP, MODEL_HELP, SEVERAL, add_run, add_settings, given_settings, run_training
from w2v2_teach.config import PRESETS
from w2v2_teach.speech.by_name import train_and_dev
from w2v2_teach.tasks.objectives import OBJECTIVES
from w2v2_teach.tasks.pretraining import RECIPES
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.distributed import process_group
from w2v2_teach.training.trainer import Trainer

DESCRIPTION = (
    "Pre-train a model on speech without labels. "
    "On several devices: torchrun --nproc-per-node 2 -m w2v2_teach.cli -- pretrain …"
)


def add_options(parser: ArgumentParser) -> None:
    """The model, the objective, the run, and all settings."""
    parser.usage, parser.description = "%(prog)s --out FOLDER [options]", DESCRIPTION
    add_run(parser)
    parser.add_argument("--preset", choices=RECIPES, default="tiny", help="model and recipe (default: %(default)s)")
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default="masked",
        help="what to predict: masked frames (the paper, the default), frames ahead, or the next code of a quantizer",
    )
    parser.add_argument("--corpus", help=f"{CORPUS_HELP}; one or several (default: toy)", **SEVERAL)
    parser.add_argument("--from", dest="start", metavar="MODEL", help=f"{MODEL_HELP} (default: random weights)")
    add_settings(parser, PretrainingSettings)
    parser.set_defaults(run=pretrain)


def pretrain(options: Namespace) -> None:
    """Train to the end, or until somebody asks it to stop."""
    recipe = RECIPES[options.preset]
    settings = replace(recipe, **given_settings(options, recipe))
    with process_group() as own_device:
        train, dev = train_and_dev(*(options.corpus or ["toy"]))
        task = OBJECTIVES[options.objective](PRESETS[options.preset], settings, train, dev)
        if options.start is not None:
            task.start_from(options.start)
        run_training(Trainer(task, settings, options.out, own_device), options)
