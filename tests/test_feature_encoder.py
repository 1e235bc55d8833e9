"""The encoder's geometry, its norms, and what padding does to each."""

import pytest
import torch

from w2v2_teach.config import BASE, LARGE, NOTES, PRESETS, TINY, Wav2Vec2Config
from w2v2_teach.feature_encoder import FeatureEncoder, GatedConvLayer, measured_receptive_field, receptive_field


def test_receptive_fields_of_the_presets():
    assert receptive_field(BASE)[-1] == receptive_field(LARGE)[-1] == receptive_field(TINY)[-1] == (400, 320)
    assert receptive_field(NOTES)[-1] == (352, 32)
    base, notes = receptive_field(BASE)[-1], receptive_field(NOTES)[-1]
    assert (base.ms, base.hop_ms, base.frame_rate) == (25.0, 20.0, 50.0)
    assert (notes.ms, notes.hop_ms, notes.frame_rate) == (22.0, 2.0, 500.0)


def test_receptive_field_by_hand():
    config = Wav2Vec2Config(conv_dim=(4, 4), conv_kernel=(3, 2), conv_stride=(2, 3))
    # layer 1: 3 samples, every 2; layer 2 sees 2 of those windows, 2 samples apart: 3 + 2 = 5, every 2 * 3 = 6
    assert receptive_field(config) == [(3, 2), (5, 6)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("frame", [0, 3])
def test_gradients_find_the_same_window(preset, frame):
    config = PRESETS[preset]
    assert measured_receptive_field(config, frame) == receptive_field(config)[-1].window(frame)


def test_it_is_measured_where_gradients_are_off_as_well():
    with torch.no_grad():
        assert measured_receptive_field(TINY) == receptive_field(TINY)[-1].window(3)


@pytest.mark.parametrize("preset", ["tiny", "notes"])
@pytest.mark.parametrize("samples", [400, 719, 720, 16000])
def test_as_many_frames_as_frame_lengths_says(preset, samples):
    config = PRESETS[preset]
    z = FeatureEncoder(config)(torch.randn(2, samples))  # (B, T, C)
    assert z.shape == (2, config.frame_lengths(samples), config.conv_dim[-1])


def test_a_gated_block_by_hand():
    """One channel, one window: convolution, group norm, ReLU times sigmoid of the gate, residual, layer norm."""
    config = Wav2Vec2Config(
        conv_dim=(2, 2), conv_kernel=(2, 2), conv_stride=(2, 2), conv_gate=True, feat_extract_activation="relu"
    )
    layer = GatedConvLayer(config, index=1).eval()
    gate = torch.nn.Conv1d(2, 2, kernel_size=1)
    with torch.no_grad():
        layer.gate_weight.fill_(0.7)
    x = torch.randn(1, 2, 6)  # (B, C, T)
    h = layer.conv(x)  # (1, 2, 3)
    h = (h - h.mean(2, keepdim=True)) / (h.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    h = h.clamp(min=0) * torch.sigmoid(0.7 * gate(h)) + x[:, :, [0, 2, 4]]
    expected = (h - h.mean(1, keepdim=True)) / (h.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x, gate), expected)


def test_the_notes_gate_is_one_module_for_all_layers():
    names = [name for name, _ in FeatureEncoder(NOTES).named_parameters()]
    assert [name for name in names if "gate." in name] == ["gate.weight", "gate.bias"]
    assert sum("gate_weight" in name for name in names) == 10


def _change_by_padding(config: Wav2Vec2Config) -> float:
    """Largest relative change of an utterance's frames when zeros follow it."""
    encoder = FeatureEncoder(config).eval()
    x = torch.randn(1, 8000)  # (B, L)
    with torch.no_grad():
        alone = encoder(x)  # (B, T, C)
        padded = encoder(torch.nn.functional.pad(x, (0, 8000)))[:, : alone.shape[1]]
    return ((padded - alone).abs().max() / alone.abs().max()).item()


def test_padding_leaks_through_group_norm_and_not_through_layer_norm(base_style, large_style):
    assert _change_by_padding(large_style) <= 1e-5
    assert _change_by_padding(TINY) <= 1e-5
    assert _change_by_padding(base_style) > 0.1


def test_group_norm_makes_the_base_encoder_blind_to_gain(base_style, large_style):
    x = torch.randn(1, 8000)
    with torch.no_grad():
        base, large = FeatureEncoder(base_style).eval(), FeatureEncoder(large_style).eval()
        torch.testing.assert_close(base(x), base(3 * x), atol=1e-3, rtol=1e-3)
        layer_zero = large.conv_layers[0]
        assert not torch.allclose(layer_zero.conv(x[:, None]), layer_zero.conv(3 * x[:, None]), atol=1e-3)
