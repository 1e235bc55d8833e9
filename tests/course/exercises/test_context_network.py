"""The checks of notebook 03 refuse plausible mistakes, each with its own words, and pass what is right."""

import math

import torch
from answers import AnswerTests

from w2v2_teach.config import BASE, TINY
from w2v2_teach.context_network import ConvPositionalEmbedding, SelfAttention, TransformerLayer
from w2v2_teach.course.exercises import context_network as checks


def masked(scores, mask):
    return scores.masked_fill(~mask, float("-inf"))


def attention(q, k, v, mask):
    return masked(q @ k.T / math.sqrt(q.shape[1]), mask).softmax(1) @ v


def mean_distance(attention, hop_ms):
    frames = torch.arange(attention.shape[2])
    return hop_ms * (attention * (frames - frames[:, None]).abs()).sum(2).mean(1)


def layer_parameters(width, inner):
    return 4 * width * (width + 1) + inner * (width + 1) + width * (inner + 1) + 4 * width


def positional_reach(kernel, hop_ms):
    return hop_ms * (kernel // 2), hop_ms * ((kernel - 1) // 2)


def pre_norm_layer(x, attend, feed, norm1, norm2):
    x = x + attend(norm1(x))
    return x + feed(norm2(x))


def post_norm_layer(x, attend, feed, norm1, norm2):
    x = norm1(x + attend(x))
    return norm2(x + feed(x))


SOLUTIONS = [
    (checks.check_attention, attention),
    (checks.check_mean_distance, mean_distance),
    (checks.check_layer_parameters, layer_parameters),
    (checks.check_positional_reach, positional_reach),
    (checks.check_pre_norm_layer, pre_norm_layer),
]

WRONG = [
    (checks.check_attention, lambda q, k, v, m: masked(q @ k.T, m).softmax(1) @ v, "not scaled"),
    (checks.check_attention, lambda q, k, v, m: masked(q @ k.T / q.shape[1], m).softmax(1) @ v, "square root"),
    (checks.check_attention, lambda q, k, v, m: attention(k, q, v, m), "changed places"),
    (checks.check_attention, lambda q, k, v, m: attention(q, k, v, m | True), "still take part"),
    (checks.check_attention, lambda q, k, v, m: attention(q, k, v, m.all() | ~m), "upside down"),
    (
        checks.check_attention,
        lambda q, k, v, m: ((q @ k.T / q.shape[1] ** 0.5).softmax(1) * m) @ v,
        "after the softmax",
    ),
    (checks.check_attention, lambda q, k, v, m: (m * (q @ k.T) / q.shape[1] ** 0.5).softmax(1) @ v, "e⁰ = 1"),
    (
        checks.check_attention,
        lambda q, k, v, m: masked(q @ k.T / q.shape[1] ** 0.5, m).softmax(0) @ v,
        "over the queries",
    ),
    (checks.check_attention, lambda q, k, v, m: attention(q, k, v, m)[0], "shape"),
    (checks.check_mean_distance, lambda a, _: mean_distance(a, 1), "in frames"),
    (checks.check_mean_distance, lambda a, hop: mean_distance(a, hop).mean(), "one number per head"),
    (checks.check_mean_distance, lambda a, hop: a.shape[2] * mean_distance(a, hop), "take their mean"),
    (checks.check_mean_distance, lambda a, hop: mean_distance(a, hop) / a.shape[2], "averaged over keys"),
    (
        checks.check_mean_distance,
        lambda a, hop: hop * (a.argmax(2) - torch.arange(a.shape[2])).abs().float().mean(1),
        "strongest key",
    ),
    (
        checks.check_mean_distance,
        lambda a, hop: hop * (a * (torch.arange(a.shape[2]) - torch.arange(a.shape[2])[:, None])).sum(2).mean(1),
        "cancel each other",
    ),
    (checks.check_layer_parameters, lambda d, f: 4 * d * d + 2 * d * f, "weight matrices alone"),
    (checks.check_layer_parameters, lambda d, f: layer_parameters(d, f) - d * d - d, "four projections"),
    (checks.check_layer_parameters, lambda d, f: layer_parameters(d, f) - 4 * d, "layer norms are missing"),
    (checks.check_layer_parameters, lambda d, f: layer_parameters(d, f) - 5 * d - f, "biases"),
    (checks.check_positional_reach, lambda k, hop: (hop * k / 2, hop * k / 2), "k − 1 frames in all"),
    (checks.check_positional_reach, lambda k, _: (k // 2, (k - 1) // 2), "in frames"),
    (checks.check_positional_reach, lambda k, hop: positional_reach(k, hop)[::-1], "wrong order"),
    (checks.check_positional_reach, lambda k, hop: (hop * (k - 1), 0.0), "not only back"),
    (checks.check_positional_reach, lambda k, hop: hop * k, "shape"),
    (checks.check_pre_norm_layer, post_norm_layer, "post-norm"),
    (checks.check_pre_norm_layer, lambda x, a, f, n, _: pre_norm_layer(x, a, f, n, n), "one norm twice"),
    (checks.check_pre_norm_layer, lambda x, a, f, n, m: pre_norm_layer(x, a, f, m, n), "changed places"),
    (checks.check_pre_norm_layer, lambda x, a, f, n, m: x + a(n(x)) + f(m(x)), "after the first has been added"),
    (checks.check_pre_norm_layer, lambda x, a, f, n, m: f(m(x + a(n(x)))), "residual is missing"),
    (
        checks.check_pre_norm_layer,
        lambda x, a, f, n, m: m(pre_norm_layer(x, a, f, n, m)),
        "does not normalize its output",
    ),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


def test_the_solutions_agree_with_the_model():
    layer = TransformerLayer(BASE)
    assert layer_parameters(768, 3072) == sum(p.numel() for p in layer.parameters())

    one_head = SelfAttention(TINY).requires_grad_(False).eval()
    one_head.num_heads = 1
    x = torch.randn(1, 9, 160)
    q, k, v = (project(x[0]) for project in (one_head.q_proj, one_head.k_proj, one_head.v_proj))
    mask = torch.arange(9) < 7
    torch.testing.assert_close(one_head.out_proj(attention(q, k, v, mask)), one_head(x, mask[None])[0][0])


def test_the_reach_is_that_of_the_positional_convolution():
    embed = ConvPositionalEmbedding(TINY).requires_grad_(False)
    impulse = torch.zeros(1, 100, 160)
    impulse[0, 50] = 1
    touched = embed(impulse)[0].abs().sum(1).nonzero().flatten()  # the frames that see frame 50
    back, ahead = positional_reach(TINY.num_conv_pos_embeddings, 1)
    assert (touched[0], touched[-1]) == (50 - ahead, 50 + back)
