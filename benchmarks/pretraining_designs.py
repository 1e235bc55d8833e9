"""Which design of TINY learns most of human speech: equal budgets on both corpora, measured on the dev speakers.

    python benchmarks/pretraining_designs.py [UPDATES]      # or: make pretraining_designs; 1,000 if not given

Every run has a folder of its own below runs/pretraining_designs. A finished run is not repeated, an interrupted one
goes on where it was. One seed a row: differences below a point or two decide nothing. Needs Mini LibriSpeech. Results:
benchmarks/pretraining_designs.json, written anew after every run.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.analysis.layers import frame_states, layer_outputs
from w2v2_teach.analysis.probes import cluster_phones, phone_probe
from w2v2_teach.config import TINY
from w2v2_teach.course.environment import versions
from w2v2_teach.files import replacing
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.by_name import train_and_dev, with_phones
from w2v2_teach.speech.mini_librispeech import mini_librispeech
from w2v2_teach.tasks.evaluation import LEARN_FRAMES, LEARN_MINUTES, contrastive_metrics, even_attention_cost
from w2v2_teach.tasks.pretraining import RECIPES, Pretraining
from w2v2_teach.training.trainer import Trainer

RUNS = Path("runs/pretraining_designs")
RESULTS = Path(__file__).with_suffix(".json")
UPDATES = 1_000
SEED = 0
SHARES = 1.0, 3.0  # of a batch: toy, human


@dataclass(frozen=True)
class Design:
    """One row of the table: what differs from TINY, from its recipe, and at the start."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    centered: bool = (
        False  # are the codebooks' entries, drawn from U(0, 1), moved to the middle before the first update?
    )
    start: str | None = None  # the checkpoint that the run begins with
    corpora: tuple[str, ...] = ("toy", "mini-librispeech")


SMALL = {"hidden_size": 256, "num_hidden_layers": 6, "intermediate_size": 1024}
DESIGNS = [
    Design("as shipped, both corpora"),
    Design("from the toy corpus' model", start="tiny-pretrained"),
    Design("M = 10", {"mask_time_length": 10}),
    Design("positional kernel 16", {"num_conv_pos_embeddings": 16}),
    Design("positional kernel 8", {"num_conv_pos_embeddings": 8}),
    Design("positional kernel 8, M = 10", {"num_conv_pos_embeddings": 8, "mask_time_length": 10}),
    Design("pre-norm", {"do_stable_layer_norm": True}),
    Design("speed ±10 %", settings={"speed": 0.1}),
    Design("centered codebooks", centered=True),
    Design("crops of 4 s, 8 of them", settings={"crop_seconds": 4.0, "batch_size": 8}),
    Design("8 layers", {"num_hidden_layers": 8}),
    Design("8 layers of width 112", {"hidden_size": 112, "num_hidden_layers": 8, "intermediate_size": 448}),
    Design("group norm in the encoder, as in BASE", {"feat_extract_norm": "group"}),
    Design("SMALL: 6 layers of width 256", SMALL),
    Design("human speech alone", corpora=("mini-librispeech",)),
]


def result_of(design: Design, updates: int) -> dict[str, Any]:
    """The result of one run: read where it is finished, else trained and measured."""
    folder = RUNS / f"{design.name}, {updates}".replace(" ", "_")
    file = folder / "result.json"
    if not file.is_file():
        task = begin(design, updates)
        trainer = Trainer(task, task.settings, folder)
        trainer.start(resume=(folder / "state.pt").is_file())
        trainer.train()
        result = {"settings": asdict(task.settings), "metrics": measured(task.model)}
        with replacing(file) as partial:
            partial.write_text(json.dumps(result), encoding="utf-8")
    return {"design": design.name, **json.loads(file.read_text(encoding="utf-8"))}


def begin(design: Design, updates: int) -> Pretraining:
    """The model, fresh or from a checkpoint, and what it learns from."""
    recipe = replace(
        RECIPES["tiny"],
        updates=updates,
        crop_seconds=1.9,  # below the shortest utterance, so that all batches are of one shape
        seed=SEED,
        workers=0,
        evaluate_every=updates,
        save_every=50,
    )
    train, dev = train_and_dev(*design.corpora)
    shares = SHARES[: len(design.corpora)] if len(design.corpora) > 1 else ()
    settings = replace(recipe, **{"shares": shares, **design.settings})
    task = Pretraining(replace(TINY, **design.config), settings, train, dev)
    if design.start is not None:
        task.start_from(design.start)
    if design.centered:
        codevectors = task.model.quantizer.codevectors.data  # (1, G·V, d/G)
        codevectors -= codevectors.mean(dim=1, keepdim=True)
    return task


def measured(model: Wav2Vec2ForPreTraining) -> dict[str, float]:
    """Contrastive task, codes and layers on the human dev speakers; clusters and probes come from train speakers."""
    human = with_phones(mini_librispeech())
    learn, dev = human.split("train").minutes(LEARN_MINUTES), human.split("dev")
    metrics = contrastive_metrics(model, dev) | codebook_metrics(model, dev)
    metrics["even_attention_cost"] = even_attention_cost(model, dev, metrics["contrastive_loss"])
    found = frame_states(layer_outputs(model.wav2vec2, learn), LEARN_FRAMES)
    heard = frame_states(layer_outputs(model.wav2vec2, dev))
    for name in found.layers:
        x, y = found.layers[name], heard.layers[name]
        metrics[f"cluster_pnmi, {name}"] = cluster_phones(x, y, heard.labels).pnmi
        metrics[f"phone_accuracy, {name}"] = phone_probe(x, found.labels, y, heard.labels)
    for measure in ("cluster_pnmi", "phone_accuracy"):
        metrics[f"best {measure}"] = max(value for name, value in metrics.items() if name.startswith(f"{measure}, "))
    return metrics


def table(results: list[dict[str, Any]]) -> str:
    """Markdown, one row a design."""
    columns = (
        "accuracy", "chance_accuracy", "pnmi", "pnmi_shuffled", "code_tuples", "usage_perplexity",
        "best cluster_pnmi", "best phone_accuracy", "even_attention_cost",
    )  # fmt: skip
    rows = [["", *columns], ["---"] * (1 + len(columns))]
    rows += [[r["design"], *(f"{r['metrics'][c]:.4g}" for c in columns)] for r in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else UPDATES
    results = []
    for design in DESIGNS:
        results.append(result_of(design, updates))
        content = {"machine": versions(), "updates": updates, "seed": SEED, "threads": torch.get_num_threads()}
        with replacing(RESULTS) as partial:
            partial.write_text(json.dumps({**content, "runs": results}, indent=1) + "\n", encoding="utf-8")
    print(f"On the four human dev speakers, after {updates:,} updates\n\n{table(results)}")


if __name__ == "__main__":
    main()
