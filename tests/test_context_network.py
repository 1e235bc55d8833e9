"""Attention by hand, both attention paths, positions, padding, layer drop."""

from dataclasses import replace

import pytest
import torch

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.context_network import ContextNetwork, ConvPositionalEmbedding, SelfAttention

ONE_HEAD = Wav2Vec2Config(hidden_size=2, num_attention_heads=1, num_conv_pos_embedding_groups=1, attention_dropout=0.0)


def test_attention_by_hand():
    attention = SelfAttention(ONE_HEAD)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        torch.nn.init.eye_(projection.weight)
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # (B, T, D)
    same, other = torch.tensor([1.0, 0.0]).div(2**0.5).softmax(0)  # scores q kᵀ / √2: 1/√2 with itself, 0 else
    c, weights = attention(x, output_attentions=True)
    torch.testing.assert_close(weights[0, 0], torch.stack([same, other, other, same]).view(2, 2))
    torch.testing.assert_close(c, weights[0, 0] @ x)


@pytest.fixture(scope="module", params=["base_style", "large_style"])  # post-norm, pre-norm
def network(request):
    torch.manual_seed(0)
    return ContextNetwork(request.getfixturevalue(request.param)).eval()


def test_both_attention_paths_agree(network):
    x = torch.randn(3, 20, 32)  # (B, T, D)
    frame_mask = torch.arange(20) < torch.tensor([[20], [13], [1]])  # (B, T)
    for mask in (None, frame_mask):
        slow = network(x, mask, output_attentions=True)
        torch.testing.assert_close(slow.last_hidden_state, network(x, mask).last_hidden_state, atol=1e-5, rtol=0)
        assert len(slow.attentions) == len(network.layers)
        torch.testing.assert_close(slow.attentions[0].sum(3), torch.ones(3, 4, 20))


def test_padding_gets_no_attention_and_changes_nothing(network):
    x = torch.randn(1, 13, 32)  # (B, T, D)
    padded = torch.cat([x, 9 * torch.randn(1, 7, 32)], dim=1)  # what stands in the padding must not matter
    frame_mask = (torch.arange(20) < 13)[None]  # (B, T)
    out = network(padded, frame_mask, output_attentions=True)
    torch.testing.assert_close(out.last_hidden_state[:, :13], network(x).last_hidden_state, atol=1e-5, rtol=0)
    assert out.attentions[0][..., 13:].abs().max() == 0


def test_hidden_states_are_the_input_and_each_layers_output(network):
    x = torch.randn(1, 5, 32)
    out = network(x, output_hidden_states=True)
    assert len(out.hidden_states) == 1 + len(network.layers)
    torch.testing.assert_close(network.layers[0](out.hidden_states[0])[0], out.hidden_states[1])
    assert network(x).hidden_states == []


@pytest.mark.parametrize("kernel", [7, 8])
def test_positional_embedding_keeps_the_length_and_tells_order(kernel):
    config = replace(ONE_HEAD, num_conv_pos_embeddings=kernel)
    embed = ConvPositionalEmbedding(config)
    x = torch.randn(1, 30, 2)  # (B, T, D)
    assert embed(x).shape == x.shape
    order = torch.randperm(30)
    assert not torch.allclose(embed(x)[:, order], embed(x[:, order]), atol=1e-3)


def test_attention_without_positions_cannot_tell_order(network):
    x = torch.randn(1, 30, 32)
    order = torch.randperm(30)
    layer = network.layers[0]
    torch.testing.assert_close(layer(x)[0][:, order], layer(x[:, order])[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(network(x)[0][:, order], network(x[:, order])[0], atol=1e-3)


def test_positional_weights_start_as_the_papers_code_draws_them():
    config = Wav2Vec2Config()
    weight = ConvPositionalEmbedding(config).conv.weight
    assert weight.std().item() == pytest.approx((4 / (128 * 768)) ** 0.5, rel=0.01)


def test_layer_drop_skips_whole_layers_in_training_only():
    config = Wav2Vec2Config(
        hidden_size=8, num_attention_heads=2, num_conv_pos_embedding_groups=2, num_hidden_layers=400, layerdrop=0.25
    )
    network = ContextNetwork(config)
    x = torch.randn(1, 4, 8)
    kept = len(network.train()(x, output_hidden_states=True).hidden_states) - 1
    assert 250 < kept < 350  # 300 expected, standard deviation 8.7
    assert len(network.eval()(x, output_hidden_states=True).hidden_states) - 1 == 400
