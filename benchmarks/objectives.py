"""The paper's ablations in miniature, and the other objectives: MICRO, a few hundred updates each, three seeds.

    python benchmarks/objectives.py      # or: make objectives

Every run has a folder of its own below runs/objectives. A finished run is not repeated, an interrupted one goes on
where it was. Results: benchmarks/objectives.json, written anew after every run.
"""

import json
import math
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans

from w2v2_teach.analysis.information import count_pairs, phone_normalized_mutual_information
from w2v2_teach.analysis.layers import frame_states, layer_outputs
from w2v2_teach.analysis.probes import CLUSTERS, linear_probe
from w2v2_teach.config import MICRO, Wav2Vec2Config
from w2v2_teach.course.environment import versions
from w2v2_teach.files import replacing
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.speech.corpora import Corpus, toy_speech
from w2v2_teach.tasks.evaluation import contrastive_metrics
from w2v2_teach.tasks.objectives import OBJECTIVES, PretrainingVariant
from w2v2_teach.tasks.pretraining import RECIPES, Pretraining
from w2v2_teach.training.trainer import Trainer

RUNS = Path("runs/objectives")
RESULTS = Path(__file__).with_suffix(".json")
SEEDS = 0, 1, 2
UPDATES = 400
FRAMES = 8_000  # whose context vectors are probed
COLLAPSE_UPDATES = 100  # where the quantizer is trained jointly, there is nothing to see later
TASKS = {**OBJECTIVES, "masked": PretrainingVariant}
EXAM = {"mask_time_length": MICRO.mask_time_length, "num_negatives": MICRO.num_negatives}  # the same for all M and K


class Kind(NamedTuple):
    """One row of a table: what is trained, and what differs from MICRO."""

    name: str
    objective: str  # a key of TASKS
    changes: dict[str, Any]
    updates: int = UPDATES


CAUSAL = {"causal": True}
KINDS = [
    Kind("masked", "masked", {}),
    Kind("next-step, k = 1 to 12", "next-step", CAUSAL),
    Kind("next-token", "next-token", CAUSAL),
    Kind("untrained", "masked", {}, 0),
    Kind("untrained, causal", "next-step", CAUSAL, 0),
    Kind("quantized inputs", "masked", {"quantize_inputs": True}),
    Kind("joint quantizer, α = 0", "joint-next-token", {**CAUSAL, "diversity_loss_weight": 0.0}, COLLAPSE_UPDATES),
    Kind("joint quantizer, α = 0.1", "joint-next-token", CAUSAL, COLLAPSE_UPDATES),
    Kind("continuous targets", "masked", {"quantize_targets": False}),
    Kind("α = 0", "masked", {"diversity_loss_weight": 0.0}),
    Kind("M = 10", "masked", {"mask_time_length": 10}),
    Kind("next-step, k = 1", "next-step", {**CAUSAL, "prediction_steps": (1,)}),
    Kind("K = 10", "masked", {"num_negatives": 10}),
    Kind("α = 1", "masked", {"diversity_loss_weight": 1.0}),
    Kind("quantized inputs, continuous targets", "masked", {"quantize_inputs": True, "quantize_targets": False}),
    Kind("next-step, k = 8", "next-step", {**CAUSAL, "prediction_steps": (8,)}),
]


def result_of(kind: Kind, seed: int) -> dict[str, Any]:
    """The result of one run: read where it is finished, else trained and measured on the dev speakers."""
    folder = RUNS / f"{kind.name}, seed {seed}".replace(" ", "_")
    file = folder / "result.json"
    if not file.is_file():
        settings = replace(
            RECIPES["micro"],
            updates=max(RECIPES["micro"].warmup_updates, kind.updates),
            seed=seed,
            log_every=20,
            evaluate_every=UPDATES,
            save_every=50,
        )
        corpus, config = toy_speech(), replace(MICRO, **kind.changes)
        task = TASKS[kind.objective](config, settings, corpus.split("train"), corpus.split("dev"))
        if kind.updates:
            trainer = Trainer(task, settings, folder)
            trainer.start(resume=(folder / "state.pt").is_file())
            trainer.train()
        result = {"settings": asdict(settings), "metrics": measured(task)}
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_text(json.dumps(result), encoding="utf-8")
    return {"kind": kind.name, "seed": seed, **json.loads(file.read_text(encoding="utf-8"))}


def measured(task: Pretraining) -> dict[str, float]:
    """Its own task on the dev speakers; an exam that is the same for all M and K; what the contexts know."""
    metrics = task.evaluate()
    if isinstance(task.model, Wav2Vec2ForPreTraining):
        own: Wav2Vec2Config = task.model.config
        task.model.config = replace(own, **EXAM)
        metrics["exam_accuracy"] = contrastive_metrics(task.model, task.dev)["accuracy"]
        task.model.config = own
    return metrics | context_metrics(task.model.wav2vec2, task.dev)


def context_metrics(model: Wav2Vec2Model, corpus: Corpus) -> dict[str, float]:
    """Accuracy of a linear phone probe on held-out speakers, the commonest phone's share, PNMI of k-means clusters."""
    drawn = frame_states(layer_outputs(model, corpus), FRAMES)
    contexts = drawn.layers[f"layer {model.config.num_hidden_layers}"]  # (N, D)
    clusters = KMeans(CLUSTERS, n_init=1, random_state=0).fit_predict(contexts)  # (N,)
    counts, _, _ = count_pairs(drawn.labels, clusters)
    return {
        "phone_accuracy": float(np.mean(list(linear_probe(contexts, drawn.labels, drawn.speakers).values()))),
        "majority": float(counts.sum(axis=1).max() / counts.sum()),
        "cluster_pnmi": phone_normalized_mutual_information(counts),
    }


def summary(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each kind and metric the mean over the seeds, the smallest and the largest."""
    lines = []
    for kind in KINDS:
        own = [result["metrics"] for result in results if result["kind"] == kind.name]
        if own:
            values = {name: [metrics[name] for metrics in own] for name in own[0]}
            spread = {n: {"mean": statistics.mean(v), "min": min(v), "max": max(v)} for n, v in values.items()}
            lines.append({**kind._asdict(), "seeds": len(own), "metrics": spread})
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    columns = ("accuracy", "exam_accuracy", "pnmi", "cluster_pnmi", "phone_accuracy")
    rows = [["", "seeds", *columns], ["---"] * (2 + len(columns))]
    for line in lines:
        values = (line["metrics"].get(name) for name in columns)
        cells = (f"{v['mean']:.3f} ({v['min']:.3f} to {v['max']:.3f})" if v else "" for v in values)
        rows.append([line["name"], str(line["seeds"]), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    torch.set_num_threads(1)
    results = []
    for seed in SEEDS:  # so that each kind has one result before any has two
        for kind in KINDS:
            results.append(result_of(kind, seed))
            content = {
                "machine": versions(), "updates": UPDATES, "seeds": SEEDS, "guess": 1 / (1 + MICRO.num_negatives),
                "nats": math.log(1 + MICRO.num_negatives), "summary": summary(results), "runs": results,
            }  # fmt: skip
            with replacing(RESULTS) as partial:
                partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"On four unseen speakers: mean of the seeds (smallest to largest)\n\n{table(summary(results))}")


if __name__ == "__main__":
    main()
