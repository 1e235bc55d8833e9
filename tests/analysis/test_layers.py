"""Layers compared and probed: frames of one place in all layers, and numbers with known answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from little_run import CONFIG, little_corpus

from w2v2_teach.analysis import layers as layers_module
from w2v2_teach.analysis.layers import (
    LayerStates,
    cka_matrix,
    frame_states,
    layer_outputs,
    layer_probes,
    linear_cka,
    word_states,
)
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.reference import transformers_config
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import Interval, frame_labels

NAMES = ["z", "input", "layer 1", "layer 2"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus")).train


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Wav2Vec2Model(replace(CONFIG, num_hidden_layers=2, hidden_dropout=0.3))


def test_all_layers_of_every_frame(model, corpus):
    outputs = layer_outputs(model, corpus)
    assert not model.training
    for utterance, output in zip(corpus, outputs, strict=True):
        assert output.utterance is utterance
        assert list(output.layers) == NAMES
        assert output.times == pytest.approx(frame_times(CONFIG, CONFIG.frame_lengths(utterance.num_samples)))
        with torch.no_grad():
            alone = model(normalize(utterance.waveform())[None], output_hidden_states=True)
        wanted = [alone.extract_features, *alone.hidden_states[:2], alone.last_hidden_state]
        for found, state in zip(output.layers.values(), wanted, strict=True):
            assert found.shape == state[0].shape
            assert np.abs(found - state[0].numpy()).max() < 1e-4


@pytest.mark.parametrize("style", ["base_style", "large_style"])
def test_published_checkpoints_give_transformers_layers(style, request, tmp_path, corpus):
    theirs = transformers.Wav2Vec2Model(transformers_config(request.getfixturevalue(style))).eval()
    theirs.save_pretrained(tmp_path)
    (output,) = layer_outputs(Wav2Vec2Model.from_pretrained(tmp_path), Corpus("one", [corpus[0]]))
    with torch.no_grad():
        wanted = theirs(normalize(corpus[0].waveform())[None], output_hidden_states=True)
    for name, state in zip(NAMES[1:], (*wanted.hidden_states[:2], wanted.last_hidden_state), strict=True):
        assert np.abs(output.layers[name] - state[0].numpy()).max() < 1e-5, name
    assert np.abs(output.layers["z"] - wanted.extract_features[0].numpy()).max() < 1e-5


def test_frames_keep_their_labels(model, corpus):
    outputs = layer_outputs(model, corpus)
    states = frame_states(outputs, 10_000)
    lengths = [CONFIG.frame_lengths(utterance.num_samples) for utterance in corpus]
    assert len(states.labels) == sum(lengths)
    for i in (0, 7):
        here = states.utterances == i
        assert set(states.speakers[here]) == {corpus[i].speaker}
        phones = frame_labels(corpus[i].phones, frame_times(CONFIG, lengths[i]))
        for x, phone in zip(states.layers["layer 1"][here], states.labels[here], strict=True):
            frame = np.abs(outputs[i].layers["layer 1"] - x).max(axis=1).argmin()
            assert phones[frame] == phone
    few = frame_states(outputs, 5)
    assert np.array_equal(few.layers["z"], states.layers["z"][:5])


def test_words_are_means_of_their_frames(model, corpus):
    T = CONFIG.frame_lengths(corpus[0].num_samples)
    middles = frame_times(CONFIG, T)
    words = (Interval(0, 0.1, "one"), Interval(0.1, 0.2, "of"), Interval(0.2, 0.2001, "two"))
    spoken = Corpus("spoken", [replace(corpus[0], words=words)])
    (output,) = layer_outputs(model, spoken)
    states = word_states([output], ("one", "two"))
    assert states.labels.tolist() == ["one"], "'two' is too short to have a frame"
    for name in NAMES:
        assert states.layers[name] == pytest.approx(output.layers[name][middles < 0.1].mean(axis=0)[None], abs=1e-6)


def test_cka_is_blind_to_rotation_scale_and_shift():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 6))
    rotation = np.linalg.qr(generator.normal(size=(6, 6)))[0]
    assert linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert linear_cka(x, generator.normal(size=(200, 4))) < 0.1
    assert linear_cka(x, x * [9, 1, 1, 1, 1, 1]) < 0.95, "a stretched axis is another view"


def test_cka_by_hand():
    # Gram matrices of centered x and y: the formula with inner products of frames instead of channels
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(30, 3)), generator.normal(size=(30, 5))
    center = np.eye(30) - 1 / 30
    k, l = (center @ a @ a.T @ center for a in (x, y))  # noqa: E741
    assert linear_cka(x, y) == pytest.approx((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))
    matrix = cka_matrix({"a": x, "b": y}, {"a": x, "b": y})
    assert matrix == pytest.approx(np.array([[1, linear_cka(x, y)], [linear_cka(y, x), 1]]))


def test_probes_find_what_is_there(monkeypatch):
    """Phone in one layer, speaker in another, and digits in both."""
    generator = np.random.default_rng(0)
    labels, speakers = generator.choice(["a", "b", "c"], 400), generator.choice(["x", "y", "z"], 400)
    told = {
        "z": np.eye(3)[np.searchsorted(["a", "b", "c"], labels)],
        "layer 1": np.eye(3)[np.searchsorted(["x", "y", "z"], speakers)],
    }
    noisy = {name: states + generator.normal(0, 0.05, states.shape) for name, states in told.items()}
    states = LayerStates(noisy, labels, speakers, np.arange(400) // 10)
    monkeypatch.setattr(layers_module, "frame_states", lambda *_: states)
    monkeypatch.setattr(layers_module, "word_states", lambda *_: states)
    found = layer_probes([])
    assert found.keys() == {"phone", "speaker", "digit"}
    assert min(found["phone"]["z"], found["speaker"]["layer 1"]) > 0.99
    assert max(found["phone"]["layer 1"], found["speaker"]["z"]) < 0.6
    assert found["digit"] == found["phone"]
