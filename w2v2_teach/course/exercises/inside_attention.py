"""Checks of notebook 09: verticality, attention from class to class, rollout, taking a head away."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


def _maps(*shape: int) -> Tensor:
    return torch.randn(*shape).mul(2).softmax(dim=-1)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(dim=-1)


@exercise("Right: 0 where all look at one key, -ln T where no key is preferred by all.")
def check_verticality(answer: Answer) -> None:
    """verticality(attention (H, T, T)) → (H,) in nats."""
    cases = [_maps(int(torch.randint(2, 5, ())), *2 * (int(torch.randint(5, 9, ())),)) for _ in range(ROUNDS)]
    everybody_at_2 = torch.eye(6)[torch.full((6,), 2)]  # (T, T); zeros in it, whose logarithm is -inf
    for attention in (*cases, torch.stack([everybody_at_2, torch.eye(6)])):
        wanted = -_entropy(attention.mean(dim=1))  # (H,)
        got = call(answer, attention)
        recognize(
            got,
            wanted,
            {
                "The sign is upside down: where all agree on one key, entropy is low and verticality high.": -wanted,
                "You took the mean of the queries' entropies (minus globalness): average the queries first.": (
                    -_entropy(attention).mean(dim=1)
                ),
                "This is globalness: average the queries first, and mind the sign.": _entropy(attention).mean(dim=1),
                "You averaged over the keys, the last axis: average over the queries.": (
                    -_entropy(attention.mean(dim=2))
                ),
                "This is in bits; use the natural logarithm.": wanted / math.log(2),
                "You averaged the heads as well; one number per head is wanted.": wanted.mean(),
            },
        )
        if torch.isnan(torch.as_tensor(got)).any():
            raise Wrong("There is nan in your result: 0 · ln 0 counts as 0. torch.xlogy(p, p) knows that.")
        expect(got, wanted, "The mean over the queries is one distribution over the keys: minus its entropy.")


@exercise("Right: 1 is what a head reaches that knows nothing.")
def check_class_ratio(answer: Answer) -> None:
    """class_ratio(attention (T, T), asking (T,), asked (T,)) → one number."""
    for _ in range(ROUNDS):
        frames = int(torch.randint(8, 14, ()))
        attention = _maps(frames, frames)
        asking, asked = torch.rand(2, frames) < 0.4  # (T,) each
        asking[:2], asked[1:3] = torch.tensor([True, False]), torch.tensor([False, True])
        share = attention[asking][:, asked].sum(dim=1).mean()
        wanted = share / asked.float().mean()
        got = call(answer, attention, asking, asked)
        recognize(
            got,
            wanted,
            {
                "This is the share itself; divide it by what an even spread gives: the asked frames' share.": share,
                "You compare with the share of the asking frames; an even spread gives the asked ones their share.": (
                    share / asking.float().mean()
                ),
                "The roles have changed places: rows of the map are the frames that ask.": (
                    attention[asked][:, asking].sum(dim=1).mean() / asking.float().mean()
                ),
                "You added up all queries; take their mean.": wanted * asking.sum(),
                "You took the mean over the keys; what they get together is their share: sum over keys.": (
                    share / asked.sum() / asked.float().mean()
                ),
                "You averaged over all queries; only the asking ones count.": (
                    attention[:, asked].sum(dim=1).mean() / asked.float().mean()
                ),
            },
        )
        expect(got, wanted, "Per asking query, sum the asked keys; then the mean, over the asked frames' share of T.")


@exercise("Right: later layers stand on the left, because they read what the earlier ones have mixed.")
def check_rollout(answer: Answer) -> None:
    """rollout(attentions (layers, H, T, T)) → (T, T)."""
    for _ in range(ROUNDS):
        layers, frames = int(torch.randint(2, 5, ())), int(torch.randint(4, 8, ()))
        attentions = _maps(layers, int(torch.randint(2, 4, ())), frames, frames)
        eye = torch.eye(frames)
        steps = [0.5 * a.mean(dim=0) + 0.5 * eye for a in attentions]  # (T, T) each
        wanted = _product(steps)
        got = call(answer, attentions)
        bare = [a.mean(dim=0) for a in attentions]
        recognize(
            got,
            wanted,
            {
                "The product runs the wrong way: the last layer stands on the left, Aₙ … A₂ A₁.": _product(steps[::-1]),
                "The residual connection is missing: each layer is 0.5 A + 0.5 I.": _product(bare),
                "Half of A and half of I: as they are, the rows do not add up to 1.": _product([a + eye for a in bare]),
                "You added the identity once, at the end; every layer has a residual of its own.": (
                    0.5 * _product(bare) + 0.5 * eye
                ),
                "You multiplied element by element; mixing after mixing is a matrix product.": (
                    torch.stack(steps).prod(dim=0)
                ),
                "This is the last layer alone; multiply the layers.": steps[-1],
                "You averaged the layers; each reads what the one before has mixed: multiply.": (
                    torch.stack(steps).mean(dim=0)
                ),
            },
        )
        expect(got, wanted, "Average the heads, 0.5 A + 0.5 I per layer, then the matrix product, last layer leftmost.")


def _product(steps: list[Tensor]) -> Tensor:
    mixed = steps[0]
    for step in steps[1:]:
        mixed = step @ mixed
    return mixed


@exercise("Right: D/H channels in a row are silent, and nothing else has changed.")
def check_silence(answer: Answer) -> None:
    """silence(heads (B, T, D), head, num_heads) → (B, T, D)."""
    for num_heads, width in ((4, 3), (2, 5), (3, 4)):
        heads = torch.randn(2, 5, num_heads * width)  # (B, T, D)
        for head in reversed(range(num_heads)):
            given = heads.clone()
            got = call(lambda _, *rest, given=given: answer(given, *rest), heads, head, num_heads)
            wanted = _silent(heads, slice(head * width, (head + 1) * width))
            others = [n for n in range(num_heads) if n != head]
            recognize(
                got,
                wanted,
                {
                    "You silenced every H-th channel; a head owns D/H channels that stand side by side.": (
                        _silent(heads, slice(head, None, num_heads))
                    ),
                    "Heads are counted from 0.": _silent(heads, slice((head - 1) * width, head * width)),
                    "You silenced all heads but this one.": _silent(
                        heads, [n * width + i for n in others for i in range(width)]
                    ),
                    "You silenced one channel; a head has D/H of them.": _silent(heads, slice(head, head + 1)),
                    "Nothing is silent in your result.": heads,
                },
            )
            expect(got, wanted, f"The case was head {head} of {num_heads}, D = {num_heads * width}.")
            if not torch.equal(given, heads):
                raise Wrong("Your function changed what it was given; clone it first, others may still need it.")


def _silent(heads: Tensor, channels: slice | list[int]) -> Tensor:
    quiet = heads.clone()
    quiet[..., channels] = 0
    return quiet
