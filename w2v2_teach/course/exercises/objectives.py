"""Exercises of notebook 13: the causal mask, causal convolution, how often a code repeats, the next token's cost."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.course.exercises import Exercise, Mistake, not_a_tensor_of, rounds, whole


def may_look(T: int) -> Tensor:
    """The causal mask (T, T), query by key: True where a frame may look."""
    return torch.ones(T, T, dtype=torch.bool).tril()


check_may_look = Exercise(
    solution=may_look, cases=lambda: [(5,), (8,), (2,), (1,)],
    passed="Right: each frame sees itself and what came before, and the first one sees itself.",
    hint="Entry (t, s) is True where frame t may look at frame s, s ≤ t.",
    mistakes={
        "Your matrix holds another type; True and False are wanted (torch.bool).":
            Mistake(lambda T: may_look(T).float(), not_a_tensor_of(torch.bool)),
        "Turned round: rows are queries, and yours look at the future only.": lambda T: may_look(T).T,
        "A frame may look at itself; with nothing to look at, the first row's softmax is 0/0.":
            lambda T: may_look(T).tril(-1),
        "That lets every frame look one frame ahead.": lambda T: torch.ones(T, T).tril(1).bool(),
        "Everybody sees everything: that is wav2vec 2.0's own network, which is not causal.":
            lambda T: torch.ones(T, T).bool(),
        "These are the forbidden places; True is for allowed.": lambda T: ~may_look(T),
    },
)  # fmt: skip


def _conv(x: Tensor, w: Tensor, left: int, right: int) -> Tensor:
    return F.conv1d(F.pad(x, (left, right))[None, None], w[None, None])[0, 0]


def causal_conv(x: Tensor, w: Tensor) -> Tensor:
    """The causal convolution of x (T,) with w (n,): (T,)."""
    return _conv(x, w, len(w) - 1, 0)


check_causal_conv = Exercise(
    solution=causal_conv, cases=lambda: [(torch.randn(whole(8, 14)), torch.randn(n)) for n in (4, 5, 3, 2)],
    passed="Right: all the padding on the left, and no output knows an input that comes after it.",
    hint="out[t] = w[0]·x[t − n + 1] + … + w[n − 1]·x[t], with zeros before the beginning.",
    mistakes={
        "Padded on the right: every output sees n − 1 inputs of its future, and none of its past.":
            lambda x, w: _conv(x, w, 0, len(w) - 1),
        "Half the padding is on the right: that is the usual convolution, and it looks ahead.":
            lambda x, w: _conv(x, w, (len(w) - 1) // 2, len(w) // 2),
        "The padding is shared out to both sides: that is the usual convolution, and it looks ahead.":
            lambda x, w: _conv(x, w, len(w) // 2, (len(w) - 1) // 2),
        "Without padding there are n − 1 outputs too few: T are wanted.": lambda x, w: _conv(x, w, 0, 0),
        "One zero too many: your output at t stops at input t − 1.": lambda x, w: _conv(x, w, len(w), 0)[:-1],
        "The weights are turned round: the last weight belongs to the present input.":
            lambda x, w: causal_conv(x, w.flip(0)),
    },
)  # fmt: skip


def repeats(codes: Tensor, k: int) -> Tensor:
    """The share of codes (T,) that are the same k frames later."""
    return (codes[k:] == codes[:-k]).float().mean()


def _codes_case(k: int) -> tuple[Tensor, int]:
    codes = torch.randint(0, 4, (12,)).repeat_interleave(torch.randint(1, 5, (12,)))  # (T,)
    codes[-k:], codes[:k] = 1, 1  # the ends agree, so that going round in a circle shows
    return codes, k


check_repeats = Exercise(
    solution=repeats, cases=lambda: [_codes_case(k) for k in (1, 2, 3, 5)],
    passed="Right. Compare the accuracy of any next-step model with this before you are glad.",
    mistakes={
        "That is how many; divide by the T − k pairs.": lambda codes, k: (codes[k:] == codes[:-k]).sum(),
        "There are only T − k pairs: the last k frames have no frame k ahead.":
            lambda codes, k: (codes[k:] == codes[:-k]).sum() / len(codes),
        "roll goes round in a circle: the last frames are compared with the first.":
            lambda codes, k: (codes == codes.roll(k)).float().mean(),
        "These are the pairs that differ.": lambda codes, k: 1 - repeats(codes, k),
        "That is k = 1, whatever k is.": lambda codes, _: repeats(codes, 1),
    },
)  # fmt: skip


def next_token_cost(logits: Tensor, codes: Tensor) -> Tensor:
    """The mean cost, in nats, of the codes (T,) after the first, each told by the logits (T, V) of the frame before."""
    return F.cross_entropy(logits[:-1], codes[1:])


check_next_token_cost = Exercise(
    solution=next_token_cost,
    cases=rounds(lambda: (2 * torch.randn(T := whole(5, 12), V := whole(3, 9)), torch.randint(0, V, (T,)))),
    passed="Right: the logits of frame t are held against the code of frame t + 1.",
    hint="−log softmax(logits[t])[codes[t + 1]], averaged over t = 0 … T − 2.",
    mistakes={
        "Not shifted: you ask frame t for its own code, which it has heard.": F.cross_entropy,
        "Shifted the wrong way: that asks frame t + 1 for the code of frame t, its past.":
            lambda logits, codes: F.cross_entropy(logits[1:], codes[:-1]),
        "That is the sum over the T − 1 tokens; their mean is wanted.":
            lambda logits, codes: F.cross_entropy(logits[:-1], codes[1:], reduction="sum"),
        "These are bits; nats are wanted, the natural logarithm.": lambda *case: next_token_cost(*case) / math.log(2),
        "There are T − 1 tokens to guess, not T.":
            lambda logits, codes: next_token_cost(logits, codes) * (len(codes) - 1) / len(codes),
        "A loss is minus the logarithm of the probability.": lambda *case: -next_token_cost(*case),
    },
)  # fmt: skip
