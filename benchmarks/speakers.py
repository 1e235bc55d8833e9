"""Who speaks: ArcFace beside a plain softmax, and beside what the pre-trained model knows without training.

    python benchmarks/speakers.py      # or: make speakers

Each run is the task of `w2v2-teach finetune speaker` with another loss or seed, on one thread, in a folder of its own
below runs/speakers; a finished run is not repeated, an interrupted one goes on where it was. Results:
benchmarks/speakers.json.
"""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from w2v2_teach.batching import padded_batches
from w2v2_teach.corpus import Corpus, fsdd, toy_speech
from w2v2_teach.display import versions
from w2v2_teach.encoder_memory import EncoderMemory
from w2v2_teach.files import replacing
from w2v2_teach.heads import Wav2Vec2ForSpeakerVerification, statistics_pooling
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speakers import SpeakerRecognition, evaluate_speaker_model, speaker_trials
from w2v2_teach.trainer import Trainer
from w2v2_teach.verification import Trials, all_pairs, detection_errors, equal_error_rate

RUNS = Path("runs/speakers")
RESULT = Path(__file__).with_suffix(".json")
PRETRAINED = "tiny-pretrained"
SEEDS = 0, 1, 2
LOSSES = {
    "softmax": {"arcface": False},
    "ArcFace without margin": {"margin": 0.0},
    "ArcFace": {},
}
POINTS = 80  # of a DET curve that are kept


def trained(name: str, seed: int, memory: EncoderMemory, train: Corpus, dev: Corpus) -> Wav2Vec2ForSpeakerVerification:
    """The model of one run; trains where that has not been done."""
    folder = RUNS / f"{name.replace(' ', '_')}-{seed}"
    if not (folder / "model").is_dir():
        recipe = SpeakerRecognition.recipes["tiny"]
        settings = replace(recipe, **LOSSES[name], seed=seed, workers=0, evaluate_every=recipe.updates)
        task = SpeakerRecognition.begin(PRETRAINED, settings, train, dev)
        memory.attach(task.model.wav2vec2)  # all runs have one frozen encoder, and hear the same
        trainer = Trainer(task, settings, folder)
        trainer.start(resume=(folder / "state.pt").is_file())
        trainer.train()
    model = Wav2Vec2ForSpeakerVerification.from_pretrained(folder / "model")
    memory.attach(model.wav2vec2)
    return model


@torch.no_grad()
def untrained(memory: EncoderMemory, corpus: Corpus) -> list[Trials]:
    """Pairs compared by the pooled frames of the pre-trained model, one list entry for each of its layers."""
    model = Wav2Vec2Model.from_pretrained(PRETRAINED)
    memory.attach(model)
    found = {}
    for batch in padded_batches(corpus):
        output = model(batch.input_values, batch.attention_mask, output_hidden_states=True)
        pooled = torch.stack([statistics_pooling(x, output.frame_mask) for x in output.hidden_states], dim=1)
        found |= dict(zip(batch.ids, pooled.numpy(), strict=True))
    pooled = np.stack([found[utterance.id] for utterance in corpus])  # (n, layers + 1, 2 D)
    return [all_pairs(pooled[:, layer], [u.speaker for u in corpus]) for layer in range(pooled.shape[1])]


def curve(trials: Trials) -> dict[str, list[float]]:
    """A DET curve, thinned."""
    errors = detection_errors(trials)
    kept = np.unique(np.linspace(0, len(errors.thresholds) - 1, 20 * POINTS).astype(int))
    kept = kept[np.unique(np.round(POINTS * errors.false_rejects[kept]), return_index=True)[1]]
    return {name: [round(float(x), 5) for x in getattr(errors, name)[kept]] for name in errors._fields[1:]}


def main() -> None:
    torch.set_num_threads(1)
    toy, people, memory = toy_speech(), fsdd(), EncoderMemory()
    train, dev, test = (toy.split(name) for name in ("train", "dev", "test"))
    layers = [equal_error_rate(detection_errors(trials))[0] for trials in untrained(memory, test)]
    content = {"machine": versions(), "pretrained_eer_by_layer": layers, "runs": [], "summary": {}, "curves": {}}
    for name in LOSSES:
        for seed in SEEDS:
            model = trained(name, seed, memory, train, dev)
            content["runs"].append({"loss": name, "seed": seed, **evaluate_speaker_model(model, dev, test, people)})
            if seed == SEEDS[0]:
                content["curves"][name] = curve(speaker_trials(model, test))
        for key in ("eer", "people_eer"):
            rates = [run[key] for run in content["runs"] if run["loss"] == name]
            line = {"mean": statistics.mean(rates), "spread": max(rates) - min(rates)}
            content["summary"].setdefault(name, {})[key] = line
        with replacing(RESULT) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(content))


def table(content: dict) -> str:
    trials = content["runs"][0]["trials"]
    lines = [f"Equal error rates in % on four unseen speakers ({trials:,} pairs) and on FSDD's six people;"]
    lines += [f"mean of {len(SEEDS)} seeds ± half the spread", "", "| | toy test | FSDD |", "| --- | ---: | ---: |"]
    best = min(content["pretrained_eer_by_layer"])
    lines.append(f"| pooled features of the best layer, no training | {100 * best:.1f} | |")
    for name, line in content["summary"].items():
        rates = (f"{100 * line[k]['mean']:.1f} ± {50 * line[k]['spread']:.1f}" for k in ("eer", "people_eer"))
        lines.append(f"| {name} | {' | '.join(rates)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
