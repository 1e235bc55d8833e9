"""Which word: twenty keywords of the toy corpus, and the digits of six people, each by a model that never heard them.

    python benchmarks/keywords.py      # or: make keywords

Each run is the task of `w2v2-teach finetune keyword` on other speech, on one thread, in a folder of its own below
runs/keywords; a finished run is not repeated, an interrupted one goes on where it was. Beside it: what a linear probe
reads from each layer of the pre-trained model. Results: benchmarks/keywords.json.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from w2v2_teach.analysis.probes import linear_probe
from w2v2_teach.course.environment import versions
from w2v2_teach.files import replacing
from w2v2_teach.heads import Wav2Vec2ForSequenceClassification, mean_pooling
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.batching import padded_batches
from w2v2_teach.speech.corpora import DIGITS, Corpus, toy_speech
from w2v2_teach.speech.published import fsdd
from w2v2_teach.tasks.encoder_cache import FrozenEncoderCache
from w2v2_teach.tasks.keywords import KEYWORDS, KeywordSpotting, cut_keywords, predicted_words
from w2v2_teach.training.trainer import Trainer

RUNS = Path("runs/keywords")
RESULT = Path(__file__).with_suffix(".json")
PRETRAINED = "tiny-pretrained"
SEED = 0
FEWER = {"updates": 300, "warmup_updates": 30, "hold_updates": 120}  # for each of six trainings on people


def trained(
    name: str, cache: FrozenEncoderCache, train: Corpus, dev: Corpus, **changes: int
) -> Wav2Vec2ForSequenceClassification:
    """The model of one run; trains where that has not been done."""
    folder = RUNS / name
    if not (folder / "model").is_dir():
        recipe = replace(KeywordSpotting.recipes["tiny"], **changes)
        settings = replace(recipe, seed=SEED, workers=0, evaluate_every=recipe.updates)
        task = KeywordSpotting.begin(PRETRAINED, settings, train, dev)
        task.encoder_cache = cache  # all runs have one frozen encoder
        trainer = Trainer(task, settings, folder)
        trainer.start(resume=(folder / "state.pt").is_file())
        trainer.train()
    return Wav2Vec2ForSequenceClassification.from_pretrained(folder / "model")


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


@torch.no_grad()
def pooled_layers(cache: FrozenEncoderCache, corpus: Corpus) -> np.ndarray:
    """(utterances, layers + 1, D): each layer of the pre-trained model, averaged over the frames."""
    model = Wav2Vec2Model.from_pretrained(PRETRAINED)
    found = {}
    for batch in padded_batches(corpus, model.config):
        latents = cache(batch.input_values)
        output = model(batch.input_values, batch.attention_mask, latents=latents, output_hidden_states=True)
        pooled = torch.stack([mean_pooling(x, output.frame_mask) for x in output.hidden_states], dim=1)
        found |= dict(zip(batch.ids, pooled.numpy(), strict=True))
    return np.stack([found[utterance.id] for utterance in corpus])


def probes(cache: FrozenEncoderCache, train: Corpus, test: Corpus, fsdd_digits: Corpus) -> dict[str, list[float]]:
    """Accuracy of a linear probe on each layer: toy keywords of unseen speakers, and digits of unseen people."""
    x, y, digits = (pooled_layers(cache, corpus) for corpus in (train, test, fsdd_digits))
    found = {"toy keywords": [], "FSDD digits": []}
    for layer in range(x.shape[1]):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        probe.fit(x[:, layer], [u.text for u in train])
        found["toy keywords"].append(float(probe.score(y[:, layer], [u.text for u in test])))
        scores = linear_probe(digits[:, layer], [u.text for u in fsdd_digits], [u.speaker for u in fsdd_digits])
        found["FSDD digits"].append(float(np.mean(list(scores.values()))))
    return found


def save(content: dict) -> None:
    with replacing(RESULT) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    toy, digits = toy_speech(), fsdd()
    cache = FrozenEncoderCache(Wav2Vec2Model.from_pretrained(PRETRAINED))
    content = {"machine": versions(), "seed": SEED, "digits": DIGITS, "keywords": KEYWORDS, "fsdd_speakers": {}}
    train, dev, test = (toy.split(name) for name in ("train", "dev", "test"))
    content["toy"] = result(trained("toy", cache, train, dev), cut_keywords(test), KEYWORDS)
    for speaker in digits.speakers:
        own = Corpus(speaker, [u for u in digits if u.speaker == speaker])
        others = Corpus(f"all but {speaker}", [u for u in digits if u.speaker != speaker])
        model = trained(speaker, cache, others, Corpus(f"some of {speaker}", own[::25]), **FEWER)
        content["fsdd_speakers"][speaker] = result(model, own, DIGITS)
        content["fsdd_accuracy"] = float(np.mean([line["accuracy"] for line in content["fsdd_speakers"].values()]))
        save(content)
    file = RUNS / "probes.json"
    if not file.is_file():
        found = probes(cache, cut_keywords(train), cut_keywords(test), digits)
        file.write_text(json.dumps(found), encoding="utf-8")
    content["probes"] = json.loads(file.read_text(encoding="utf-8"))
    save(content)
    print(table(content))


def table(content: dict) -> str:
    lines = [
        "Accuracy in % on speakers that the model has not heard",
        "",
        "| | words | accuracy |",
        "| --- | ---: | ---: |",
    ]
    rows = {"toy keywords, four speakers": content["toy"]}
    rows |= {f"FSDD digits, {speaker}": line for speaker, line in content["fsdd_speakers"].items()}
    lines += [f"| {name} | {line['words']} | {100 * line['accuracy']:.1f} |" for name, line in rows.items()]
    return "\n".join(
        [*lines, f"| FSDD digits, mean of {len(content['fsdd_speakers'])} | | {100 * content['fsdd_accuracy']:.1f} |"]
    )


if __name__ == "__main__":
    main()
