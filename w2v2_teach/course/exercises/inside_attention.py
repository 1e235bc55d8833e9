"""Exercises of notebook 09: verticality, attention from class to class, rollout, taking a head away."""

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from w2v2_teach.analysis.attention import verticality
from w2v2_teach.course.exercises import Answer, Exercise, Mistake, call, not_finite, rounds, whole


def _maps(*shape: int) -> Tensor:
    return torch.randn(*shape).mul(2).softmax(dim=-1)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(dim=-1)


check_verticality = Exercise(
    solution=verticality,
    cases=lambda: [
        *rounds(lambda: (_maps(whole(2, 5), T := whole(5, 9), T),))(),
        (torch.stack([torch.eye(6)[[2] * 6], torch.eye(6)]),),  # all look at 2; zeros, whose logarithm is -inf
    ],
    passed="Right: 0 where all look at one key, -ln T where no key is preferred by all.",
    hint="The mean over the queries is one distribution over the keys: minus its entropy.",
    mistakes={
        "There is NaN in your result: 0 · ln 0 counts as 0. torch.xlogy(p, p) knows that.":
            Mistake(lambda a: (a.mean(dim=1) * a.mean(dim=1).log()).sum(dim=1), not_finite),
        "The sign is upside down: where all agree on one key, entropy is low and verticality high.":
            lambda a: -verticality(a),
        "You took the mean of the queries' entropies (minus globalness): average the queries first.":
            lambda a: -_entropy(a).mean(dim=1),
        "This is globalness: average the queries first, and mind the sign.": lambda a: _entropy(a).mean(dim=1),
        "You averaged over the keys, the last axis: average over the queries.": lambda a: -_entropy(a.mean(dim=2)),
        "This is in bits; use the natural logarithm.": lambda a: verticality(a) / math.log(2),
        "You averaged the heads as well; one number per head is wanted.": lambda a: verticality(a).mean(),
    },
)  # fmt: skip


def _asked_share(attention: Tensor, asking: Tensor, asked: Tensor) -> Tensor:
    return attention[asking][:, asked].sum(dim=1).mean()


def class_ratio(attention: Tensor, asking: Tensor, asked: Tensor) -> Tensor:
    """The attention (T, T) from the frames asking (T,) to those asked (T,), over what an even spread gives them."""
    return _asked_share(attention, asking, asked) / asked.float().mean()


def _class_case() -> tuple[Tensor, ...]:
    frames = whole(8, 14)
    asking, asked = torch.rand(2, frames) < 0.4  # (T,) each
    asking[:4], asked[2:5] = torch.tensor([True, True, True, False]), torch.tensor([False, True, True])
    asking[5] ^= int(asking.sum()) == int(asked.sum()) ** 2  # there, two mistakes would give the same number
    return _maps(frames, frames), asking, asked


check_class_ratio = Exercise(
    solution=class_ratio, cases=rounds(_class_case),
    passed="Right: 1 is what a head reaches that knows nothing.",
    hint="Per asking query, sum the asked keys; then the mean, over the asked frames' share of T.",
    mistakes={
        "This is the share itself; divide it by what an even spread gives: the asked frames' share.": _asked_share,
        "You compare with the share of the asking frames; an even spread gives the asked ones their share.":
            lambda a, asking, asked: _asked_share(a, asking, asked) / asking.float().mean(),
        "The roles have changed places: rows of the map are the frames that ask.":
            lambda a, asking, asked: class_ratio(a, asked, asking),
        "You added up all queries; take their mean.":
            lambda a, asking, asked: class_ratio(a, asking, asked) * asking.sum(),
        "You took the mean over the keys; what they get together is their share: sum over keys.":
            lambda a, asking, asked: a[asking][:, asked].mean() / asked.float().mean(),
        "You averaged over all queries; only the asking ones count.":
            lambda a, asking, asked: class_ratio(a, asking | True, asked),
    },
)  # fmt: skip


