"""Make a finished run into a checkpoint that comes with the course: model in half precision, log, figures, card.

    python data/ship_checkpoint.py runs/tiny tiny-pretrained

Of a training in several stages, each with `--from` the model of the one before it, name all runs in their order. The
figures need the corpora that `w2v2-teach evaluate` needs. They go into `evaluation.json`; the card is written from
them and from the log. Of a pre-training, two early snapshots come along, to see codes sharpen: only what makes codes.
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from w2v2_teach.checkpoints import SHIPPED, Pretrained, architecture
from w2v2_teach.cli.evaluate import save_results
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.heads import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2ForSpeakerVerification
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.tasks.evaluate_checkpoint import evaluate_checkpoint
from w2v2_teach.tasks.speakers import MEASURED_SECONDS
from w2v2_teach.training.run_folder import RunFolder, read_metrics

MODELS = {
    model.__name__: model
    for model in (
        Wav2Vec2ForPreTraining,
        Wav2Vec2ForCTC,
        Wav2Vec2ForSpeakerVerification,
        Wav2Vec2ForSequenceClassification,
    )
}
COUNTED = "update", "hours_of_audio"  # in the log
DIGITS_KEPT = 5  # of each number in the log
SNAPSHOTS = 1_000, 4_000  # updates
MAKES_CODES = "wav2vec2.feature_extractor.", "wav2vec2.feature_projection.layer_norm.", "quantizer."  # what codes need

Results = dict[str, Any]


class Kind(NamedTuple):
    """What the card of one kind of model says."""

    purpose: str  # after "A wav2vec 2.0 of N million parameters, "
    figures: Callable[[Results, Wav2Vec2Config], str]  # the table and what its rows mean


def main(runs: Sequence[Path], name: str) -> None:
    folder, run = SHIPPED / name, runs[-1]
    model = MODELS[architecture(run / "model")].from_pretrained(run / "model")
    model.save_pretrained(folder, torch.float16)
    (folder / "command.txt").write_text("".join((run / "command.txt").read_text("utf-8") for run in runs), "utf-8")
    if (run / "model" / "vocab.json").is_file():
        shutil.copy(run / "model" / "vocab.json", folder)
    if isinstance(model, Wav2Vec2ForPreTraining):
        keep_snapshots(runs[0], folder)
    log = joined_log([read_metrics(run / "metrics.jsonl") for run in runs])
    lines = ({k: v if isinstance(v, int) else float(f"{v:.{DIGITS_KEPT}g}") for k, v in line.items()} for line in log)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    save_results(folder / "evaluation.json", name, evaluate_checkpoint(name))
    (folder / "README.md").write_text(card(name, model, runs, log), encoding="utf-8")


def joined_log(logs: Sequence[list[dict[str, float]]]) -> list[dict[str, float]]:
    """The stages' lines one after the other; updates and hours are counted on from stage to stage."""
    joined: list[dict[str, float]] = []
    for log in logs:
        before = joined[-1] if joined else dict.fromkeys(COUNTED, 0)
        joined += [line | {key: before[key] + line[key] for key in COUNTED} for line in log]
    return joined


def keep_snapshots(run: Path, folder: Path) -> None:
    for update in SNAPSHOTS:
        weights = Wav2Vec2ForPreTraining.from_pretrained(run / "snapshots" / f"{update:06}").state_dict()
        kept = {key: weight.half() for key, weight in weights.items() if key.startswith(MAKES_CODES)}
        save_file(kept, folder / f"codes-{update:06}.safetensors")


def card(name: str, model: Pretrained, runs: Sequence[Path], log: list[dict[str, float]]) -> str:
    folder = SHIPPED / name
    results = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    size, kind = (folder / "model.safetensors").stat().st_size / 1e6, KINDS[type(model).__name__]
    commands = "".join(f"    {line}\n" for line in (folder / "command.txt").read_text(encoding="utf-8").splitlines())
    updates = [0, *(line["update"] for line in log)]
    spans = [after - before for before, after in pairwise(updates)]
    minutes = sum(line["seconds_per_update"] * span for line, span in zip(log, spans, strict=True)) / 60
    parameters = sum(p.numel() for p in model.parameters())
    snapshots = ""
    if isinstance(model, Wav2Vec2ForPreTraining):
        places = " and ".join(f"{update:,}" for update in SNAPSHOTS)
        snapshots = f" `codes-*.safetensors` hold feature encoder and quantizer as they were after\n{places} updates."
    return f"""# {name}

A wav2vec 2.0 of {parameters / 1e6:.2f} million parameters, {kind.purpose}.
It comes in half precision ({size:.1f} MB), and loads as `{type(model).__name__}.from_pretrained("{name}")`.

## How it was made

{commands}    python data/ship_checkpoint.py {" ".join(map(str, runs))} {name}

Seed {RunFolder(runs[-1]).load()["settings"]["seed"]}, {updates[-1]:,} updates, {log[-1]["hours_of_audio"]:.1f} hours of
audio heard, {minutes:.0f} minutes of training. The log is `metrics.jsonl`.{snapshots}

## Figures

Measured by `w2v2-teach evaluate {name}`. All of them are in `evaluation.json`.

{kind.figures(results, model.config)}

## License

Weights and card: CC BY 4.0, as the speech they were made from: synthetic, and read by volunteers for LibriVox.
"""


