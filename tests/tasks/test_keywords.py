"""Keywords are cut where they are said; a classifier learns what they are called."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from little_run import CONFIG, little_corpus
from torch.nn import functional as F

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.files import DATA
from w2v2_teach.heads import Wav2Vec2ForSequenceClassification
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import change_speed, narrowband
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus, toy_speech
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.tasks import crops
from w2v2_teach.tasks.crops import speeds
from w2v2_teach.tasks.keywords import (
    COMMANDS,
    CONTEXT,
    KEYWORDS,
    KeywordSpotting,
    cut_keywords,
    evaluate_keyword_model,
    keyword_metrics,
    predicted_words,
)
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = replace(
    KeywordSpotting.recipes["tiny"],
    updates=4,
    batch_size=4,
    warmup_updates=1,
    hold_updates=1,
    mask_feature_length=4,
    workers=0,
    log_every=1,
    evaluate_every=4,
    save_every=4,
)


def with_words(corpus: Corpus) -> Corpus:
    """Each utterance says `the`, then `yes` or `no`: the first tone, and the second."""
    said = [
        (Interval(0.0, u.duration / 3, "yes"), Interval(u.duration / 3, u.duration / 2, "the"),
         Interval(u.duration / 2, u.duration, "no"))
        for u in corpus
    ]  # fmt: skip
    return Corpus(corpus.name, [replace(u, words=words) for u, words in zip(corpus, said, strict=True)])


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    corpora = little_corpus(tmp_path_factory.mktemp("corpus"))
    corpora.train, corpora.dev = with_words(corpora.train), with_words(corpora.dev)
    return corpora


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("pretrained")
    Wav2Vec2ForPreTraining(replace(CONFIG, num_hidden_layers=2)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def task(little, pretrained):
    def make(**changes) -> KeywordSpotting:
        return KeywordSpotting.begin(pretrained, replace(SETTINGS, **changes), little.train, little.dev)

    return make


# --- cutting ---------------------------------------------------------------------------------------------------------


def test_keywords_are_those_of_the_grammar():
    spec = importlib.util.spec_from_file_location("toy_grammar", DATA / "toy_grammar.py")
    grammar = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grammar)
    assert list(KEYWORDS) == grammar.DIGITS + grammar.COMMANDS
    assert len(set(KEYWORDS)) == 20
    assert list(COMMANDS) == grammar.COMMANDS


def test_every_keyword_of_the_toy_corpus_is_cut_once():
    test = toy_speech().split("test")
    pieces = cut_keywords(test)
    assert len(pieces) == sum(word.label in KEYWORDS for u in test for word in u.words) == 273
    assert {piece.text for piece in pieces} == set(KEYWORDS)
    assert pieces.speakers == test.speakers


def test_a_piece_is_the_word_and_a_little_around_it():
    test = toy_speech().split("test")
    for piece in cut_keywords(test)[:40:7]:
        name, number = piece.id.rsplit("-", 1)
        whole = test[name]
        word = whole.words[int(number)]
        assert piece.text == word.label
        start, end = max(0, word.start - CONTEXT), min(whole.duration, word.end + CONTEXT)
        assert piece.duration == pytest.approx(end - start, abs=1e-3)
        cut = whole.waveform()[round(start * SAMPLE_RATE) :][: piece.num_samples]  # (L,)
        assert piece.waveform().shape == cut.shape == (piece.num_samples,)
        assert torch.corrcoef(torch.stack([piece.waveform(), cut]))[0, 1] > 0.99


def test_all_pieces_can_be_read():
    corpus = toy_speech()
    for piece in cut_keywords(Corpus("some", corpus[::60])):
        assert piece.waveform().shape == (piece.num_samples,)


def test_a_corpus_of_words_is_left_as_it_is(little):
    words = Corpus("digits", [replace(u, words=()) for u in little.train])
    assert cut_keywords(words) is words


def test_joined_corpora_are_cut_one_by_one(little):
    digits = Corpus("digits", [replace(u, id=f"d{u.id}", words=()) for u in little.dev])
    cut = cut_keywords(joined([little.train, digits]))
    assert [len(part) for part in cut.parts] == [24, 4]
    assert cut.parts[1] is digits


# --- learning --------------------------------------------------------------------------------------------------------


def test_labels_are_the_words_that_are_said(task):
    learner = task()
    assert learner.model.config.labels == ("no", "yes")
    assert learner.model.config.use_weighted_layer_sum
    assert len(learner.train_corpus) == 24
    assert [piece.text for piece in learner.train_corpus[:3]] == ["yes", "no", "yes"]


def test_the_loss_by_hand(task):
    learner = task(dropout=0.0)
    learner.model.eval()
    work = learner.prepare(learner.dataset[0], 0, torch.Generator().manual_seed(7))
    (part,) = work.micro_batches
    loss, sums = learner.losses(learner.model, part)
    logits = learner.model(**part.inputs)
    labels = torch.tensor([["no", "yes"].index(utterance.text) for utterance in part.utterances])
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, reduction="sum"))
    assert sums["accuracy"] == (logits.argmax(dim=1) == labels).sum()
    assert work.items == 4


def test_predictions_come_in_the_order_of_the_corpus(task, little):
    model = task().model
    pieces = cut_keywords(little.dev)
    words = predicted_words(model, pieces)
    assert not model.training
    for number in (0, 3, 5):
        assert predicted_words(model, Corpus("one", [pieces[number]])) == [words[number]]
    right = [word == piece.text for word, piece in zip(words, pieces, strict=True)]
    metrics = keyword_metrics(model, pieces)
    assert metrics == {"accuracy": sum(right) / 8, "words": 8, "chance": 0.5}
    results = evaluate_keyword_model(model, little.dev, Corpus("one", [pieces[0]]), pieces)
    assert results.keys() == {f"{speech}{key}" for speech in ("", "human_", "fsdd_") for key in metrics}
    assert results["accuracy"] == results["fsdd_accuracy"] == metrics["accuracy"]
    assert (results["human_words"], results["human_chance"]) == (1, 1.0)


@pytest.mark.slow
def test_it_learns_which_tone_is_which(task):
    no_masks = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "dropout": 0.0}
    learner = task(updates=120, learning_rate=5e-3, freeze_encoder=False, log_every=120, evaluate_every=120, **no_masks)
    (record,) = Trainer(learner, learner.settings).records()
    assert record["dev_accuracy"] == 1
    assert learner.model.training


def test_lower_layers_may_do(task):
    assert task(keep_layers=1).model.layer_weights.shape == (2,)
    assert task().model.layer_weights.shape == (3,)


def test_a_word_is_heard_at_several_speeds(task):
    assert speeds(0.2).tolist() == pytest.approx([0.8, 1.0, 1.2])
    learner = task(speed=0.2)
    lengths = set()
    for update in range(8):
        batch = learner.dataset[update]
        assert torch.equal(batch.input_values, learner.dataset[update].input_values)
        for utterance, mask in zip(batch.utterances, batch.attention_mask, strict=True):
            lengths.add(round(utterance.num_samples / int(mask.sum()), 2))
    assert lengths == {0.8, 1.0, 1.2}


def test_some_words_are_heard_as_by_telephone(task, monkeypatch):
    """Which ones is drawn anew for each update."""
    monkeypatch.setattr(crops, "narrowband", torch.zeros_like)
    silent = lambda learner, update: (learner.dataset[update].input_values == 0).all(dim=1)  # (B,)  # noqa: E731
    draws = torch.stack([silent(task(narrowband=0.5), update) for update in range(8)])  # (8, B)
    assert 0.2 < draws.float().mean() < 0.8
    assert len(draws.unique(dim=0)) > 1
    assert silent(task(narrowband=1.0), 0).all()
    assert not silent(task(narrowband=0.0), 0).any()


def test_a_narrow_band_ends_at_4_khz():
    tones = torch.arange(8001) * 2 * torch.pi / SAMPLE_RATE  # an odd number of samples
    low, high = torch.sin(1000 * tones), torch.sin(6000 * tones)
    heard = narrowband(low + high)
    assert len(heard) == 8001
    inside = slice(400, -400)
    torch.testing.assert_close(heard[inside], low[inside], atol=1e-2, rtol=0)


def test_a_faster_tone_is_a_higher_tone():
    tone = torch.sin(torch.arange(8000) * 2 * torch.pi * 500 / SAMPLE_RATE)
    faster = change_speed(tone, 1.25)
    assert len(faster) == 6400
    assert int(torch.fft.rfft(faster).abs().argmax()) * SAMPLE_RATE / 6400 == pytest.approx(625, abs=3)
    assert len(change_speed(tone[:420], 2.0)) >= 400


def test_it_exports_what_can_be_loaded(task, tmp_path):
    learner = task()
    Trainer(learner, learner.settings, tmp_path).train()
    model = Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path / "model")
    assert model.config == learner.model.config


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"layerdrop": 0.1}, "layerdrop is 0.1; it must be 0: a layer that is skipped has no output to mix."),
        ({"keep_layers": 0}, "keep_layers is 0; it must be 1 or more."),
        ({"speed": 1.0}, "speed is 1.0; it must be in [0, 1)."),
        ({"narrowband": 1.5}, "narrowband is 1.5; it must be in [0, 1]."),
    ],
)
def test_a_number_out_of_range_is_named(changes, complaint):
    with pytest.raises(SettingsError) as caught:
        replace(SETTINGS, **changes)
    assert str(caught.value) == complaint
