"""Attention in numbers: maps that a reader can draw, and heads that are really taken away."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from little_run import CONFIG

from w2v2_teach.analysis.attention import (
    HeadNumbers,
    attention_by_class,
    attention_entropy,
    attention_maps,
    attention_received,
    diagonality,
    distance_profile,
    globalness,
    head_ablation,
    head_numbers,
    head_types,
    masked_attention,
    mean_distance,
    position_alone,
    rollout,
    verticality,
    without_heads,
)
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.reference import transformers_config
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.evaluation import contrastive_metrics

T = 6
GLOBAL = np.full((T, T), 1 / T)
VERTICAL = np.eye(T)[np.full(T, 2)]  # everybody looks at frame 2
DIAGONAL = np.eye(T)
TOY = np.stack([GLOBAL, VERTICAL, DIAGONAL])  # (H, T, T)


@pytest.fixture(scope="module")
def model():
    """Two layers of two heads that look somewhere; fresh ones look everywhere alike."""
    torch.manual_seed(1)
    model = Wav2Vec2ForPreTraining(replace(CONFIG, num_hidden_layers=2, hidden_dropout=0.3)).eval()
    for layer in model.wav2vec2.encoder.layers:
        for linear in (layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj):
            linear.weight.data *= 20
    return model


def random_maps(*shape: int) -> np.ndarray:
    scores = np.exp(np.random.default_rng(0).normal(0, 2, shape))
    return scores / scores.sum(axis=-1, keepdims=True)


# --- one number a head -----------------------------------------------------------------------------------------------


def test_three_measures_of_three_maps_by_hand():
    assert globalness(TOY) == pytest.approx([math.log(6), 0, 0])
    assert verticality(TOY) == pytest.approx([-math.log(6), 0, -math.log(6)])
    # even: Σ|q - k| = 70 over 36 pairs; vertical: (2 + 1 + 0 + 1 + 2 + 3) over 6 queries
    assert diagonality(TOY) == pytest.approx([-70 / 36 / 6, -9 / 6 / 6, 0])
    assert mean_distance(TOY, 0.02) == pytest.approx([0.02 * 70 / 36, 0.02 * 1.5, 0])


def test_entropy_of_each_query():
    weights = np.array([[0.5, 0.5, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert attention_entropy(weights) == pytest.approx([math.log(2), 0, math.log(3)])
    assert attention_entropy(torch.tensor(weights)) == pytest.approx(attention_entropy(weights)), "tensors do, too"


def test_each_pure_map_has_its_type():
    assert head_types(head_numbers([TOY[None]])).tolist() == [["global", "vertical", "diagonal"]]
    shuffled = TOY[[2, 0, 1]]
    assert head_types(head_numbers([shuffled[:, None]])).tolist() == [["diagonal"], ["global"], ["vertical"]]


def test_numbers_are_means_over_utterances_of_any_length():
    short = np.stack([np.full((3, 3), 1 / 3), np.eye(3)])[None]  # (layers, H, T, T)
    long = np.stack([GLOBAL, DIAGONAL])[None]
    numbers = head_numbers([short, long])
    assert numbers.globalness == pytest.approx(np.array([[(math.log(3) + math.log(6)) / 2, 0]]))
    assert numbers.diagonality == pytest.approx(np.array([[-(8 / 9 / 3 + 70 / 36 / 6) / 2, 0]]))


def test_a_type_is_the_best_rank_and_then_the_greater_height():
    # head 1 is second in all three; in verticality it lies far above the mean
    numbers = HeadNumbers(np.array([[3.0, 2.1, 2.0]]), np.array([[1.0, 4.9, 5.0]]), np.array([[1.0, 1.1, 9.0]]))
    assert head_types(numbers)[0].tolist() == ["global", "vertical", "diagonal"]
    same = HeadNumbers(*np.ones((3, 1, 2)))
    assert set(head_types(same)[0]) <= {"global", "vertical", "diagonal"}, "heads that are all alike get a type as well"


# --- where the weight goes -------------------------------------------------------------------------------------------


def test_a_profile_of_distances_by_hand():
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 0.2, 0.8]])
    assert distance_profile(weights) == pytest.approx([0.0, 0.15, 1.9 / 3, 0.3, 0.2])


def test_position_alone_keeps_the_profile_and_forgets_the_frames():
    shifted = np.eye(T, k=1)
    shifted[-1, -1] = 1  # always the next frame; the last has only itself
    alone = position_alone(shifted)
    assert alone.sum(axis=1) == pytest.approx(1)
    assert alone[0, 1] > 0.8, "the next frame"
    assert position_alone(GLOBAL) == pytest.approx(GLOBAL)
    assert position_alone(DIAGONAL) == pytest.approx(DIAGONAL)
    assert position_alone(VERTICAL)[0, 0] > 0.1, "what all look at is nothing that distance knows"
    assert position_alone(TOY).shape == TOY.shape


def test_attention_by_class_by_hand():
    labels = ["s", "s", "v", "v", "v", "v"]
    even = attention_by_class([GLOBAL], [labels])
    assert even.classes == ("s", "v")
    assert even.ratio == pytest.approx(np.ones((2, 2)))
    assert even.frames.tolist() == [2, 4]
    # all look at frame 2, a "v": 1 where even gives 4/6, and nothing to "s"
    assert attention_by_class([VERTICAL], [labels]).ratio == pytest.approx(np.array([[0, 1.5], [0, 1.5]]))
    assert attention_by_class([DIAGONAL], [labels]).ratio == pytest.approx(np.array([[3, 0], [0, 1.5]]))
    several = attention_by_class([TOY, TOY[:, :3, :3] * 2], [labels, ["s", "n", "s"]])
    assert several.ratio.shape == (3, 3, 3)
    assert np.isnan(several.ratio[:, 0, 2]).all(), "'n' and 'v' never meet in one utterance"
    assert several.frames.tolist() == [1, 4, 4]


def test_what_follows_from_distance_can_be_taken_away():
    labels = ["s"] * 3 + ["v"] * 3
    near = position_alone(np.exp(-np.abs(np.subtract.outer(np.arange(T), np.arange(T)))))
    assert attention_by_class([near], [labels]).ratio[0, 0] > 1.5, "who looks nearby looks at his own kind"
    assert attention_by_class([near], [labels], [position_alone(near)]).ratio == pytest.approx(np.ones((2, 2)), abs=0.1)


def test_attention_received_by_hand():
    assert attention_received(TOY) == pytest.approx(np.array([[1] * 6, [0, 0, 6, 0, 0, 0], [1] * 6]))
    mask = np.array([False, False, True, True, False, False])
    share = masked_attention(TOY, mask)
    assert share.masked == pytest.approx([1, 3, 1])
    assert share.visible == pytest.approx([1, 0, 1])
    assert masked_attention(TOY, torch.tensor(mask)).masked == pytest.approx(share.masked)


def test_rollout_by_hand():
    # layer 1: mean of two heads is even; layer 2: everybody looks at frame 0
    even, first = np.full((2, 2), 0.5), np.array([[1.0, 0], [1, 0]])
    maps = np.stack([np.stack([np.eye(2), np.eye(2)[::-1]]), np.stack([first, first])])  # (layers, H, T, T)
    assert maps[0].mean(axis=0) == pytest.approx(even)
    layers = rollout(maps)
    assert layers[0] == pytest.approx(np.array([[0.75, 0.25], [0.25, 0.75]]))
    assert layers[1] == pytest.approx(np.array([[0.75, 0.25], [0.5, 0.5]]))
    assert rollout(random_maps(5, 3, 4, 4)).sum(axis=-1) == pytest.approx(1)


# --- models ----------------------------------------------------------------------------------------------------------


def test_maps_of_a_corpus_hold_no_padding(model, corpus, monkeypatch):
    monkeypatch.setattr("w2v2_teach.speech.batching.BATCH_SIZE", 3)
    maps = attention_maps(model.wav2vec2, corpus)
    for utterance, weights in zip(corpus, maps, strict=True):
        frames = CONFIG.frame_lengths(utterance.num_samples)
        assert weights.shape == (2, 2, frames, frames)
        assert weights.sum(axis=-1) == pytest.approx(1, abs=1e-5)
        with torch.no_grad():
            alone = model.wav2vec2(normalize(utterance.waveform())[None], output_attentions=True).attentions
        assert np.abs(weights - torch.stack(alone)[:, 0].numpy()).max() < 1e-4


@pytest.mark.parametrize("style", ["base_style", "large_style"])
def test_published_checkpoints_have_the_maps_that_transformers_gives(style, request, tmp_path, corpus):
    theirs = transformers.Wav2Vec2Model(transformers_config(request.getfixturevalue(style))).eval()
    theirs.save_pretrained(tmp_path)
    ours = Wav2Vec2Model.from_pretrained(tmp_path)
    (maps,) = attention_maps(ours, Corpus("one", [corpus[0]]))
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = theirs(normalize(corpus[0].waveform())[None], output_attentions=True).attentions
    wanted = torch.stack(attentions)[:, 0].numpy()
    assert np.abs(maps - wanted).max() < 1e-6
    assert head_numbers([maps]).globalness == pytest.approx(head_numbers([wanted]).globalness, abs=1e-5)


@pytest.mark.parametrize("style", ["base_style", "large_style"])
def test_without_a_head_is_without_its_columns(style, request, corpus):
    model = Wav2Vec2Model(request.getfixturevalue(style)).eval()
    x = normalize(corpus[0].waveform())[None]  # (1, L)
    with torch.no_grad():
        whole = model(x).last_hidden_state
        with without_heads(model, [(1, 2)]):
            without = model(x).last_hidden_state
            with_maps = model(x, output_attentions=True).last_hidden_state
        again = model(x).last_hidden_state
        model.encoder.layers[1].attention.out_proj.weight[:, 16:24] = 0  # width 8, the third
        wanted = model(x).last_hidden_state
    assert torch.equal(again, whole)
    torch.testing.assert_close(without, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(with_maps, wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(without, whole, atol=1e-4)


def test_a_head_comes_back_after_an_error_and_must_exist(model):
    out_proj = model.wav2vec2.encoder.layers[0].attention.out_proj
    with pytest.raises(TypeError), without_heads(model.wav2vec2, [(1, 0), (0, 1)]):
        model(None)
    assert not out_proj._forward_pre_hooks
    with (
        pytest.raises(IndexError, match="head 2 of layer 0: there are 2"),
        without_heads(model.wav2vec2, [(0, 1), (0, 2)]),
    ):
        pass
    assert not out_proj._forward_pre_hooks


@torch.no_grad()
def test_without_any_head_attention_adds_only_its_bias(model, corpus):
    x = normalize(corpus[0].waveform())[None]  # (1, L)
    with without_heads(model.wav2vec2, [(0, 0), (0, 1)]):
        without = model.wav2vec2(x, output_hidden_states=True).hidden_states
    layer = model.wav2vec2.encoder.layers[0]
    h = layer.layer_norm(without[0] + layer.attention.out_proj.bias)
    torch.testing.assert_close(without[1], layer.final_layer_norm(h + layer.feed_forward(h)), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_ablation_compares_like_with_like(model, corpus, monkeypatch):
    monkeypatch.setattr("w2v2_teach.speech.batching.BATCH_SIZE", 3)
    sets = [[], [(1, 0)], [(0, 0), (0, 1), (1, 0), (1, 1)]]
    found = head_ablation(model, corpus, sets, seed=3)
    assert found.loss.shape == found.correct.shape == (3, 7)
    for i, heads in enumerate(sets):
        with without_heads(model.wav2vec2, heads):
            metrics = contrastive_metrics(model, corpus, seed=3)
        assert found.frames.sum() == metrics["masked_frames"]
        assert found.loss[i].sum() / found.frames.sum() == pytest.approx(metrics["contrastive_loss"], abs=1e-5)
        assert found.correct[i].sum() / found.frames.sum() == pytest.approx(metrics["accuracy"])
    assert len(set(found.loss.sum(axis=1).round(3))) == 3, "every set costs something else"


@pytest.mark.parametrize("style", ["base_style", "large_style"])
def test_heads_of_published_checkpoints_can_be_taken_away(style, request, tmp_path, corpus):
    config = replace(request.getfixturevalue(style), mask_time_length=3)
    transformers.Wav2Vec2ForPreTraining(transformers_config(config)).save_pretrained(tmp_path)
    model = Wav2Vec2ForPreTraining.from_pretrained(tmp_path)
    found = head_ablation(model, corpus, [[], [(1, 3)]])
    metrics = contrastive_metrics(model, corpus)
    assert found.loss[0].sum() / found.frames.sum() == pytest.approx(metrics["contrastive_loss"], abs=1e-4)
    assert found.loss[1].sum() != found.loss[0].sum()


def test_each_utterance_has_its_own_loss(model, corpus):
    found = head_ablation(model, corpus, [[], [(0, 1)]])
    turned = head_ablation(model, Corpus("turned", list(corpus)[::-1]), [[], [(0, 1)]])
    assert turned.loss == pytest.approx(found.loss[:, ::-1], abs=1e-4), "in the order of the corpus"
    assert np.array_equal(turned.frames, found.frames[::-1])


@torch.no_grad()
def test_a_head_that_hands_over_nothing_is_not_missed(model, corpus):
    values = model.wav2vec2.encoder.layers[0].attention.v_proj
    before = values.weight.clone(), values.bias.clone()
    values.weight[:8], values.bias[:8] = 0, 0  # head 0 of two, each of width 8
    loss = head_ablation(model, corpus, [[], [(0, 0)], [(0, 1)]]).loss.sum(axis=1)
    values.weight.copy_(before[0])
    values.bias.copy_(before[1])
    assert loss[1] == pytest.approx(loss[0], abs=1e-3)
    assert abs(loss[2] - loss[0]) > 0.1
