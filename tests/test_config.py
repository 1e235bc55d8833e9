"""The presets are the published ones, and a wrong value is refused by name."""

import json

import pytest
import torch
import transformers

from w2v2_teach.config import BASE, LARGE, NOTES, PRESETS, TINY, ConfigError, Wav2Vec2Config


def test_base_and_large_have_the_papers_sizes():
    assert (BASE.num_hidden_layers, BASE.hidden_size, BASE.intermediate_size) == (12, 768, 3072)
    assert (LARGE.num_hidden_layers, LARGE.hidden_size, LARGE.intermediate_size) == (24, 1024, 4096)
    assert LARGE.num_attention_heads == 16
    assert BASE.conv_kernel == LARGE.conv_kernel == (10, 3, 3, 3, 3, 2, 2)
    assert BASE.conv_stride == LARGE.conv_stride == (5, 2, 2, 2, 2, 2, 2)


def test_notes_is_what_the_lecture_notes_describe():
    assert NOTES.conv_dim == (32,) * 10
    assert NOTES.conv_kernel == (2, 2, 2, 2, 2, 3, 3, 3, 3, 3)
    assert NOTES.conv_stride == (2, 2, 2, 2, 2, 1, 1, 1, 1, 1)
    assert NOTES.feat_extract_activation == "relu"


@pytest.mark.parametrize("samples", [399, 400, 719, 720, 16000, 16001, 123_457])
def test_frame_lengths_equal_transformers(samples):
    model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(num_hidden_layers=1))
    expected = int(model._get_feat_extract_output_lengths(torch.tensor(samples)))
    assert BASE.frame_lengths(samples) == expected
    assert BASE.frame_lengths(torch.tensor([samples])).tolist() == [expected]


def test_frame_lengths_by_hand():
    assert [BASE.frame_lengths(n) for n in (0, 399, 400, 719, 720, 16000)] == [0, 0, 1, 1, 2, 49]


@pytest.mark.parametrize("preset", PRESETS)
def test_dict_round_trip(preset):
    config = PRESETS[preset]
    assert Wav2Vec2Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("hidden_size", 0, "a positive whole number"),
        ("hidden_size", 12.0, "a positive whole number"),
        ("num_hidden_layers", True, "a positive whole number"),
        ("hidden_size", 770, "a multiple of num_attention_heads=12"),
        ("num_conv_pos_embedding_groups", 7, "a multiple of num_conv_pos_embedding_groups=7"),
        ("codevector_dim", 255, "a multiple of num_codevector_groups=2"),
        ("conv_dim", (), "one entry per convolution"),
        ("conv_kernel", (10, 3), "a tuple of 7 entries"),
        ("conv_stride", (5, 2, 2, 2, 2, 2, 0), "positive whole numbers"),
        ("feat_extract_norm", "batch", "'group' or 'layer'"),
        ("feat_extract_activation", "tanh", "'gelu' or 'relu'"),
        ("hidden_dropout", 1.5, "between 0 and 1"),
        ("layerdrop", float("nan"), "between 0 and 1"),
        ("diversity_loss_weight", -0.1, "zero or a positive number"),
        ("contrastive_logits_temperature", 0.0, "a positive number"),
        ("mask_time_min_masks", -1, "zero or a positive whole number"),
        ("conv_bias", "no", "True or False"),
        ("conv_dim", None, "a tuple of positive whole numbers"),
        ("conv_dim", 512, "a tuple of positive whole numbers"),
        ("labels", "yes", "a tuple of strings"),
        ("hidden_size", None, "a positive whole number"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(field, value, allowed):
    with pytest.raises(ConfigError) as error:
        Wav2Vec2Config(**{field: value})
    assert allowed in str(error.value)
    assert repr(value) in str(error.value) or field in str(error.value)


def test_a_gated_encoder_needs_one_width():
    with pytest.raises(ConfigError, match=r"conv_dim is .* of one width where conv_gate is on"):
        Wav2Vec2Config(conv_dim=(8, 8, 16), conv_kernel=(2, 2, 2), conv_stride=(2, 2, 2), conv_gate=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("add_adapter", True), ("adapter_attn_dim", 16), ("hidden_act", "relu"), ("model_type", "hubert")],
)
def test_an_unsupported_setting_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value!r}"):
        Wav2Vec2Config.from_dict({**TINY.to_dict(), name: value})


def test_transformers_refuses_the_notes_encoder():
    assert NOTES.to_dict()["model_type"] != "wav2vec2"


@pytest.mark.parametrize("names", [["yes", "no"], {"a": "yes"}, {"0": "yes", "2": "no"}, 3])
def test_labels_that_are_not_numbered_are_refused(names):
    with pytest.raises(ConfigError, match=r"id2label is .* it must give a label to each of"):
        Wav2Vec2Config.from_dict({**TINY.to_dict(), "id2label": names})
