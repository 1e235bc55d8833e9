"""Make a finished run into a checkpoint that comes with the course: model in half precision, log, figures, card.

    python data/ship_checkpoint.py runs/tiny tiny-pretrained

Needs FSDD, as `w2v2-teach evaluate` does. Figures go into `evaluation.json`; the card is written from it and the log.
Two early snapshots come along, to see codes sharpen: only the part of the model that makes codes.
"""

import json
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file

from w2v2_teach.checkpoints import SHIPPED
from w2v2_teach.cli import evaluate
from w2v2_teach.config import PRESETS, Wav2Vec2Config
from w2v2_teach.display import versions
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.pretraining import RECIPES
from w2v2_teach.run_folder import RunFolder, read_metrics
from w2v2_teach.settings import option_name

LAUNCHER = "OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m w2v2_teach.cli"
DIGITS_KEPT = 5  # of each number in the log
SNAPSHOTS = 1_000, 4_000  # updates
MAKES_CODES = "wav2vec2.feature_extractor.", "wav2vec2.feature_projection.layer_norm.", "quantizer."  # what codes need


def main(run: Path, name: str) -> None:
    folder = SHIPPED / name
    state = RunFolder(run).load()
    model = Wav2Vec2ForPreTraining.from_pretrained(run / "model")
    model.save_pretrained(folder, torch.float16)
    for update in SNAPSHOTS:
        weights = Wav2Vec2ForPreTraining.from_pretrained(run / "snapshots" / f"{update:06}").state_dict()
        kept = {key: weight.half() for key, weight in weights.items() if key.startswith(MAKES_CODES)}
        save_file(kept, folder / f"codes-{update:06}.safetensors")
    log = read_metrics(run / "metrics.jsonl")
    lines = ({k: v if isinstance(v, int) else float(f"{v:.{DIGITS_KEPT}g}") for k, v in line.items()} for line in log)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    evaluate(name, folder / "evaluation.json")
    (folder / "README.md").write_text(card(name, model, state, log, folder), encoding="utf-8")


def command(config: Wav2Vec2Config, settings: dict[str, object]) -> str:
    """The command line that starts this run: the preset, and what differs from its recipe."""
    preset = next(preset for preset, known in PRESETS.items() if known == config)
    recipe = RECIPES[preset]
    words = [f"{LAUNCHER} pretrain --preset {preset} --corpus toy --out runs/{preset}"]
    for field in fields(recipe):
        value = settings[field.name]
        if value != getattr(recipe, field.name):
            words.append(option_name(field) if value is True else f"{option_name(field)} {value}")
    return " ".join(words)


def card(name: str, model: Wav2Vec2ForPreTraining, state: dict, log: list[dict], folder: Path) -> str:
    results = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    settings, size = state["settings"], (folder / "model.safetensors").stat().st_size / 1e6
    updates = [0, *(line["update"] for line in log)]
    spans = [after - before for before, after in pairwise(updates)]
    minutes = sum(line["seconds_per_update"] * span for line, span in zip(log, spans, strict=True)) / 60
    parameters = sum(p.numel() for p in model.parameters())
    chance = 1 / (model.config.num_negatives + 1)
    return f"""# {name}

A wav2vec 2.0 of {parameters / 1e6:.2f} million parameters, pre-trained without labels on the toy corpus' train
speakers. It comes in half precision ({size:.1f} MB), and loads as `Wav2Vec2ForPreTraining.from_pretrained("{name}")`
here, and from this folder in transformers.

## How it was made

    {command(model.config, settings)}
    python data/ship_checkpoint.py runs/tiny {name}

Seed {settings["seed"]}, {state["update"]:,} updates of {settings["batch_size"]} crops, {state["hours"]:.1f} hours
of audio heard, {minutes:.0f} minutes of training on two CPU cores, with {versions()}.
The log is `metrics.jsonl`; `codes-*.safetensors` hold feature encoder and quantizer as they were after
{" and ".join(f"{update:,}" for update in SNAPSHOTS)} updates.

## Figures

Measured by `w2v2-teach evaluate {name}` on the toy corpus' four test speakers, whom it has never heard, and on
FSDD's six (human) speakers; beside the same network before its training. All of them are in `evaluation.json`.

{figures(results, model.config)}

Accuracy: of {model.config.num_negatives + 1} candidates, the true one; chance is {chance:.3f}. PNMI: share of the
phones' entropy that the codes explain; more pairs in use alone would raise it, so their number stands beside it.
Digits: linear probe on the mean-pooled context, trained on five speakers and tested on the sixth.

## Licence

Weights and card: CC BY 4.0, as the speech they were made from. The speech is synthetic; nobody's voice is in it.
"""


def figures(results: dict, config: Wav2Vec2Config) -> str:
    entries = config.num_codevector_groups * config.num_codevectors_per_group
    names = {
        "accuracy": f"contrastive accuracy, K = {config.num_negatives}",
        "contrastive_loss": "contrastive loss (nats)",
        "pnmi": "PNMI",
        "code_tuples": "pairs of codes in use",
        "usage_perplexity": f"code perplexity, of {entries}",
        "digit_accuracy": "FSDD digits, unseen speaker",
    }
    sides = results["trained"], results["untrained"]
    rows = [" | ".join([f"| {title}", *(_short(side[key]) for side in sides)]) + " |" for key, title in names.items()]
    return "\n".join(["| figure | trained | untrained |", "| --- | ---: | ---: |", *rows])


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}" if value > 10 else f"{value:.3f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
