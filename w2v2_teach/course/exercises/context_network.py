"""Checks of notebook 03: attention with a mask, mean distance, parameters, positional reach, pre-norm."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from w2v2_teach.course.exercises import Answer, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check
Branch = Callable[[Tensor], Tensor]  # (T, D) → (T, D)


def _attend(scores: Tensor, v: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    return scores.masked_fill(~mask, float("-inf")).softmax(dim) @ v


@exercise("Scaled, masked, summed to one: this is what every head computes.")
def check_attention(answer: Answer) -> None:
    """attention(q (T, d), k (T, d), v (T, d), frame_mask (T,)) → (T, d)."""
    for _ in range(ROUNDS):
        frames, width = int(torch.randint(5, 9, ())), int(torch.randint(10, 20, ()))
        q, k, v = 2 * torch.randn(3, frames, width)
        for real in (frames, frames - 2):
            mask = torch.arange(frames) < real  # (T,)
            got = call(answer, q, k, v, mask)
            wanted = _attend(q @ k.T / math.sqrt(width), v, mask)  # (T, d)
            recognize(got, wanted, _score_mistakes(q, k, v, mask) | _mask_mistakes(q, k, v, mask))
            expect(got, wanted, f"{real} of {frames} frames are real.")


def _score_mistakes(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> dict[str, Tensor]:
    frames, width = q.shape
    products = q @ k.T  # (T, T)
    root = math.sqrt(width)
    return {
        "The scores are not scaled: divide q kᵀ by √d.": _attend(products, v, mask),
        "You divided by d; divide by its square root.": _attend(products / width, v, mask),
        "You divided by √T; what makes scores large is the number of channels d, not of frames.": _attend(
            products / math.sqrt(frames), v, mask
        ),
        "Queries and keys have changed places: row t of q kᵀ belongs to the query t.": _attend(
            products.T / root, v, mask
        ),
    }


def _mask_mistakes(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> dict[str, Tensor]:
    scores = q @ k.T / math.sqrt(q.shape[1])  # (T, T)
    if mask.all():
        wrong = _attend(scores, v, mask, dim=0)
        return {"The softmax runs over the queries; each query's weights must add up to 1.": wrong}
    return {
        "The padded frames still take part: their scores must be -inf before the softmax.": scores.softmax(1) @ v,
        "The mask is upside down: True marks real frames, and the others must get no weight.": _attend(
            scores, v, ~mask
        ),
        "You masked the weights after the softmax, so that they no longer add up to 1; mask the scores.": (
            (scores.softmax(1) * mask) @ v
        ),
        "A score of 0 is not “no weight”: e⁰ = 1 enters the softmax. Use -inf.": (scores * mask).softmax(1) @ v,
    }


@exercise("Right: an even head is about a third of the utterance away, a diagonal one a few milliseconds.")
def check_mean_distance(answer: Answer) -> None:
    """mean_distance(attention (H, T, T), hop_ms) → (H,) in milliseconds."""
    for _ in range(ROUNDS):
        heads, frames = int(torch.randint(2, 5, ())), int(torch.randint(6, 12, ()))
        hop_ms = float(torch.randint(5, 30, ()))
        attention = torch.randn(heads, frames, frames).mul(2).softmax(2)
        signed = (torch.arange(frames) - torch.arange(frames)[:, None]).float()  # (T, T): key minus query
        distance = signed.abs()
        wanted = hop_ms * (attention * distance).sum(2).mean(1)  # (H,)
        got = call(answer, attention, hop_ms)
        recognize(
            got,
            wanted,
            {
                "This is in frames; multiply by the hop to get milliseconds.": wanted / hop_ms,
                "Frames ahead and frames behind cancel each other: take the absolute distance.": (
                    hop_ms * (attention * signed).sum(2).mean(1)
                ),
                "You squared the distance; the mean distance takes its absolute value.": (
                    hop_ms * (attention * distance**2).sum(2).mean(1)
                ),
                "You added up all queries; take their mean.": wanted * frames,
                "You averaged over keys, too; the weights already do that: sum over keys, mean over queries.": (
                    wanted / frames
                ),
                "This is the distance to each query's strongest key; weight every key instead.": hop_ms
                * (attention.argmax(2) - torch.arange(frames)).abs().float().mean(1),
                "You averaged the heads; one number per head is wanted.": wanted.mean(),
            },
        )
        expect(got, wanted, "Per query: the sum over keys of weight times |key − query|; then the mean over queries.")


@exercise("That is every number a layer learns; the count of heads appears nowhere in it.")
def check_layer_parameters(answer: Answer) -> None:
    """layer_parameters(width, inner) → int."""
    for width, inner in ((768, 3072), (1024, 4096), (160, 640), (10, 7)):
        square, feed = width * width, 2 * width * inner
        wanted = 4 * (square + width) + feed + inner + width + 4 * width
        got = call(answer, width, inner)
        recognize(
            got,
            wanted,
            {
                "The biases are missing: every linear layer has one number per output.": 4 * square + feed + 4 * width,
                "The two layer norms are missing, each with a scale and a shift per channel.": wanted - 4 * width,
                "A layer norm has a scale and a shift: twice the width, and there are two of them.": wanted - 2 * width,
                "Attention has four projections: query, key, value, and the output after the heads are joined.": (
                    wanted - square - width
                ),
                "The feed-forward network has two linear layers: one to its inner width, and one back.": (
                    wanted - width * inner - width
                ),
                "These are the weight matrices alone: add the biases and the layer norms.": 4 * square + feed,
            },
        )
        expect(got, wanted, f"The case was width {width}, inner width {inner}.", atol=0.5)


@exercise("Right: 1.28 s back and 1.26 s ahead for the paper's 128 frames.")
def check_positional_reach(answer: Answer) -> None:
    """positional_reach(kernel, hop_ms) → (back, ahead) in milliseconds."""
    for kernel, hop_ms in ((128, 20.0), (32, 20.0), (7, 20.0), (128, 2.0), (1, 10.0)):
        back, ahead = kernel // 2, (kernel - 1) // 2  # frames; an even kernel looks one further back
        got = call(answer, kernel, hop_ms)
        half = kernel / 2
        mistakes = {
            "This is in frames; multiply by the hop to get milliseconds.": [back, ahead],
            "These are back and ahead in the wrong order: where the kernel is even, the frame cut off is the last.": [
                hop_ms * ahead,
                hop_ms * back,
            ],
            "A kernel of k frames reaches k − 1 frames in all, back and ahead together: the frame itself is one.": [
                hop_ms * half,
                hop_ms * half,
            ],
            "The kernel is centered: it looks back and ahead, not only back.": [hop_ms * (kernel - 1), 0.0],
        }
        wanted = [hop_ms * back, hop_ms * ahead]
        recognize(got, wanted, mistakes)
        expect(got, wanted, f"The case was a kernel of {kernel} frames, {hop_ms:g} ms apart.")


@exercise("Right: the stream itself is never normalized, only what each branch reads from it.")
def check_pre_norm_layer(answer: Answer) -> None:
    """pre_norm_layer(x (T, D), attend, feed, norm1, norm2) → (T, D)."""
    for _ in range(ROUNDS):
        frames, width = int(torch.randint(4, 9, ())), int(torch.randint(4, 9, ()))
        x = 3 * torch.randn(frames, width) + 1
        mix, inner = torch.randn(frames, frames), nn.Linear(width, width).requires_grad_(False)
        norm1, norm2 = (nn.LayerNorm(width).requires_grad_(False) for _ in range(2))
        for norm in (norm1, norm2):  # different from each other, so that it shows which is used where
            nn.init.normal_(norm.weight)

        def attend(x: Tensor, mix: Tensor = mix) -> Tensor:
            return mix @ x

        def feed(x: Tensor, inner: nn.Module = inner) -> Tensor:
            return inner(x).relu()

        got = call(answer, x, attend, feed, norm1, norm2)
        half = x + attend(norm1(x))
        wanted = half + feed(norm2(half))  # (T, D)
        recognize(got, wanted, _layer_mistakes(x, attend, feed, norm1, norm2))
        expect(got, wanted, "x plus attention of the normalized x; then the same with feed-forward.")


def _layer_mistakes(x: Tensor, attend: Branch, feed: Branch, norm1: Branch, norm2: Branch) -> dict[str, Tensor]:
    half, post = x + attend(norm1(x)), norm1(x + attend(x))
    swapped, copy = x + attend(norm2(x)), norm1(x) + attend(norm1(x))
    return {
        "This is post-norm: pre-norm normalizes what goes into a branch, not the sum.": norm2(post + feed(post)),
        "The residual must carry x itself, not its normalized copy.": copy + feed(norm2(copy)),
        "The second branch must read the stream after the first has been added.": half + feed(norm2(x)),
        "You used one norm twice; each branch has its own.": half + feed(norm1(half)),
        "The norms have changed places: norm1 belongs to attention, norm2 to feed-forward.": swapped
        + feed(norm1(swapped)),
        "A residual is missing: each branch is added to the stream.": feed(norm2(half)),
        "A layer does not normalize its output; the final norm stands after the last layer.": (
            norm2(half + feed(norm2(half)))
        ),
    }