def _steps(attentions: Tensor, residual: float = 0.5, own: float = 0.5) -> list[Tensor]:
    """What each layer mixes, heads averaged, (T, T): `own` of its attention and `residual` of the identity."""
    return [own * a.mean(dim=0) + residual * torch.eye(a.shape[-1]) for a in attentions]


def _product(steps: list[Tensor]) -> Tensor:
    return reduce(lambda mixed, step: step @ mixed, steps)


def rollout(attentions: Tensor) -> Tensor:
    """Attention rollout of attentions (layers, H, T, T): (T, T)."""
    return _product(_steps(attentions))


check_rollout = Exercise(
    solution=rollout, cases=rounds(lambda: (_maps(whole(2, 5), whole(2, 4), T := whole(4, 8), T),)),
    passed="Right: later layers stand on the left, because they read what the earlier ones have mixed.",
    hint="Average the heads, 0.5 A + 0.5 I per layer, then the matrix product, last layer leftmost.",
    mistakes={
        "The product runs the wrong way: the last layer stands on the left, Aₙ … A₂ A₁.": lambda a: rollout(a.flip(0)),
        "The residual connection is missing: each layer is 0.5 A + 0.5 I.": lambda a: _product(_steps(a, 0, 1)),
        "Half of A and half of I: as they are, the rows do not add up to 1.": lambda a: _product(_steps(a, 1, 1)),
        "You added the identity once, at the end; every layer has a residual of its own.":
            lambda a: 0.5 * _product(_steps(a, 0, 1)) + 0.5 * torch.eye(a.shape[-1]),
        "You multiplied element by element; mixing after mixing is a matrix product.":
            lambda a: torch.stack(_steps(a)).prod(dim=0),
        "This is the last layer alone; multiply the layers.": lambda a: _steps(a)[-1],
        "You averaged the layers; each reads what the one before has mixed: multiply.":
            lambda a: torch.stack(_steps(a)).mean(dim=0),
    },
)  # fmt: skip


def _silence(heads: Tensor, channels: slice) -> Tensor:
    quiet = heads.clone()
    quiet[..., channels] = 0
    return quiet


def _channels(heads: Tensor, head: int, num_heads: int) -> slice:
    width = heads.shape[-1] // num_heads
    return slice(head * width, (head + 1) * width)


def silence(heads: Tensor, head: int, num_heads: int) -> Tensor:
    """The joined heads (B, T, D) with one of them set to zero."""
    return _silence(heads, _channels(heads, head, num_heads))


def _silence_in_place(heads: Tensor, head: int, num_heads: int) -> Tensor:
    heads[..., _channels(heads, head, num_heads)] = 0
    return heads


def _result_and_argument(answer: Answer, heads: Tensor, *rest: Any) -> tuple[Any, Tensor]:
    """What the answer returns, and what its first argument holds afterwards."""
    given = heads.clone()
    return call(lambda _, *others: answer(given, *others), heads, *rest), given


check_silence = Exercise(
    solution=silence,
    cases=lambda: [
        (torch.randn(2, 5, num_heads * width), head, num_heads)
        for num_heads, width in ((4, 3), (2, 5), (3, 4))
        for head in reversed(range(num_heads))
    ],
    run=_result_and_argument,
    passed="Right: D/H channels in a row are silent, and nothing else has changed.",
    mistakes={
        "You silenced every H-th channel; a head owns D/H channels that stand side by side.":
            lambda x, head, num_heads: _silence(x, slice(head, None, num_heads)),
        "Heads are counted from 0.": lambda x, head, num_heads: silence(x, head - 1, num_heads),
        "You silenced all heads but this one.": lambda x, *rest: x - silence(x, *rest),
        "You silenced one channel; a head has D/H of them.": lambda x, head, _: _silence(x, slice(head, head + 1)),
        "Nothing is silent in your result.": lambda x, *_: x,
        "Your function changed what it was given; clone it first, others may still need it.": _silence_in_place,
    },
)  # fmt: skip
