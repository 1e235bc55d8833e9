"""Speakers are learned by angles, and verified by pairs, on a corpus of tones."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from little_run import CONFIG, little_corpus
from torch.nn import functional as F

from w2v2_teach.analysis.verification import error_rates_at, resampled_equal_error_rates
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.heads import Wav2Vec2ForSpeakerVerification
from w2v2_teach.losses import arcface_loss
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.batching import padded_batches
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks import speakers
from w2v2_teach.tasks.finetuning import SCRATCH
from w2v2_teach.tasks.speakers import (
    SpeakerRecognition,
    evaluate_speaker_model,
    speaker_embeddings,
    speaker_trials,
    verification_metrics,
)
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = replace(
    SpeakerRecognition.recipes["tiny"],
    updates=4,
    batch_size=4,
    warmup_updates=1,
    hold_updates=1,
    crop_seconds=0.2,
    mask_feature_length=4,
    workers=0,
    log_every=1,
    evaluate_every=4,
    save_every=4,
)


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """Train: speakers 0, 1, 2. The dev utterances are shared out between two others."""
    corpora = little_corpus(tmp_path_factory.mktemp("corpus"))
    corpora.dev = Corpus("dev", [replace(u, speaker=f"speaker {3 + i % 2}") for i, u in enumerate(corpora.dev)])
    return corpora


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("pretrained")
    Wav2Vec2ForPreTraining(replace(CONFIG, num_hidden_layers=2)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def task(little, pretrained):
    def make(**changes) -> SpeakerRecognition:
        return SpeakerRecognition.begin(pretrained, replace(SETTINGS, **changes), little.train, little.dev)

    return make


def one_part(task: SpeakerRecognition):
    work = task.prepare(task.dataset[0], 0, torch.Generator().manual_seed(7))
    return work.micro_batches[0], work.items


@pytest.mark.parametrize(("keep_layers", "mixed"), [(None, 3), (1, 2)])
def test_a_class_for_each_train_speaker_on_the_layers_that_are_kept(task, pretrained, keep_layers, mixed):
    model = task(keep_layers=keep_layers, embedding_dim=7).model
    assert model.config.labels == ("speaker 0", "speaker 1", "speaker 2")
    assert model.config.use_weighted_layer_sum
    assert model.layer_weights.shape == (mixed,)
    assert model.class_weights.shape == (3, 7)
    known = Wav2Vec2ForPreTraining.from_pretrained(pretrained).wav2vec2.state_dict()
    assert all(torch.equal(known[name], weight) for name, weight in model.wav2vec2.state_dict().items())


def test_the_loss_by_hand(task):
    learner = task(margin=0.3, scale=20.0, dropout=0.0)
    learner.model.eval()
    part, items = one_part(learner)
    assert items == 4
    loss, sums = learner.losses(learner.model, part)
    output = learner.model(**part.inputs)
    labels = torch.tensor([int(utterance.speaker[-1]) for utterance in part.utterances])
    assert len(labels.unique()) > 1
    x, w = output.embeddings, output.class_weights
    torch.testing.assert_close(loss, arcface_loss(x, w, labels, 0.3, 20.0))
    nearest = F.cosine_similarity(x[:, None], w[None], dim=2).argmax(dim=1)  # (B,)
    assert sums["accuracy"] == (nearest == labels).sum()


def test_every_part_of_the_head_learns(task):
    learner = task(freeze_context_updates=9)
    part, _ = one_part(learner)
    learner.losses(learner.model, part).loss.backward()
    moved = {name for name, p in learner.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved == {"layer_weights", "embedding.weight", "embedding.bias", "class_weights"}


def test_embeddings_come_in_the_order_of_the_corpus(task, little):
    model = task().model
    embeddings = speaker_embeddings(model, little.train)
    assert not model.training
    assert embeddings.shape == (12, model.config.speaker_embedding_dim)
    for batch in padded_batches(Corpus("two", [little.train[7], little.train[2]]), model.config):
        with torch.no_grad():
            alone = model(batch.input_values, batch.attention_mask).embeddings.numpy()
        for name, row in zip(batch.ids, alone, strict=True):
            number = [u.id for u in little.train].index(name)
            np.testing.assert_allclose(embeddings[number], row, atol=1e-4)


def test_every_pair_is_a_trial(task, little):
    trials = speaker_trials(task().model, little.dev)
    assert len(trials.scores) == 6
    assert trials.is_same.sum() == 2
    metrics = verification_metrics(trials)
    assert metrics.keys() == {"eer", "threshold", "trials"}
    assert task().evaluate() == {"eer": metrics["eer"]}


def test_of_two_corpora_each_has_its_rate(little, pretrained):
    """Speakers of one corpus are not compared with those of the other."""
    people = Corpus("people", [replace(u, id=f"{u.id}h", speaker=f"{u.speaker}h") for u in little.train])
    learner = SpeakerRecognition.begin(
        pretrained, SETTINGS, joined([little.train, people]), joined([little.dev, people])
    )
    assert len(learner.model.config.labels) == 6
    rates = [verification_metrics(speaker_trials(learner.model, part))["eer"] for part in (little.dev, people)]
    assert list(learner.evaluate().values()) == [np.mean(rates), *rates]


def test_what_is_measured_of_held_out_speakers(task, little, monkeypatch):
    monkeypatch.setattr(speakers, "resampled_equal_error_rates", partial(resampled_equal_error_rates, draws=20))
    model = task().model
    results = evaluate_speaker_model(model, little.dev, little.train, little.train)
    trials, trained = speaker_trials(model, little.train), results["trained"]
    threshold = verification_metrics(speaker_trials(model, little.dev))["threshold"]
    assert trained["dev_threshold"] == threshold
    assert (trained["false_accepts"], trained["human_false_rejects"]) == error_rates_at(trials, threshold)
    assert (trained["eer"], trained["trials"], trained["speakers"]) == (verification_metrics(trials)["eer"], 66, 3)
    for found in (trained, results["untrained"], results["yardsticks"]["MFCC"], results["yardsticks"]["log-mel"]):
        assert found["eer_low"] <= found["eer"] <= found["eer_high"]
        assert found["human_eer"] == found["eer"]
    assert results["untrained"]["eer"] != trained["eer"]
    assert results["yardsticks"]["chance"] == {"eer": 0.5, "human_eer": 0.5}


def test_long_utterances_are_heard_in_the_middle(little):
    whole = little.train[0]
    (piece,) = Corpus("one", [whole]).middles(0.1)
    start = round((whole.duration - 0.1) / 2 * SAMPLE_RATE)
    assert (piece.id, piece.speaker, piece.text, piece.phones) == (whole.id, whole.speaker, "", ())
    assert piece.duration == pytest.approx(0.1, abs=1e-4)
    torch.testing.assert_close(piece.waveform(), whole.waveform()[start : start + piece.num_samples], atol=1e-3, rtol=0)
    assert little.train.middles(whole.duration + 1)[0] is whole


def test_it_trains_evaluates_and_exports(task, tmp_path):
    learner = task(freeze_encoder=False)
    trainer = Trainer(learner, learner.settings, tmp_path)
    trainer.start()
    records = list(trainer.records())
    assert 0 <= records[-1]["dev_eer"] <= 1
    assert learner.model.training
    model = Wav2Vec2ForSpeakerVerification.from_pretrained(tmp_path / "model")
    assert model.config == learner.model.config


def test_it_learns_two_speakers(little, pretrained):
    """Speakers that differ: of two utterances, each heard as often as it takes."""
    two = [replace(little.train[i % 2], id=f"{i}", speaker=f"s{i % 2}") for i in range(4)]
    settings = replace(SETTINGS, updates=60, learning_rate=5e-3, crop_seconds=None, log_every=60, evaluate_every=60)
    settings = replace(settings, mask_time_prob=0.0, mask_feature_prob=0.0, dropout=0.0, margin=0.1)
    corpus = Corpus("two", two)
    learner = SpeakerRecognition.begin(pretrained, settings, corpus, corpus)
    (record,) = Trainer(learner, settings).records()
    assert learner.evaluate()["eer"] == 0
    assert record["accuracy"] > 0.7


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"layerdrop": 0.1}, "layerdrop is 0.1; it must be 0: a layer that is skipped has no output to mix."),
        ({"keep_layers": 0}, "keep_layers is 0; it must be 1 or more."),
        ({"embedding_dim": 0}, "embedding_dim is 0; it must be 1 or more."),
        ({"margin": -0.1}, "margin is -0.1; it must be in [0, π)."),
        ({"margin": 3.2}, "margin is 3.2; it must be in [0, π)."),
        ({"scale": 0.0}, "scale is 0.0; it must be more than 0."),
    ],
)
def test_a_number_out_of_range_is_named(changes, complaint):
    with pytest.raises(SettingsError) as caught:
        replace(SETTINGS, **changes)
    assert str(caught.value) == complaint


def test_from_scratch_there_is_tiny(little):
    assert SpeakerRecognition.begin(SCRATCH, SETTINGS, little.train, little.dev).model.config.hidden_size == 160
