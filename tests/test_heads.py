"""Heads for whole utterances: transformers' numbers with the same weights, pooling without padding, mixed layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.heads import (
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2ForSpeakerVerification,
    mean_pooling,
    statistics_pooling,
)
from w2v2_teach.reference import transformers_config

LABELS = ("yes", "no", "go", "stop")
SAMPLES = 4000
X = (torch.linspace(0, 900, 2 * SAMPLES).sin() + 0.2 * torch.linspace(0, 7000, 2 * SAMPLES).sin()).view(2, SAMPLES)
MASK = torch.ones(2, SAMPLES, dtype=torch.long)
MASK[1, 2500:] = 0


@pytest.fixture(params=["base_style", "large_style"])
def shape(request):
    return replace(
        request.getfixturevalue(request.param), labels=LABELS, classifier_proj_size=12, speaker_embedding_dim=6
    )


def classifier(shape, **changes) -> Wav2Vec2ForSequenceClassification:
    torch.manual_seed(0)
    return Wav2Vec2ForSequenceClassification(replace(shape, **changes)).requires_grad_(False).eval()


def speaker_model(shape, **changes) -> Wav2Vec2ForSpeakerVerification:
    torch.manual_seed(0)
    return Wav2Vec2ForSpeakerVerification(replace(shape, **changes)).requires_grad_(False).eval()


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
@pytest.mark.parametrize("mixed", [False, True])
def test_logits_are_transformers(shape, mixed, mask):
    ours = classifier(shape, use_weighted_layer_sum=mixed)
    if mixed:
        ours.layer_weights.copy_(torch.linspace(-1, 2, len(ours.layer_weights)))
    theirs = transformers.Wav2Vec2ForSequenceClassification(transformers_config(ours.config)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(X * MASK, mask), theirs(X * MASK, mask).logits, atol=1e-5, rtol=0)
    assert theirs.config.id2label == dict(enumerate(LABELS))


def test_a_checkpoint_of_it_loads_in_transformers(shape, tmp_path):
    ours = classifier(shape, use_weighted_layer_sum=True)
    ours.save_pretrained(tmp_path)
    theirs = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(X), theirs(X).logits, atol=1e-5, rtol=0)
    again = Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path)
    assert again.config == ours.config
    assert torch.equal(again(X), ours(X))


def test_weights_of_layers_that_are_not_mixed_are_refused(shape, tmp_path):
    classifier(shape, use_weighted_layer_sum=True).save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"use_weighted_layer_sum": true', '"use_weighted_layer_sum": false'))
    with pytest.raises(CheckpointError, match="has layer_weights"):
        Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize("make", [classifier, speaker_model])
def test_a_weight_of_one_picks_its_layer(shape, make):
    model = make(shape, use_weighted_layer_sum=True)
    states = model.wav2vec2(X, MASK, output_hidden_states=True).hidden_states
    for layer, state in enumerate(states):
        model.layer_weights.copy_(torch.full((len(states),), -100.0))
        model.layer_weights[layer] = 100
        torch.testing.assert_close(model.layer_sum(X, MASK)[0], state, atol=1e-6, rtol=0)
    model.layer_weights.zero_()
    torch.testing.assert_close(model.layer_sum(X, MASK)[0], torch.stack(states).mean(dim=0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [classifier, speaker_model])
def test_all_layers_learn_their_weight(shape, make):
    model = make(shape, use_weighted_layer_sum=True).requires_grad_(True)
    output = model(X, MASK)
    (output if isinstance(output, torch.Tensor) else output.embeddings).square().sum().backward()
    assert (model.layer_weights.grad != 0).all()
    assert not hasattr(make(shape), "layer_weights")


# --- pooling ---------------------------------------------------------------------------------------------------------


def test_pooling_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 2.0], [99.0, -99.0]]])  # (B, T, D), the last frame is padding
    mask = torch.tensor([[True, True, False]])
    assert mean_pooling(x, mask).tolist() == [[2, 2]]
    torch.testing.assert_close(statistics_pooling(x, mask), torch.tensor([[2.0, 2.0, 1.0, 0.0]]), atol=4e-3, rtol=0)


def test_statistics_are_numpys():
    x, mask = torch.randn(3, 20, 5), torch.arange(20) < torch.tensor([20, 13, 7])[:, None]
    pooled = statistics_pooling(x, mask)
    for row, frames, lengths in zip(pooled, x.numpy(), mask.sum(dim=1).tolist(), strict=True):
        wanted = np.concatenate([frames[:lengths].mean(axis=0), frames[:lengths].std(axis=0)])
        np.testing.assert_allclose(row, wanted, atol=1e-4)


def test_a_constant_has_a_finite_gradient():
    x = torch.ones(1, 4, 3, requires_grad=True)
    statistics_pooling(x, torch.ones(1, 4, dtype=torch.bool)).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("mixed", [False, True])
def test_padding_does_not_matter(base_style, mixed):
    """With a layer norm in the encoder: a group norm over time hears the padding (notebook 02)."""
    shape = replace(base_style, feat_extract_norm="layer", labels=LABELS, use_weighted_layer_sum=mixed)
    alone, padded = X[1:, :2500], torch.cat([X[1:, :2500], torch.zeros(1, 1500)], dim=1)
    model = speaker_model(shape)
    torch.testing.assert_close(model(padded, MASK[1:]).embeddings, model(alone).embeddings, atol=1e-5, rtol=0)
    torch.testing.assert_close(classifier(shape)(padded, MASK[1:]), classifier(shape)(alone), atol=1e-5, rtol=0)


# --- speakers --------------------------------------------------------------------------------------------------------


def test_an_embedding_is_a_linear_map_of_the_statistics(shape):
    model = speaker_model(shape)
    model.norm.running_mean.uniform_(-1, 1)
    model.norm.running_var.uniform_(1, 2)
    output = model(X, MASK)
    base = model.wav2vec2(X, MASK)
    statistics = statistics_pooling(base.last_hidden_state, base.frame_mask)
    standard = (statistics - model.norm.running_mean) / (model.norm.running_var + 1e-5).sqrt()
    wanted = model.embedding(standard)
    torch.testing.assert_close(output.embeddings, wanted)
    assert output.embeddings.shape == (2, 6)
    assert output.class_weights.shape == (4, 6)
    assert torch.equal(output.class_weights, model.class_weights)


def test_a_speaker_model_is_saved_and_loaded(shape, tmp_path):
    model = speaker_model(shape, use_weighted_layer_sum=True)
    model.save_pretrained(tmp_path)
    again = Wav2Vec2ForSpeakerVerification.from_pretrained(tmp_path)
    assert torch.equal(again(X).embeddings, model(X).embeddings)
    assert again.config.labels == LABELS


def test_embeddings_are_single_precision_under_autocast(base_style):
    model = speaker_model(replace(base_style, labels=LABELS))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(X, MASK).embeddings.dtype == torch.float32
