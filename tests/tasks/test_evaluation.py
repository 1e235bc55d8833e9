"""What is measured on unseen speakers is what a reader would count by hand, one utterance at a time."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from little_run import CONFIG, little_corpus
from sklearn.metrics import homogeneity_score

from w2v2_teach.analysis.attention import even_attention
from w2v2_teach.analysis.chance import expected_chance
from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.analysis.probes import linear_probe
from w2v2_teach.cli.evaluate import layer_table
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import label_at
from w2v2_teach.tasks.evaluation import (
    Speech,
    contrastive_metrics,
    evaluate_pretrained,
    even_attention_cost,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Seven utterances of different lengths, in no order."""
    utterances = little_corpus(tmp_path_factory.mktemp("corpus")).train
    return Corpus("ragged", [utterances[i] for i in (4, 0, 9, 2, 11, 7, 5)])


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr("w2v2_teach.speech.batching.BATCH_SIZE", 3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)  # not that of the untrained one
    return Wav2Vec2ForPreTraining(replace(CONFIG, hidden_dropout=0.3, feat_quantizer_dropout=0.3))


def alone(utterance) -> torch.Tensor:
    """(1, L)"""
    return normalize(utterance.waveform())[None]


@torch.no_grad()
def metrics_one_by_one(model, corpus, seed: int) -> dict[str, float]:
    """The same masks and distractors as in batches of 3 by length, but no utterance is ever padded."""
    generator = torch.Generator().manual_seed(seed)
    in_order = sorted(corpus, key=lambda utterance: utterance.num_samples)
    loss, correct, frames, chances = 0.0, 0, 0, []
    for start in range(0, len(in_order), 3):
        batch = in_order[start : start + 3]
        lengths = torch.tensor([CONFIG.frame_lengths(utterance.num_samples) for utterance in batch])
        masks = time_mask(lengths, CONFIG, generator)  # (B, T)
        negatives = sample_negatives(masks, CONFIG.num_negatives, generator)  # (N, K)
        first = 0
        for utterance, T, mask in zip(batch, lengths, masks, strict=True):
            N = int(mask.sum())
            output = model(alone(utterance), mask[None, :T], negatives[first : first + N] - first)
            loss += output.contrastive_loss.item()
            correct += int((output.logits[:, :1] > output.logits[:, 1:]).all(dim=1).sum())
            chances.append((*expected_chance(output.quantized.codes, negatives[first : first + N] - first), N))
            frames, first = frames + N, first + N
    accuracy, nats, weights = zip(*chances, strict=True)
    return {
        "contrastive_loss": loss / frames,
        "accuracy": correct / frames,
        "chance_loss": np.average(nats, weights=weights),
        "chance_accuracy": np.average(accuracy, weights=weights),
        "masked_frames": frames,
    }


@pytest.mark.usefixtures("small_batches")
def test_the_contrastive_task_one_by_one(model, corpus):
    metrics = contrastive_metrics(model, corpus, seed=5)
    assert not model.training
    assert metrics == pytest.approx(metrics_one_by_one(model, corpus, seed=5), abs=1e-5)
    assert metrics["chance_accuracy"] > 1 / 6, "better than one in K + 1"
    assert 100 < metrics["masked_frames"] < 400
    assert metrics["contrastive_loss"] > 0.5


def test_the_contrastive_task_follows_from_its_seed(model, corpus):
    model.train()
    first = contrastive_metrics(model, corpus)
    torch.manual_seed(99)
    model.train()  # neither dropout nor Gumbel noise may come in
    assert contrastive_metrics(model, corpus) == first
    assert contrastive_metrics(model, corpus, seed=1) != first


def test_codebook_metrics_by_hand(model, corpus):
    metrics = codebook_metrics(model, corpus)
    pairs, phones = [], []
    for utterance in corpus:
        codes = model.codes(alone(utterance))[0].tolist()
        pairs += map(tuple, codes)
        phones += [label_at(utterance.phones, (80 * t + 20) / 16_000) for t in range(len(codes))]
    assert set(phones) == {"AA", "IY"}
    numbers = [sorted(set(pairs)).index(pair) for pair in pairs]
    assert metrics["code_tuples"] == len(set(pairs))
    assert metrics["pnmi"] == pytest.approx(homogeneity_score(phones, numbers), abs=1e-9)
    perplexity = 0.0
    for book in zip(*pairs, strict=True):
        p = np.array([book.count(code) for code in set(book)]) / len(book)
        perplexity += np.exp(-(p * np.log(p)).sum())
    assert metrics["usage_perplexity"] == pytest.approx(perplexity)


