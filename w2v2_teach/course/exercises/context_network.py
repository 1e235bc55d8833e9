"""Exercises of notebook 03: attention with a mask, mean distance, parameters, positional reach, pre-norm."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from w2v2_teach.course.exercises import Exercise, rounds, whole

Branch = Callable[[Tensor], Tensor]  # (T, D) → (T, D)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.T / math.sqrt(q.shape[1])  # (T, T)


def _attend(scores: Tensor, v: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    return scores.masked_fill(~mask, float("-inf")).softmax(dim) @ v


def attention(q: Tensor, k: Tensor, v: Tensor, frame_mask: Tensor) -> Tensor:
    """Scaled dot-product attention (T, d) of q, k, v (T, d) to the real frames of frame_mask (T,)."""
    return _attend(_scores(q, k), v, frame_mask)


check_attention = Exercise(
    solution=attention,
    cases=lambda: [
        (*(2 * torch.randn(3, frames, whole(10, 20))), torch.arange(frames) < real)
        for frames in (5, 6, 7, 8)
        for real in (frames, frames - 2)
    ],
    passed="Scaled, masked, summed to one: this is what every head computes.",
    mistakes={
        "The scores are not scaled: divide q kᵀ by √d.": lambda q, k, v, mask: _attend(q @ k.T, v, mask),
        "You divided by d; divide by its square root.": lambda q, k, v, mask: _attend(q @ k.T / q.shape[1], v, mask),
        "You divided by √T; what makes scores large is the number of channels d, not of frames.":
            lambda q, k, v, mask: _attend(q @ k.T / math.sqrt(len(q)), v, mask),
        "Queries and keys have changed places: row t of q kᵀ belongs to the query t.":
            lambda q, k, v, mask: attention(k, q, v, mask),
        "The softmax runs over the queries; each query's weights must add up to 1.":
            lambda q, k, v, mask: _attend(_scores(q, k), v, mask, dim=0),
        "The padded frames still take part: their scores must be -inf before the softmax.":
            lambda q, k, v, _: _scores(q, k).softmax(1) @ v,
        "The mask is upside down: True marks real frames, and the others must get no weight.":
            lambda q, k, v, mask: attention(q, k, v, ~mask),
        "You masked the weights after the softmax, so that they no longer add up to 1; mask the scores.":
            lambda q, k, v, mask: (_scores(q, k).softmax(1) * mask) @ v,
        "A score of 0 is not “no weight”: e⁰ = 1 enters the softmax. Use -inf.":
            lambda q, k, v, mask: (_scores(q, k) * mask).softmax(1) @ v,
    },
)  # fmt: skip


def _offsets(frames: int) -> Tensor:
    return torch.arange(frames) - torch.arange(frames)[:, None]  # (T, T): key minus query


def mean_distance(attention: Tensor, hop_ms: float) -> Tensor:
    """How far the heads of attention (H, T, T) look, in milliseconds: (H,)."""
    return hop_ms * (attention * _offsets(attention.shape[2]).abs()).sum(2).mean(1)


check_mean_distance = Exercise(
    solution=mean_distance,
    cases=rounds(lambda: (torch.randn(whole(2, 5), T := whole(6, 12), T).mul(2).softmax(2), whole(5, 30) + 0.5)),
    passed="Right: an even head is about a third of the utterance away, a diagonal one a few milliseconds.",
    hint="Per query: the sum over keys of weight times |key − query|; then the mean over queries.",
    mistakes={
        "This is in frames; multiply by the hop to get milliseconds.": lambda a, _: mean_distance(a, 1),
        "Frames ahead and frames behind cancel each other: take the absolute distance.":
            lambda a, hop: hop * (a * _offsets(a.shape[2])).sum(2).mean(1),
        "You squared the distance; the mean distance takes its absolute value.":
            lambda a, hop: hop * (a * _offsets(a.shape[2]) ** 2).sum(2).mean(1),
        "You added up all queries; take their mean.": lambda a, hop: a.shape[2] * mean_distance(a, hop),
        "You averaged over keys, too; the weights already do that: sum over keys, mean over queries.":
            lambda a, hop: mean_distance(a, hop) / a.shape[2],
        "This is the distance to each query's strongest key; weight every key instead.":
            lambda a, hop: hop * (a.argmax(2) - torch.arange(a.shape[2])).abs().float().mean(1),
        "You averaged the heads; one number per head is wanted.": lambda a, hop: mean_distance(a, hop).mean(),
    },
)  # fmt: skip


def layer_parameters(width: int, inner: int) -> int:
    """How many numbers a Transformer layer learns: attention, feed-forward, two layer norms."""
    return 4 * width * (width + 1) + inner * (width + 1) + width * (inner + 1) + 4 * width


check_layer_parameters = Exercise(
    solution=layer_parameters, cases=lambda: [(768, 3072), (1024, 4096), (160, 640), (10, 7)], atol=0.5,
    passed="That is every number a layer learns; the count of heads appears nowhere in it.",
    mistakes={
        "The biases are missing: every linear layer has one number per output.":
            lambda d, f: 4 * d * d + 2 * d * f + 4 * d,
        "The two layer norms are missing, each with a scale and a shift per channel.":
            lambda d, f: layer_parameters(d, f) - 4 * d,
        "A layer norm has a scale and a shift: twice the width, and there are two of them.":
            lambda d, f: layer_parameters(d, f) - 2 * d,
        "Attention has four projections: query, key, value, and the output after the heads are joined.":
            lambda d, f: layer_parameters(d, f) - d * d - d,
        "The feed-forward network has two linear layers: one to its inner width, and one back.":
            lambda d, f: layer_parameters(d, f) - d * f - d,
        "These are the weight matrices alone: add the biases and the layer norms.": lambda d, f: 4 * d * d + 2 * d * f,
    },
)  # fmt: skip


def positional_reach(kernel: int, hop_ms: float) -> tuple[float, float]:
    """How far the positional convolution sees back and ahead, in milliseconds."""
    return hop_ms * (kernel // 2), hop_ms * ((kernel - 1) // 2)  # an even kernel looks one frame further back


check_positional_reach = Exercise(
    solution=positional_reach, cases=lambda: [(128, 20.0), (32, 20.0), (7, 20.0), (128, 2.0), (1, 10.0)],
    passed="Right: 1.28 s back and 1.26 s ahead for the paper's 128 frames.",
    mistakes={
        "This is in frames; multiply by the hop to get milliseconds.": lambda k, _: positional_reach(k, 1),
        "These are back and ahead in the wrong order: where the kernel is even, the frame cut off is the last.":
            lambda k, hop: positional_reach(k, hop)[::-1],
        "A kernel of k frames reaches k − 1 frames in all, back and ahead together: the frame itself is one.":
            lambda k, hop: (hop * k / 2, hop * k / 2),
        "The kernel is centered: it looks back and ahead, not only back.": lambda k, hop: (hop * (k - 1), 0.0),
    },
)  # fmt: skip


def pre_norm_layer(x: Tensor, attend: Branch, feed: Branch, norm1: Branch, norm2: Branch) -> Tensor:
    """A pre-norm Transformer layer: x (T, D) → (T, D)."""
    x = x + attend(norm1(x))
    return x + feed(norm2(x))


def _layer_case() -> tuple[Any, ...]:
    frames, width = whole(4, 9), whole(4, 9)
    mix, inner = torch.randn(frames, frames), nn.Linear(width, width).requires_grad_(False)
    norms = [nn.LayerNorm(width).requires_grad_(False) for _ in range(2)]
    for norm in norms:  # different from each other, so that it shows which is used where
        nn.init.normal_(norm.weight)
    return 3 * torch.randn(frames, width) + 1, lambda x: mix @ x, lambda x: inner(x).relu(), *norms


check_pre_norm_layer = Exercise(
    solution=pre_norm_layer, cases=rounds(_layer_case),
    passed="Right: the stream itself is never normalized, only what each branch reads from it.",
    hint="x plus attention of the normalized x; then the same with feed-forward.",
    mistakes={
        "This is post-norm: pre-norm normalizes what goes into a branch, not the sum.":
            lambda x, a, f, n, m: m((y := n(x + a(x))) + f(y)),
        "The residual must carry x itself, not its normalized copy.":
            lambda x, a, f, n, m: (y := n(x) + a(n(x))) + f(m(y)),
        "The second branch must read the stream after the first has been added.":
            lambda x, a, f, n, m: x + a(n(x)) + f(m(x)),
        "You used one norm twice; each branch has its own.": lambda x, a, f, n, _: pre_norm_layer(x, a, f, n, n),
        "The norms have changed places: norm1 belongs to attention, norm2 to feed-forward.":
            lambda x, a, f, n, m: pre_norm_layer(x, a, f, m, n),
        "A residual is missing: each branch is added to the stream.": lambda x, a, f, n, m: f(m(x + a(n(x)))),
        "A layer does not normalize its output; the final norm stands after the last layer.":
            lambda x, a, f, n, m: m(pre_norm_layer(x, a, f, n, m)),
    },
)  # fmt: skip