def pretraining_figures(results: Results, config: Wav2Vec2Config) -> str:
    trained, untrained, yardsticks = results["trained"], results["untrained"], results["yardsticks"]
    as_many = yardsticks["log-mel, as many clusters as pairs"]
    rows = (  # figure, its name in `evaluation.json`, what stands beside it
        ("people: contrastive accuracy", "human_accuracy", f"{trained['human_chance_accuracy']:.3f}, chance"),
        ("people: contrastive loss (nats)", "human_contrastive_loss", f"{trained['human_chance_loss']:.3f}, chance"),
        ("people: PNMI of the codes", "human_pnmi", f"{trained['human_pnmi_shuffled']:.3f}, codes shuffled"),
        ("people: pairs of codes in use", "human_code_tuples", ""),
        ("people: code perplexity, of {entries}", "human_usage_perplexity", ""),
        (
            "people: PNMI of 100 clusters, best layer",
            "human_best_cluster_pnmi",
            f"{yardsticks['log-mel']['cluster_pnmi']:.3f}, log-mel",
        ),
        (
            "people: linear phone probe, best layer",
            "human_best_phone_accuracy",
            f"{yardsticks['log-mel ±5 frames']['phone_accuracy']:.3f}, log-mel with ±5 frames",
        ),
        ("people: loss if attention is made even, more by (nats)", "human_even_attention_cost", ""),
        ("robot: contrastive accuracy", "accuracy", f"{trained['chance_accuracy']:.3f}, chance"),
        ("robot: PNMI of the codes", "pnmi", f"{trained['pnmi_shuffled']:.3f}, codes shuffled"),
        ("robot: code perplexity, of {entries}", "usage_perplexity", ""),
        (
            "FSDD: digits of an unseen speaker, best layer",
            "best_digit_accuracy",
            f"{yardsticks['MFCC']['digit_accuracy']:.3f}, MFCC",
        ),
    )
    entries = config.num_codevector_groups * config.num_codevectors_per_group
    lines = [
        f"| {title.format(entries=entries)} | {_short(trained[key])} | {_short(untrained[key])} | {beside} |"
        for title, key, beside in rows
    ]
    table = "\n".join(["| figure | trained | untrained | beside it |", "| --- | ---: | ---: | --- |", *lines])
    clusters = f"{as_many['cluster_pnmi']:.3f} (shuffled {as_many['cluster_pnmi_shuffled']:.3f})"
    return f"""On the four test speakers of Mini LibriSpeech and on those of the toy corpus, whom it has never heard,
and on FSDD; beside the same network before its training, and beside chance or what needs no network.

{table}

Accuracy: the true one of {config.num_negatives + 1} candidates; chance is that of the candidates drawn. PNMI: the share
of the phones' entropy that codes explain. More pairs in use raise it by themselves, which shuffled codes show; log-mel
energies in as many clusters, {as_many["clusters"]}, reach {clusters}. Clusters and phone probe learn
from other speakers than they are measured on, the digits' probe from five speakers for the sixth."""


