"""How few labels suffice after pre-training, and what each part of a fine-tuning recipe is worth: word error rates.

    python benchmarks/finetuning.py labels      # or: make label_efficiency
    python benchmarks/finetuning.py recipes     # or: make recipes

Every run is `w2v2-teach finetune asr …` in a folder of its own below runs/finetuning, on one thread, two at a time. A
finished run is not repeated, an interrupted one goes on where it was. Results: benchmarks/finetuning_*.json, written
anew after every run.
"""

import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import torch

from w2v2_teach.course.environment import versions
from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.decoding.transcription import Recognizer
from w2v2_teach.files import replacing
from w2v2_teach.speech.corpora import toy_speech
from w2v2_teach.tasks.asr import recognition_metrics
from w2v2_teach.tasks.finetuning import SCRATCH

RUNS = Path("runs/finetuning")
SEEDS = 0, 1, 2
RESULT = "result.json"
AT_ONCE = 2
PRETRAINED = "tiny-pretrained"
METRICS = {"wer": "WER greedy", "cer": "CER greedy", "beam_wer": "WER beam + n-gram", "beam_cer": "CER beam + n-gram"}
ALL = 0.0  # minutes: all there are

# Updates by minutes of labels: more labels are worth more updates. Warm-up, hold and decay keep their shares.
UPDATES = {1.0: 300, 3.0: 700, 10.0: 700, ALL: 700}
NOTHING_FROZEN = ("--no-freeze-encoder", "--freeze-context-updates", "0")  # random weights have nothing worth keeping


class Run(NamedTuple):
    """One training: its row in the table, and what the command line is told."""

    row: str
    start: str
    minutes: float
    seed: int
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Runs of both tables that are the same share one."""
        name = "-".join([self.start, f"{self.minutes:g}", str(self.seed), *self.options])
        return RUNS / name.replace("---", "--").replace(" ", "_")

    @property
    def command(self) -> list[str]:
        updates = UPDATES[self.minutes]
        schedule = {"updates": updates, "warmup-updates": updates // 10, "hold-updates": 4 * updates // 10}
        words = ["finetune", "asr", "--from", self.start, "--out", str(self.folder), "--seed", str(self.seed)]
        words += [word for name, value in schedule.items() for word in (f"--{name}", str(value))]
        words += ["--minutes", f"{self.minutes:g}"] if self.minutes else []
        return [*words, "--batch-size", "8", "--evaluate-every", str(updates), *self.options]


def label_runs() -> list[Run]:
    return [
        Run("labels", start, minutes, seed, NOTHING_FROZEN if start == SCRATCH else ())
        for seed in SEEDS
        for minutes in UPDATES
        for start in (PRETRAINED, SCRATCH)
    ]


def recipe_runs() -> list[Run]:
    slanted = ("--hold-updates", "0", "--rate-floor", "0.03125")
    recipes = {
        "the paper's": (),
        "nothing frozen": NOTHING_FROZEN,
        "no masks": ("--mask-time-prob", "0", "--mask-feature-prob", "0"),
        "slanted triangle": slanted,
        "discriminative rates": ("--rate-decay", "0.385"),
        "gradual unfreezing": ("--unfreeze-every", "50"),
        "ULMFiT, all three": (*slanted, "--rate-decay", "0.385", "--unfreeze-every", "50"),
    }
    return [Run(row, PRETRAINED, 3.0, seed, options) for seed in SEEDS for row, options in recipes.items()]


def finish(run: Run) -> Run:
    """Train what is not trained, and measure what is not measured."""
    if not (run.folder / "model").is_dir():
        resume = ["--resume"] if (run.folder / "state.pt").is_file() else []
        command = [sys.executable, "-m", "w2v2_teach.cli", *run.command, *resume]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if not (run.folder / RESULT).is_file():
        with replacing(run.folder / RESULT) as partial:
            partial.write_text(json.dumps(measured(run)), encoding="utf-8")
    return run


def result_of(run: Run) -> dict[str, object]:
    """What a finished run was, and its error rates."""
    rates = json.loads((run.folder / RESULT).read_text(encoding="utf-8"))
    return {**run._asdict(), "command": f"w2v2-teach {' '.join(run.command)}", **rates}


def measured(run: Run) -> dict[str, float]:
    """Error rates on the test speakers; the n-gram model knows the sentences of all train utterances."""
    corpus = toy_speech()
    recognizer = Recognizer.from_pretrained(run.folder / "model")
    language_model = NGramModel.from_texts([utterance.text for utterance in corpus.split("train")])
    return recognition_metrics(recognizer.model, recognizer.vocabulary, corpus.split("test"), language_model)


def summary(results: list[dict[str, object]]) -> list[dict[str, object]]:
    """Mean, least and most over the seeds that are done, a line for each kind of run."""
    kinds = list(dict.fromkeys((r["row"], r["start"], r["minutes"]) for r in results))
    lines = []
    for kind in kinds:
        own = [r for r in results if (r["row"], r["start"], r["minutes"]) == kind]
        line = {**dict(zip(("row", "start", "minutes"), kind, strict=True)), "seeds": [r["seed"] for r in own]}
        for name in METRICS:
            rates = [r[name] for r in own]
            line[name] = {"mean": statistics.mean(rates), "min": min(rates), "max": max(rates)}
        lines.append(line)
    return lines


def table(lines: list[dict[str, object]]) -> str:
    rows = [["", "start", "minutes", "seeds", *METRICS.values()], ["---"] * (4 + len(METRICS))]
    for line in lines:
        rates = ("{mean:.1%} ({min:.1%} to {max:.1%})".format(**line[name]) for name in METRICS)
        minutes = f"{line['minutes']:g}" if line["minutes"] else "all"
        rows.append([line["row"], line["start"], minutes, len(line["seeds"]), *rates])
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def main(which: str) -> None:
    torch.set_num_threads(1)
    runs = {"labels": label_runs, "recipes": recipe_runs}[which]()
    done: list[Run] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for job in as_completed([pool.submit(finish, run) for run in runs]):
            done.append(job.result())
            results = [result_of(run) for run in runs if run in done]
            content = {"machine": versions(), "summary": summary(results), "runs": results}
            with replacing(Path(__file__).with_name(f"finetuning_{which}.json")) as partial:
                partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"Error rates on four unseen speakers: mean (least to most) over the seeds\n\n{table(summary(results))}")


if __name__ == "__main__":
    main(sys.argv[1])
