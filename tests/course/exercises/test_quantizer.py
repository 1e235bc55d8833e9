"""The checks of notebook 05 refuse plausible mistakes, each with its own words, and pass what is right."""

import torch
from answers import AnswerTests
from torch.nn.functional import one_hot

from w2v2_teach.config import TINY
from w2v2_teach.course.exercises import quantizer as checks
from w2v2_teach.quantizer import GumbelVectorQuantizer, gumbel_noise
from w2v2_teach.quantizer import gumbel_softmax as packages_gumbel_softmax


def gumbel_softmax(logits, noise, tau):
    return ((logits + noise) / tau).softmax(1)


def hard(soft):
    return one_hot(soft.argmax(1), soft.shape[1]).float()


def straight_through(soft):
    return hard(soft) - soft.detach() + soft


def perplexities(probs):
    return torch.special.entr(probs).sum(-1).exp()


def prob_perplexity(logits):
    return perplexities(logits.softmax(2).mean(0)).sum()


def look_up(codes, codebooks):
    return torch.cat([codebooks[g, codes[:, g]] for g in range(len(codebooks))], dim=1)


def expected_entries(V, N):
    return V * (1 - (1 - 1 / V) ** N)


def naive_perplexity(logits):
    p = logits.softmax(2).mean(0)
    return (-(p * p.log()).sum(1)).exp().sum()


SOLUTIONS = [
    (checks.check_gumbel_softmax, gumbel_softmax),
    (checks.check_straight_through, straight_through),
    (checks.check_prob_perplexity, prob_perplexity),
    (checks.check_look_up, look_up),
    (checks.check_expected_entries, expected_entries),
]