# --- the probe -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """Labels and speakers of 300 recordings: three speakers say five words twenty times."""
    words, speakers = np.meshgrid(np.arange(5), ["ann", "bob", "eve"], indexing="ij")
    return np.tile(words.ravel(), 20), np.tile(speakers.ravel(), 20)


def test_the_probe_tells_what_can_be_told(people):
    words, speakers = people
    noise = np.random.default_rng(0).normal(size=(300, 5))
    assert linear_probe(np.eye(5)[words] + 0.05 * noise, words, speakers) == {"ann": 1, "bob": 1, "eve": 1}
    assert np.mean(list(linear_probe(noise, words, speakers).values())) == pytest.approx(0.2, abs=0.08)


def test_the_probe_is_never_taught_by_the_speaker_that_it_is_tested_on(people):
    words, speakers = people
    own_way = {"ann": 0, "bob": 5, "eve": 10}  # each speaker says the words in dimensions of their own
    features = np.eye(15)[words + np.vectorize(own_way.get)(speakers)]
    for accuracy in linear_probe(features, words, speakers).values():
        assert accuracy <= 0.2, "no better than chance; whoever has heard the speaker would be right every time"


def test_the_probes_accuracies_belong_to_their_speakers(people):
    words, speakers = people
    features = np.eye(5)[words]
    features[speakers == "eve"] = np.eye(5)[(words[speakers == "eve"] + 1) % 5]  # who means something else
    scores = linear_probe(features, words, speakers)
    assert scores["eve"] == 0
    assert min(scores["ann"], scores["bob"]) > 0


def test_what_even_attention_costs_by_hand(model, corpus):
    cost = even_attention_cost(model, corpus, contrastive_metrics(model, corpus)["contrastive_loss"])
    for layer in model.wav2vec2.encoder.layers:
        assert not layer.attention.q_proj._forward_hooks, "the model is left whole"
    blind = deepcopy(model)
    for layer in blind.wav2vec2.encoder.layers:
        layer.attention.q_proj.weight.data.zero_()
        layer.attention.q_proj.bias.data.zero_()
    whole, even = (contrastive_metrics(m, corpus)["contrastive_loss"] for m in (model, blind))
    assert cost == pytest.approx(even - whole, abs=1e-6)
    assert cost != 0
    with even_attention(model.wav2vec2), torch.no_grad():
        weights = model.wav2vec2(alone(corpus[0]), output_attentions=True).attentions[0]  # (1, H, T, T)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / weights.shape[3]))


def test_everything_for_a_model_for_itself_untrained_and_without_learning(model, corpus):
    digits = Corpus(
        "digits", (replace(u, text="one two".split()[i % 2], speaker=f"speaker {i % 3}") for i, u in enumerate(corpus))
    )
    speech = Speech(learn=corpus, human=Corpus("human", corpus[:4]), toy=corpus, digits=digits)
    results = evaluate_pretrained(model, speech)
    assert results.keys() == {"trained", "untrained", "yardsticks"}
    trained, untrained = results["trained"], results["untrained"]
    for side in (trained, untrained):
        by_speaker = side["digit_accuracy_by_speaker"]
        assert by_speaker.keys() == {"speaker 0", "speaker 1", "speaker 2"}
        assert side["digit_accuracy"] == pytest.approx(np.mean(list(by_speaker.values())))
        assert list(side["layers"]) == ["z", "input", "layer 1"]
        for key in ("cluster_pnmi", "phone_accuracy"):
            assert side[f"human_best_{key}"] == max(layer[key] for layer in side["layers"].values())
    for measured in (contrastive_metrics(model, corpus), codebook_metrics(model, corpus)):
        assert measured.items() <= trained.items()
    human = contrastive_metrics(model, speech.human) | codebook_metrics(model, speech.human)
    assert {f"human_{key}": value for key, value in human.items()}.items() <= trained.items()
    assert trained.keys() == untrained.keys()
    assert untrained["contrastive_loss"] != trained["contrastive_loss"]
    as_many = results["yardsticks"].pop("log-mel, as many clusters as pairs")
    assert as_many["clusters"] == trained["human_code_tuples"]
    assert results["yardsticks"].keys() == {"log-mel", "log-mel ±5 frames", "MFCC"}
    for layer in results["yardsticks"].values():
        assert layer["phone_accuracy"] > 0.8, "two tones are easily told"
    table = layer_table(results)
    assert f"{results['yardsticks']['MFCC']['phone_accuracy']:.3f}" in table.splitlines()[-1]
