"""Which word: twenty keywords by unseen speakers, and the digits of six people, each by models that never heard them.

    python benchmarks/keywords.py [SEEDS]      # or: make keywords; how many seeds, 1 if not given

Leave one speaker out on FSDD: fine-tuned from the pre-trained model, beside the same network from random weights, and a
logistic regression of MFCCs. The networks hear digits of the toy corpus and of Mini LibriSpeech's train speakers beside
the five people, and nothing above 4 kHz, as FSDD was recorded at 8 kHz. Each training is the task of `w2v2-teach
finetune keyword`, on one thread, in a folder of its own below runs/keywords; a finished one is not repeated, an
interrupted one goes on where it was. Results: benchmarks/keywords.json, written anew after every training.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from w2v2_teach.analysis.layers import layer_outputs, utterance_means
from w2v2_teach.analysis.probes import linear_probe, phone_probe
from w2v2_teach.analysis.yardsticks import mfcc
from w2v2_teach.course.environment import versions
from w2v2_teach.files import replacing
from w2v2_teach.heads import Wav2Vec2ForSequenceClassification
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.by_name import joined, train_and_dev
from w2v2_teach.speech.corpora import DIGITS, Corpus, toy_speech
from w2v2_teach.speech.published import fsdd
from w2v2_teach.tasks.finetuning import SCRATCH
from w2v2_teach.tasks.keywords import KEYWORDS, KeywordSpotting, cut_keywords, predicted_words
from w2v2_teach.training.trainer import Trainer

RUNS = Path("runs/keywords")
RESULT = Path(__file__).with_suffix(".json")
PRETRAINED = "tiny-pretrained"
STARTS = {"fine-tuned": PRETRAINED, "from scratch": SCRATCH}
SHARES = 2.0, 1.0, 1.0  # of a batch: five people of FSDD, toy corpus, Mini LibriSpeech
CHANGES = {"updates": 600, "warmup_updates": 50, "hold_updates": 250, "narrowband": 1.0, "shares": SHARES}
PARTS = 5  # of a word, of which the logistic regression hears the mean MFCCs
DRAWS = 10_000  # of the six speakers, for the interval of their mean


def one_out(method: str, speaker: str, seed: int, digits: Corpus, more: list[Corpus]) -> dict:
    """How a model that was trained on the other people does on one: read from its file, or trained and measured."""
    folder = RUNS / f"{method}, {speaker}, {seed}".replace(" ", "_")
    file = folder / "result.json"
    if not file.is_file():
        own = Corpus(speaker, [u for u in digits if u.speaker == speaker])
        others = Corpus(f"all but {speaker}", [u for u in digits if u.speaker != speaker])
        recipe = replace(KeywordSpotting.recipes["tiny"], seed=seed, workers=0, save_every=100, **CHANGES)
        settings = replace(recipe, evaluate_every=recipe.updates)
        task = KeywordSpotting.begin(STARTS[method], settings, joined([others, *more]), Corpus("some", own[::25]))
        trainer = Trainer(task, settings, folder)
        trainer.start(resume=(folder / "state.pt").is_file())
        trainer.train()
        with replacing(file) as partial:
            partial.write_text(json.dumps(result(task.model, own, DIGITS)), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def result(model: Wav2Vec2ForSequenceClassification, corpus: Corpus, labels: tuple[str, ...]) -> dict:
    """Accuracy, how often each word was taken for each, and the weights of the layers."""
    words, predicted = [u.text for u in corpus], predicted_words(model, corpus)
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for word, other in zip(words, predicted, strict=True):
        counts[labels.index(word), labels.index(other)] += 1
    return {
        "accuracy": float(np.mean([w == o for w, o in zip(words, predicted, strict=True)])),
        "words": len(words),
        "confusion": counts.tolist(),
        "layer_weights": model.layer_weights.detach().softmax(dim=0).tolist(),
    }


def mean_of(by_speaker: dict[str, list[float]]) -> dict:
    """Mean accuracy over the speakers and its 95 % interval (bootstrap), and every speaker's accuracy for each seed."""
    means = np.array([np.mean(accuracies) for accuracies in by_speaker.values()])  # (speakers,)
    draws = np.random.default_rng(0).choice(means, (DRAWS, len(means))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"accuracy": float(means.mean()), "low": float(low), "high": float(high), "by_speaker": by_speaker}


