"""The whole model against transformers, with the same weights: every stage, padded and not."""

import random

import pytest
import torch
import transformers

from w2v2_teach.config import BASE, LARGE, NOTES, TINY, Wav2Vec2Config
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.reference import stage_differences, to_transformers, transformers_config


def random_config(seed: int) -> Wav2Vec2Config:
    draw = random.Random(seed)
    layers = draw.randint(1, 5)
    heads, groups = draw.choice([1, 2, 4]), draw.choice([1, 2, 4, 8])
    return Wav2Vec2Config(
        conv_dim=tuple(draw.choice([8, 16, 24]) for _ in range(layers)),
        conv_kernel=tuple(draw.randint(1, 10) for _ in range(layers)),
        conv_stride=tuple(draw.randint(1, 5) for _ in range(layers)),
        conv_bias=draw.random() < 0.5,
        feat_extract_norm=draw.choice(["group", "layer"]),
        feat_extract_activation=draw.choice(["gelu", "relu"]),
        hidden_size=8 * draw.randint(1, 6),
        num_hidden_layers=draw.randint(1, 4),
        num_attention_heads=heads,
        intermediate_size=draw.randint(8, 80),
        num_conv_pos_embeddings=draw.randint(1, 20),
        num_conv_pos_embedding_groups=groups,
        do_stable_layer_norm=draw.random() < 0.5,
        layer_norm_eps=draw.choice([1e-5, 1e-6, 1e-3]),
    )


def padded_batch(config: Wav2Vec2Config, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three utterances of 1 to 60 frames and a few samples more, as (B, L) samples and mask."""
    draw = random.Random(seed)
    field = receptive_field(config)[-1]
    more = [field.hop * draw.randint(0, 59) + draw.randrange(field.hop) for _ in range(3)]
    lengths = field.samples + torch.tensor(more)
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    return torch.randn(mask.shape) * mask, mask


def assert_parity(config: Wav2Vec2Config, seed: int) -> None:
    torch.manual_seed(seed)
    model = Wav2Vec2Model(config).eval()
    hf_model = to_transformers(model)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in hf_model.parameters())
    input_values, mask = padded_batch(config, seed)
    for attention_mask in (None, mask):
        differences = stage_differences(model, hf_model, input_values, attention_mask)
        assert max(differences.values()) <= 1e-5, differences


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_parity_on_random_configurations(seed):
    assert_parity(random_config(seed), seed)


def test_parity_of_each_style(base_style, large_style):
    for config in (base_style, large_style, TINY):
        assert_parity(config, seed=0)


def test_parity_notices_a_changed_weight(base_style):
    model = Wav2Vec2Model(base_style).eval()
    hf_model = to_transformers(model)
    with torch.no_grad():
        model.encoder.layers[1].attention.k_proj.weight[0, 0] += 0.1
    differences = stage_differences(model, hf_model, torch.randn(1, 4000))
    assert differences["hidden state 1"] <= 1e-5 < differences["hidden state 2"]


def test_parameter_counts_of_the_published_presets():
    for config in (BASE, LARGE):
        with torch.device("meta"):  # shapes alone, no memory
            ours, theirs = Wav2Vec2Model(config), transformers.Wav2Vec2Model(transformers_config(config))
        assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_notes_has_no_reference():
    with pytest.raises(ValueError, match="no gated encoder"):
        transformers_config(NOTES)


@pytest.fixture(scope="module", params=["large style", "notes"])
def model(request, large_style):
    torch.manual_seed(0)
    return Wav2Vec2Model({"large style": large_style, "notes": NOTES}[request.param]).eval()


def test_shapes_and_frame_mask(model):
    input_values, mask = padded_batch(model.config, seed=1)
    out = model(input_values, mask)
    frames = model.config.frame_lengths(input_values.shape[1])
    assert out.last_hidden_state.shape == (3, frames, model.config.hidden_size)
    assert out.extract_features.shape == (3, frames, model.config.conv_dim[-1])
    assert out.frame_mask.sum(1).tolist() == model.config.frame_lengths(mask.sum(1)).tolist()


def test_without_padding_every_frame_is_real_and_attention_gets_no_mask(model):
    masks = []
    hook = model.encoder.register_forward_pre_hook(lambda _module, inputs: masks.append(inputs[1]))
    out = model(torch.randn(2, 4000))
    hook.remove()
    assert out.frame_mask.dtype == torch.bool
    assert out.frame_mask.shape == out.last_hidden_state.shape[:2]
    assert out.frame_mask.all()
    assert masks == [None]


def test_a_padded_utterance_gives_the_same_frames_as_alone(large_style):
    model = Wav2Vec2Model(large_style).eval()
    input_values, mask = padded_batch(large_style, seed=2)
    batch = model(input_values, mask)
    for row, samples in enumerate(mask.sum(1).tolist()):
        alone = model(input_values[row : row + 1, :samples]).last_hidden_state[0]  # (T, D)
        difference = batch.last_hidden_state[row, : len(alone)] - alone
        assert difference.abs().max() <= 1e-5


def test_masked_frames_become_the_mask_vector(model):
    x = torch.randn(2, 4000)
    masked = torch.zeros(2, model.config.frame_lengths(4000), dtype=torch.bool)
    masked[0, 3:9] = True
    plain, hidden = model(x), model(x, mask_time_indices=masked)
    torch.testing.assert_close(plain.last_hidden_state[1], hidden.last_hidden_state[1])
    assert not torch.allclose(plain.last_hidden_state[0], hidden.last_hidden_state[0], atol=1e-3)
    torch.testing.assert_close(plain.extract_features, hidden.extract_features)  # targets are never masked


def test_masking_equals_transformers(large_style):
    model = Wav2Vec2Model(large_style).eval()
    hf_model = to_transformers(model)
    x = torch.randn(2, 4000)
    masked = torch.rand(2, large_style.frame_lengths(4000)) < 0.3
    ours = model(x, mask_time_indices=masked).last_hidden_state
    theirs = hf_model(x, mask_time_indices=masked).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_bad_input_is_named(large_style):
    model = Wav2Vec2Model(large_style)
    with pytest.raises(ValueError, match="must be \\(B, L\\)"):
        model(torch.randn(4000))
    with pytest.raises(ValueError, match="they must agree"):
        model(torch.randn(2, 4000), torch.ones(2, 3999))
    with pytest.raises(ValueError, match="padding must be on the right"):
        model(torch.randn(1, 4000), torch.tensor([[0] + [1] * 3999]))
    with pytest.raises(ValueError, match="Utterance 0 has 39 samples; the first frame needs 40"):
        model(torch.randn(1, 39))
    mask = torch.ones(2, 4000)
    mask[1, 12:] = 0
    with pytest.raises(ValueError, match="Utterance 1 has 12 samples"):
        model(torch.randn(2, 4000), mask)