def speaker_figures(results: Results, _config: Wav2Vec2Config) -> str:
    trained = results["trained"]
    sides = {"trained": trained, "untrained": results["untrained"], **results["yardsticks"]}
    rows = [f"| {name} | {_rate(side, '')} | {_rate(side, 'human_')} |" for name, side in sides.items()]
    errors = [
        f"{100 * trained[f'{prefix}false_accepts']:.1f} % false accepts and "
        f"{100 * trained[f'{prefix}false_rejects']:.1f} % false rejects"
        for prefix in ("", "human_")
    ]
    table = "\n".join(rows)
    return f"""| equal error rate in % | {trained["speakers"]} synthetic speakers | {trained["human_speakers"]} people |
| --- | ---: | ---: |
{table}

In brackets: the 95 % interval over speakers (bootstrap, trials recomputed). None of them was heard in the training.
All pairs within the toy corpus' test speakers ({trained["trials"]:,}), and within the dev and test speakers of Mini
LibriSpeech ({trained["human_trials"]:,}), of whom {MEASURED_SECONDS:g} s of each utterance are taken, from its middle.
Each of the people reads one chapter, in one room: whatever tells rooms and microphones apart helps here, too.
Untrained: random weights. MFCC, log-mel: cosine of mean features, standardized over the recordings.
At the threshold of the synthetic dev speakers: {errors[0]} of the synthetic, {errors[1]} of the people."""


def _rate(side: Results, prefix: str) -> str:
    """An equal error rate, with its interval where there is one."""
    low, rate, high = (100 * side.get(f"{prefix}{key}", 0) for key in ("eer_low", "eer", "eer_high"))
    return f"{rate:.1f} ({low:.1f} to {high:.1f})" if f"{prefix}eer_low" in side else f"{rate:.1f}"


def figures_of(names: dict[str, str], remark: str) -> Callable[[Results, Wav2Vec2Config], str]:
    """A table of single numbers, key → title, and a remark below it."""

    def figures(results: Results, _config: Wav2Vec2Config) -> str:
        rows = [f"| {title} | {_short(results[key])} |" for key, title in names.items()]
        return "\n".join(["| figure | |", "| --- | ---: |", *rows, "", remark])

    return figures


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}" if value > 10 else f"{value:.3f}"


KINDS = {
    "Wav2Vec2ForPreTraining": Kind(
        "pre-trained without labels on the train speakers\nof the toy corpus and of Mini LibriSpeech",
        pretraining_figures,
    ),
    "Wav2Vec2ForCTC": Kind(
        "fine-tuned from `tiny-pretrained` to transcribe the\ntrain speakers of the toy corpus and of Mini LibriSpeech",
        figures_of(
            {
                "human_cer": "people: character error rate, greedy",
                "human_wer": "people: word error rate, greedy",
                "human_beam_wer": "people: word error rate, beam search with a word trigram model",
                "human_confidence_error": "people: expected calibration error of a word's confidence",
                "wer": "robot: word error rate, greedy",
                "cer": "robot: character error rate, greedy",
                "beam_wer": "robot: word error rate, beam search with a word trigram model",
                "confidence_error": "robot: expected calibration error of a word's confidence",
                "median_boundary_error": "robot: median error of a word boundary (s)",
                "fsdd_accuracy": "FSDD: the likeliest of ten digits",
                "fsdd_most_frequent": "FSDD: always the most frequent digit",
            },
            "On the test speakers of Mini LibriSpeech and of the toy corpus, whom it has never heard, and on all of\n"
            "FSDD. Without a word, error rates would be 1. The trigram models come from the transcripts of each\n"
            "corpus' train speakers. Boundaries: forced alignment against the corpus' exact word times. FSDD: the\n"
            "digit that CTC finds likeliest. Confidence: its temperature was fitted on the dev speakers.",
        ),
    ),
    "Wav2Vec2ForSpeakerVerification": Kind(
        "fine-tuned from `tiny-pretrained` to tell the train\nspeakers of the toy corpus and of Mini LibriSpeech apart",
        speaker_figures,
    ),
    "Wav2Vec2ForSequenceClassification": Kind(
        "fine-tuned from `tiny-pretrained` to know twenty words that\n"
        "the train speakers of the toy corpus and of Mini LibriSpeech say",
        figures_of(
            {
                "accuracy": "toy corpus: accuracy",
                "chance": "share of the commonest word",
                "words": "words",
                "human_accuracy": "Mini LibriSpeech: accuracy",
                "human_chance": "share of the commonest word",
                "human_words": "words",
                "fsdd_accuracy": "FSDD's digits: accuracy",
                "fsdd_chance": "share of the commonest digit",
                "fsdd_words": "recordings",
            },
            "On keywords cut from the sentences of both corpora's test speakers, and on FSDD's digits by six people.\n"
            "It has heard none of them, and all twenty words are open to it everywhere. `benchmarks/keywords.json`\n"
            "has what the recipe reaches on each of FSDD's people after it has heard the other five.",
        ),
    ),
}

if __name__ == "__main__":
    *paths, shipped_as = sys.argv[1:]
    main([Path(path) for path in paths], shipped_as)