def part_means(corpus: Corpus) -> np.ndarray:
    """(words, PARTS · 39) mean MFCCs of the parts of each word."""
    parts = ([part.mean(axis=0) for part in np.array_split(mfcc(u.waveform().numpy()), PARTS)] for u in corpus)
    return np.array([np.concatenate(means) for means in parts])


def probes(train: Corpus, test: Corpus, digits: Corpus) -> dict[str, list[float]]:
    """Accuracy of a linear probe on each layer's mean: toy keywords of unseen speakers, and digits of unseen people."""
    model = Wav2Vec2Model.from_pretrained(PRETRAINED)
    x, y, z = (utterance_means(layer_outputs(model, corpus)) for corpus in (train, test, digits))
    words, test_words, said = (np.array([u.text for u in corpus]) for corpus in (train, test, digits))
    layers, speakers = [name for name in x if name != "z"], [u.speaker for u in digits]
    return {
        "toy keywords": [phone_probe(x[name], words, y[name], test_words) for name in layers],
        "FSDD digits": [float(np.mean(list(linear_probe(z[name], said, speakers).values()))) for name in layers],
    }


def main(seeds: int) -> None:
    torch.set_num_threads(1)
    toy, digits = toy_speech(), fsdd()
    train, test = (cut_keywords(toy.split(name)) for name in ("train", "test"))
    tiny_keyword = Wav2Vec2ForSequenceClassification.from_pretrained("tiny-keyword")
    of_mfcc = linear_probe(part_means(digits), [u.text for u in digits], [u.speaker for u in digits])
    content = {
        "machine": versions(),
        "digits": DIGITS,
        "keywords": KEYWORDS,
        "toy": result(tiny_keyword, test, KEYWORDS),
        "probes": probes(train, test, digits),
        "fsdd_speakers": {},
        "methods": {"MFCC + logistic regression": mean_of({name: [score] for name, score in of_mfcc.items()})},
    }
    corpora = (cut_keywords(train_and_dev(name)[0]) for name in ("toy", "mini-librispeech"))
    more = [Corpus(f"digits of {corpus.name}", [u for u in corpus if u.text in DIGITS]) for corpus in corpora]
    scores = {method: {speaker: [] for speaker in digits.speakers} for method in STARTS}
    for seed in range(seeds):
        for method, by_speaker in scores.items():
            for speaker in digits.speakers:
                found = one_out(method, speaker, seed, digits, more)
                by_speaker[speaker].append(found["accuracy"])
                if method == "fine-tuned" and seed == 0:
                    content["fsdd_speakers"][speaker] = found
                    content["fsdd_accuracy"] = float(
                        np.mean([line["accuracy"] for line in content["fsdd_speakers"].values()])
                    )
                content["methods"][method] = mean_of({name: s for name, s in by_speaker.items() if s})
                with replacing(RESULT) as partial:
                    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(content))


def table(content: dict) -> str:
    speakers = list(content["fsdd_speakers"])
    lines = [
        f"Toy keywords of unseen speakers: {100 * content['toy']['accuracy']:.1f} % of {content['toy']['words']}.",
        "FSDD's digits, each person unseen: accuracy in %, mean over the seeds, and a 95 % interval over the people.",
        "",
        f"| | {' | '.join(speakers)} | mean | interval |",
        f"| --- |{' ---: |' * (len(speakers) + 2)}",
    ]
    for method, line in content["methods"].items():
        each = " | ".join(f"{100 * np.mean(line['by_speaker'][speaker]):.1f}" for speaker in speakers)
        interval = f"{100 * line['low']:.1f} to {100 * line['high']:.1f}"
        lines.append(f"| {method} | {each} | {100 * line['accuracy']:.1f} | {interval} |")
    best = max(content["probes"]["FSDD digits"])
    return "\n".join([*lines, "", f"Linear probe on the best layer, without fine-tuning: {100 * best:.1f}."])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
