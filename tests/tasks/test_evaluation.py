"""What is measured on unseen speakers is what a reader would count by hand, one utterance at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from little_run import CONFIG, little_corpus
from sklearn.metrics import homogeneity_score

from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.analysis.probes import linear_probe, mean_context
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import label_at
from w2v2_teach.tasks.evaluation import contrastive_metrics, evaluate_pretrained


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
    loss, correct, frames = 0.0, 0, 0
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
            frames, first = frames + N, first + N
    return {"contrastive_loss": loss / frames, "accuracy": correct / frames, "masked_frames": frames}


@pytest.mark.usefixtures("small_batches")
def test_the_contrastive_task_one_by_one(model, corpus):
    metrics = contrastive_metrics(model, corpus, seed=5)
    assert not model.training
    assert metrics == pytest.approx(metrics_one_by_one(model, corpus, seed=5), abs=1e-5)
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


@pytest.mark.usefixtures("small_batches")
def test_the_mean_context_does_not_depend_on_padding(model, corpus):
    means = mean_context(model.wav2vec2, corpus)
    assert means.shape == (7, 16)
    assert not model.wav2vec2.training
    with torch.no_grad():
        one_by_one = [model.wav2vec2(alone(utterance)).last_hidden_state[0].mean(dim=0) for utterance in corpus]
    assert np.abs(means - torch.stack(one_by_one).numpy()).max() <= 1e-5


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


def test_everything_for_a_model_and_for_itself_untrained(model, corpus):
    digits = Corpus(
        "digits", (replace(u, text="one two".split()[i % 2], speaker=f"speaker {i % 3}") for i, u in enumerate(corpus))
    )
    results = evaluate_pretrained(model, corpus, digits)
    assert results.keys() == {"trained", "untrained"}
    for name in results:
        by_speaker = results[name]["digit_accuracy_by_speaker"]
        assert by_speaker.keys() == {"speaker 0", "speaker 1", "speaker 2"}
        assert results[name]["digit_accuracy"] == pytest.approx(np.mean(list(by_speaker.values())))
    for measured in (contrastive_metrics(model, corpus), codebook_metrics(model, corpus)):
        assert measured.items() <= results["trained"].items()
    assert results["trained"].keys() == results["untrained"].keys()
    assert results["untrained"]["contrastive_loss"] != results["trained"]["contrastive_loss"]
    torch.manual_seed(123)
    assert evaluate_pretrained(model, corpus, digits) == results
