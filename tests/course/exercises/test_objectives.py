"""The checks of notebook 13 refuse plausible mistakes, each with its own words, and pass what is right."""

import math

import pytest
import torch
from answers import AnswerTests
from torch.nn import functional as F

from w2v2_teach.course.exercises import objectives as checks


def may_look(T):
    return torch.arange(T)[:, None] >= torch.arange(T)


def causal_conv(x, w):
    n = len(w)
    return F.pad(x, (n - 1, 0)).unfold(0, n, 1) @ w


def repeats(codes, k):
    return (codes[k:] == codes[:-k]).float().mean()


def next_token_cost(logits, codes):
    return -logits[:-1].log_softmax(1).gather(1, codes[1:, None]).mean()


def padded(left, right):
    return lambda x, w: F.conv1d(F.pad(x, (left(len(w)), right(len(w))))[None, None], w[None, None])[0, 0]


SOLUTIONS = [
    (checks.check_may_look, may_look),
    (checks.check_causal_conv, causal_conv),
    (checks.check_repeats, repeats),
    (checks.check_next_token_cost, next_token_cost),
]

WRONG = [
    (checks.check_may_look, lambda T: may_look(T).T, "future only"),
    (checks.check_may_look, lambda T: may_look(T).tril(-1), "itself"),
    (checks.check_may_look, lambda T: torch.ones(T, T).tril(1).bool(), "one frame ahead"),
    (checks.check_may_look, lambda T: torch.ones(T, T).bool(), "not causal"),
    (checks.check_may_look, lambda T: ~may_look(T), "forbidden"),
    (checks.check_may_look, lambda T: may_look(T).float(), "torch.bool"),
    (checks.check_may_look, lambda T: may_look(T)[0], "shape"),
    (checks.check_causal_conv, padded(lambda _: 0, lambda n: n - 1), "on the right"),
    (checks.check_causal_conv, padded(lambda n: (n - 1) // 2, lambda n: n // 2), "looks ahead"),
    (checks.check_causal_conv, padded(lambda n: n // 2, lambda n: (n - 1) // 2), "looks ahead"),
    (checks.check_causal_conv, padded(lambda _: 0, lambda _: 0), "n − 1 outputs too few"),
    (checks.check_causal_conv, lambda x, w: padded(lambda n: n, lambda _: 0)(x, w)[:-1], "stops at input t − 1"),
    (checks.check_causal_conv, lambda x, w: causal_conv(x, w.flip(0)), "turned round"),
    (checks.check_causal_conv, lambda x, w: 2 * causal_conv(x, w), "zeros before the beginning"),
    (checks.check_repeats, lambda c, k: (c[k:] == c[:-k]).sum(), "divide by"),
    (checks.check_repeats, lambda c, k: (c[k:] == c[:-k]).sum() / len(c), "only T − k pairs"),
    (checks.check_repeats, lambda c, k: (c == c.roll(k)).float().mean(), "in a circle"),
    (checks.check_repeats, lambda c, k: (c[k:] != c[:-k]).float().mean(), "differ"),
    (checks.check_repeats, lambda c, _: (c[1:] == c[:-1]).float().mean(), "k = 1, whatever"),
    (checks.check_repeats, lambda c, k: (c[k:] == c[:-k]).float(), "shape"),
    (checks.check_next_token_cost, F.cross_entropy, "Not shifted"),
    (checks.check_next_token_cost, lambda x, c: F.cross_entropy(x[1:], c[:-1]), "wrong way"),
    (checks.check_next_token_cost, lambda x, c: F.cross_entropy(x[:-1], c[1:], reduction="sum"), "their mean"),
    (checks.check_next_token_cost, lambda x, c: next_token_cost(x, c) / math.log(2), "bits"),
    (checks.check_next_token_cost, lambda x, c: next_token_cost(x, c) * (len(c) - 1) / len(c), "not T"),
    (checks.check_next_token_cost, lambda x, c: -next_token_cost(x, c), "minus the logarithm"),
    (checks.check_next_token_cost, lambda x, c: next_token_cost(x, c) + 1, "averaged over"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_drawn_the_right_answers_pass_and_a_circle_shows(seed):
    torch.manual_seed(seed)
    for check, solution in SOLUTIONS:
        assert check(solution).state == "passed"
    assert checks.check_repeats(lambda c, k: (c == c.roll(k)).float().mean()).state == "wrong"
