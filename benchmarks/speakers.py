"""Who speaks: ArcFace beside a plain softmax, and beside what the pre-trained model knows without training.

    python benchmarks/speakers.py      # or: make speakers

What is compared is the loss, so that only the head learns: on statistics that the frozen model has pooled once, over
random pieces of every train utterance. On one thread this takes minutes. Results: benchmarks/speakers.json.
"""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.analysis.verification import Trials, all_pairs, detection_errors, equal_error_rate
from w2v2_teach.course.environment import versions
from w2v2_teach.files import replacing
from w2v2_teach.heads import Wav2Vec2ForSpeakerVerification, statistics_pooling
from w2v2_teach.losses import arcface_loss
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.batching import padded_batches
from w2v2_teach.speech.corpora import Corpus, toy_speech
from w2v2_teach.speech.published import fsdd
from w2v2_teach.tasks.speakers import SpeakerRecognition, speaker_trials

RESULT = Path(__file__).with_suffix(".json")
PRETRAINED = "tiny-pretrained"
RECIPE = SpeakerRecognition.recipes["tiny"]
SEEDS = 0, 1, 2
MARGINS = {
    "softmax": None,
    "cosines, m = 0": 0.0,
    "ArcFace, m = 0.2": 0.2,
    "ArcFace, m = 0.5": 0.5,
    "ArcFace, m = 1": 1.0,
}
PIECES, FRAMES = 6, 74  # of each utterance, and how long one is: 1.5 s
UPDATES, BATCH, RATE = 600, 64, 2e-3
POINTS = 80  # of a DET curve that are kept


def new_model(seed: int, train: Corpus, dev: Corpus) -> Wav2Vec2ForSpeakerVerification:
    """A head on the pre-trained model, which mixes its input and its lowest layer in equal parts."""
    task = SpeakerRecognition.begin(PRETRAINED, replace(RECIPE, seed=seed), train, dev)
    return task.model


@torch.no_grad()
def pieces(model: Wav2Vec2ForSpeakerVerification, corpus: Corpus) -> tuple[Tensor, Tensor]:
    """(n, 2 D) statistics of random pieces of the utterances, and (n,) who speaks."""
    model.eval()
    generator, names = torch.Generator().manual_seed(0), model.config.labels
    rows, labels = [], []
    for batch in padded_batches(corpus, model.config):
        x, frame_mask = model.layer_sum(batch.input_values, batch.attention_mask)  # (B, T, D), (B, T)
        lengths, frames = frame_mask.sum(dim=1), torch.arange(x.shape[1])  # (B,), (T,)
        for _ in range(PIECES):
            start = (torch.rand(len(lengths), generator=generator) * (lengths - FRAMES)).long()[:, None]  # (B, 1)
            rows.append(statistics_pooling(x, (frames >= start) & (frames < start + FRAMES)))
            labels += [names.index(utterance.speaker) for utterance in batch.utterances]
    return torch.cat(rows), torch.tensor(labels)


def train_head(model: Wav2Vec2ForSpeakerVerification, x: Tensor, labels: Tensor, margin: float | None) -> None:
    """Teach norm, embedding and class weights; without a margin by the softmax over dot products."""
    model.train()
    learned = [*model.embedding.parameters(), model.class_weights]
    optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=RECIPE.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda u: min(1, 2 * (1 - u / UPDATES)))
    for _ in range(UPDATES):
        drawn = torch.randint(len(x), (BATCH,))
        embeddings = model.embedding(model.dropout(model.norm(x[drawn])))  # (B, E)
        if margin is None:
            loss = F.cross_entropy(embeddings @ model.class_weights.T, labels[drawn], reduction="sum")
        else:
            loss = arcface_loss(embeddings, model.class_weights, labels[drawn], margin, RECIPE.scale)
        optimizer.zero_grad()
        (loss / BATCH).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def untrained(corpus: Corpus) -> list[Trials]:
    """Pairs compared by the pooled frames of the pre-trained model, one list entry for each of its layers."""
    model = Wav2Vec2Model.from_pretrained(PRETRAINED)
    found = {}
    for batch in padded_batches(corpus, model.config):
        output = model(batch.input_values, batch.attention_mask, output_hidden_states=True)
        pooled = torch.stack([statistics_pooling(x, output.frame_mask) for x in output.hidden_states], dim=1)
        found |= dict(zip(batch.ids, pooled.numpy(), strict=True))
    pooled = np.stack([found[utterance.id] for utterance in corpus])  # (n, layers + 1, 2 D)
    return [all_pairs(pooled[:, layer], [u.speaker for u in corpus]) for layer in range(pooled.shape[1])]


def curve(trials: Trials) -> dict[str, list[float]]:
    """A DET curve, thinned so that its points lie evenly between few false accepts and few false rejects."""
    errors = detection_errors(trials)
    along = np.log((errors.false_rejects + 1e-4) / (errors.false_accepts + 1e-4))  # rises with the threshold
    kept = np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], POINTS)))
    return {name: [round(float(x), 5) for x in getattr(errors, name)[kept]] for name in errors._fields[1:]}


def main() -> None:
    torch.set_num_threads(1)
    toy, human = toy_speech(), fsdd().split("test")
    train, dev, test = (toy.split(name) for name in ("train", "dev", "test"))
    layers = [equal_error_rate(detection_errors(trials))[0] for trials in untrained(test)]
    model = new_model(0, train, dev)
    x, labels = pieces(model, train)
    content = {"machine": versions(), "pretrained_eer_by_layer": layers, "runs": [], "summary": {}, "curves": {}}
    for name, margin in MARGINS.items():
        for seed in SEEDS:
            model = new_model(seed, train, dev)
            train_head(model, x, labels, margin)
            trials = {key: speaker_trials(model, speech) for key, speech in (("eer", test), ("fsdd_eer", human))}
            rates = {key: equal_error_rate(detection_errors(t))[0] for key, t in trials.items()}
            content["runs"].append({"loss": name, "seed": seed, "trials": len(trials["eer"].scores), **rates})
            if seed == SEEDS[0]:
                content["curves"][name] = curve(trials["eer"])
        content["summary"][name] = summary([run for run in content["runs"] if run["loss"] == name])
    with replacing(RESULT) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(content))


def summary(runs: list[dict]) -> dict[str, dict[str, float]]:
    """Mean and spread (largest minus smallest) over the seeds."""
    rates = {key: [run[key] for run in runs] for key in ("eer", "fsdd_eer")}
    return {key: {"mean": statistics.mean(r), "spread": max(r) - min(r)} for key, r in rates.items()}


def table(content: dict) -> str:
    trials = content["runs"][0]["trials"]
    lines = [f"Equal error rates in % on four unseen speakers ({trials:,} pairs) and on FSDD's six people;"]
    lines += [f"mean of {len(SEEDS)} seeds ± half the spread", "", "| | toy test | FSDD |", "| --- | ---: | ---: |"]
    best = min(content["pretrained_eer_by_layer"])
    lines.append(f"| pooled features of the best layer, no training | {100 * best:.1f} | |")
    for name, line in content["summary"].items():
        rates = (f"{100 * line[k]['mean']:.1f} ± {50 * line[k]['spread']:.1f}" for k in ("eer", "fsdd_eer"))
        lines.append(f"| {name} | {' | '.join(rates)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