WRONG = [
    (checks.check_gumbel_softmax, lambda x, _, tau: (x / tau).softmax(1), "noise is missing"),
    (checks.check_gumbel_softmax, lambda x, n, tau: (x / tau + n).softmax(1), "only the logits"),
    (checks.check_gumbel_softmax, lambda x, n, tau: (x + n / tau).softmax(1), "only the noise"),
    (checks.check_gumbel_softmax, lambda x, n, tau: ((x + n) * tau).softmax(1), "sharper"),
    (checks.check_gumbel_softmax, lambda x, n, tau: (x / tau).softmax(1) + n, "before the softmax"),
    (checks.check_gumbel_softmax, lambda x, n, tau: ((x - n) / tau).softmax(1), "not subtracted"),
    (checks.check_gumbel_softmax, lambda x, n, _: (x + n).softmax(1), "temperature is missing"),
    (checks.check_gumbel_softmax, lambda x, n, tau: ((x + n) / tau).softmax(0), "over the frames"),
    (checks.check_gumbel_softmax, lambda x, n, _: hard(x + n), "hard choice"),
    (checks.check_gumbel_softmax, lambda x, n, tau: gumbel_softmax(x, n, tau)[0], "shape"),
    (checks.check_straight_through, hard, "argmax has cut the path"),
    (checks.check_straight_through, lambda soft: soft, "still soft"),
    (checks.check_straight_through, lambda soft: soft.argmax(1), "numbers of the chosen entries"),
    (checks.check_straight_through, lambda soft: hard(soft) * soft, "keep its value"),
    (checks.check_straight_through, lambda soft: hard(soft) + soft - soft, "cancel"),
    (checks.check_straight_through, lambda soft: hard(soft) - soft + soft.detach(), "wrong sign"),
    (checks.check_straight_through, lambda soft: hard(soft) - 2 * soft.detach() + 2 * soft, "twice"),
    (checks.check_straight_through, lambda soft: hard(soft) - (soft**2).detach() + soft**2, "that of soft"),
    (checks.check_straight_through, lambda soft: 2 * soft - hard(soft), "signs"),
    (
        checks.check_prob_perplexity,
        lambda x: perplexities(x.softmax(2)).sum(1).mean(),
        "mean of the frames' perplexities",
    ),
    (checks.check_prob_perplexity, lambda x: perplexities(x.mean(0).softmax(1)).sum(), "averaged the logits"),
    (checks.check_prob_perplexity, lambda x: perplexities(x.softmax(2).mean(0)).mean(), "added up"),
    (checks.check_prob_perplexity, lambda x: perplexities(x.softmax(2).mean(0)).prod(), "multiplied"),
    (checks.check_prob_perplexity, lambda x: torch.special.entr(x.softmax(2).mean(0)).sum().exp(), "multiplied"),
    (checks.check_prob_perplexity, lambda x: torch.special.entr(x.softmax(2).mean(0)).sum(), "exponential"),
    (checks.check_prob_perplexity, lambda x: perplexities(x.softmax(2).mean(0)), "One number"),
    (
        checks.check_prob_perplexity,
        lambda x: perplexities(one_hot(x.argmax(2), x.shape[2]).double().mean(0)).sum(),
        "hard choices",
    ),
    (checks.check_prob_perplexity, lambda x: perplexities(x.softmax(0).mean(0)).sum(), "over the frames"),
    (checks.check_prob_perplexity, naive_perplexity, "0 · log 0"),
    (checks.check_prob_perplexity, lambda x: naive_perplexity(x).item(), "0 · log 0"),
    (checks.check_look_up, lambda c, b: look_up(c, b[:1].expand_as(b)), "first codebook"),
    (checks.check_look_up, lambda c, b: sum(b[g, c[:, g]] for g in range(len(b))), "joined"),
    (checks.check_look_up, lambda c, b: torch.stack([b[g, c[:, g]] for g in range(len(b))], 1), "one vector a frame"),
    (
        checks.check_look_up,
        lambda c, b: torch.stack([b[g, c[:, g]] for g in range(len(b))], 2).flatten(1),
        "interleaved",
    ),
    (checks.check_look_up, lambda c, b: look_up(c.flip(1), b.flip(0)), "wrong order"),
    (checks.check_look_up, lambda c, b: look_up(c, b)[:, :2], "shape"),
    (checks.check_expected_entries, min, "no two frames"),
    (checks.check_expected_entries, lambda V, N: V * (1 - 1 / V) ** N, "nobody uses"),
    (checks.check_expected_entries, lambda V, N: 1 - (1 - 1 / V) ** N, "one given entry"),
    (checks.check_expected_entries, lambda V, N: N / V, "some get none"),
    (checks.check_expected_entries, lambda V, N: expected_entries(N, V), "changed places"),
    (checks.check_expected_entries, lambda V, N: V * N, "wanted is"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


def test_straight_through_is_checked_where_gradients_are_off():
    with torch.no_grad():
        assert checks.check_straight_through(straight_through).state == "passed"


def test_the_solutions_agree_with_the_package():
    quantizer = GumbelVectorQuantizer(TINY)
    z = torch.randn(50, 128)  # (N, C)
    logits, noise = quantizer.logits(z), gumbel_noise(torch.empty(50, 2, 64))  # (N, G, V)
    output = quantizer(z, 0.5, noise)
    books = quantizer.codevectors.view(2, 64, 64)  # (G, V, d/G)
    torch.testing.assert_close(look_up(output.codes, books), output.codevectors, atol=1e-6, rtol=0)
    torch.testing.assert_close(prob_perplexity(logits), perplexities(output.mean_probs).sum())
    for g in range(2):
        mine = straight_through(gumbel_softmax(logits[:, g], noise[:, g], 0.5))
        torch.testing.assert_close(mine, packages_gumbel_softmax(logits[:, g], noise[:, g], 0.5))


def test_expected_entries_is_what_chance_gives():
    used = torch.stack([torch.randint(20, (30,)).unique().numel() * torch.ones(()) for _ in range(3000)])
    assert abs(used.mean() - expected_entries(20, 30)) < 0.15
