"""The checks of notebook 06 refuse plausible mistakes, each with its own words, and pass what is right."""

import math

import pytest
import torch
from answers import AnswerTests
from torch.nn import functional as F

from w2v2_teach import losses
from w2v2_teach.course.exercises import losses as checks


def cosine_logits(c, q, kappa):
    return F.normalize(c, dim=1) @ F.normalize(q, dim=1).T / kappa


def draw_negatives(N, K):
    drawn = torch.randint(N - 1, (N, K))
    return drawn + (drawn >= torch.arange(N)[:, None])


def one_frame_after_the_other(N, K):
    others = [torch.tensor([m for m in range(N) if m != n]) for n in range(N)]
    return torch.stack([candidates[torch.randint(N - 1, (K,))] for candidates in others])


def contrastive_loss(logits):
    return -logits.log_softmax(1)[:, 0].sum()


def diversity_loss(p):
    perplexity = (-torch.xlogy(p, p).sum(1)).exp().sum()
    return 1 - perplexity / p.numel()


def guessing(K):
    return math.log(K + 1), math.log2(K + 1)


def moved_to_the_neighbor(N, K):
    drawn = torch.randint(N, (N, K))
    return (drawn + (drawn == torch.arange(N)[:, None])) % N


SOLUTIONS = [
    (checks.check_cosine_logits, cosine_logits),
    (checks.check_cosine_logits, lambda c, q, k: F.cosine_similarity(c[:, None], q[None], dim=2) / k),
    (checks.check_draw_negatives, draw_negatives),
    (checks.check_draw_negatives, one_frame_after_the_other),
    (checks.check_contrastive_loss, contrastive_loss),
    (checks.check_contrastive_loss, lambda x: (x.logsumexp(1) - x[:, 0]).sum()),
    (checks.check_diversity_loss, diversity_loss),
    (checks.check_guessing, guessing),
]

WRONG = [
    (checks.check_cosine_logits, lambda c, q, _: cosine_logits(c, q, 1), "divide them by κ"),
    (checks.check_cosine_logits, lambda c, q, k: cosine_logits(c, q, 1 / k), "multiplied by κ"),
    (checks.check_cosine_logits, lambda c, q, k: c @ q.T / k, "dot products"),
    (checks.check_cosine_logits, lambda c, q, k: F.normalize(c, dim=1) @ q.T / k, "length of c alone"),
    (checks.check_cosine_logits, lambda c, q, k: c @ F.normalize(q, dim=1).T / k, "length of q alone"),
    (
        checks.check_cosine_logits,
        lambda c, q, k: F.normalize(c, dim=0) @ F.normalize(q, dim=0).T / k,
        "over the frames",
    ),
    (checks.check_cosine_logits, lambda c, q, k: cosine_logits(q, c, k), "transpose"),
    (checks.check_cosine_logits, lambda c, q, k: cosine_logits(c, q, k).softmax(1), "Softmax comes later"),
    (checks.check_cosine_logits, lambda c, q, k: cosine_logits(c, q, k)[0], "shape"),
    (checks.check_draw_negatives, lambda N, K: torch.randint(N, (N, K)), "itself"),
    (checks.check_draw_negatives, lambda N, K: torch.randint(N, (N, K)) + 1, "go from 0 to N - 1"),
    (checks.check_draw_negatives, lambda N, K: torch.randint(N - 1, (K, N)), "shape"),
    (checks.check_draw_negatives, moved_to_the_neighbor, "Not uniform"),
    (checks.check_draw_negatives, lambda N, K: draw_negatives(N, N - 1)[:, :K], "with replacement"),
    (checks.check_draw_negatives, lambda N, K: draw_negatives(N, 1).expand(N, K), "Every column is the same"),
    (checks.check_draw_negatives, torch.rand, "whole numbers"),
    (checks.check_draw_negatives, lambda N, K: (torch.arange(N)[:, None] + 1 + torch.arange(K)) % N, "itself"),
    (checks.check_contrastive_loss, lambda x: contrastive_loss(x) / len(x), "mean over the frames"),
    (checks.check_contrastive_loss, lambda x: -contrastive_loss(x), "sign"),
    (checks.check_contrastive_loss, lambda x: contrastive_loss(x) / math.log(2), "bits"),
    (checks.check_contrastive_loss, lambda x: -x.log_softmax(0)[:, 0].sum(), "over the frames"),
    (checks.check_contrastive_loss, lambda x: -x.log_softmax(1)[:, 0], "one loss per frame"),
    (checks.check_contrastive_loss, lambda x: -x.log_softmax(1)[:, -1].sum(), "last column"),
    (checks.check_contrastive_loss, lambda x: -x[:, 0].sum(), "without the softmax"),
    (checks.check_contrastive_loss, lambda x: (x[:, 1:].logsumexp(1) - x[:, 0]).sum(), "below the fraction"),
    (checks.check_contrastive_loss, lambda x: -(x.exp()[:, 0] / x.exp().sum(1)).log().sum(), "not finite"),
    (checks.check_contrastive_loss, lambda x: -x.softmax(1)[:, 0].sum(), "logarithms first"),
    (checks.check_diversity_loss, lambda p: p.numel() * (1 - diversity_loss(p)), "This is the perplexity"),
    (checks.check_diversity_loss, lambda p: p.numel() * diversity_loss(p), "Divide by G·V"),
    (checks.check_diversity_loss, lambda p: torch.xlogy(p, p).sum() / p.numel(), "eq. 4"),
    (checks.check_diversity_loss, lambda p: 1 - (-(p * p.log2()).sum(1)).exp().sum() / p.numel(), "in bits"),
    (checks.check_diversity_loss, lambda p: 1 - (-torch.xlogy(p, p).sum()).exp() / p.numel(), "added the entropies"),
    (checks.check_diversity_loss, lambda p: 1 - (1 - diversity_loss(p)) / len(p), "averaged the codebooks"),
    (checks.check_diversity_loss, lambda p: 1 - diversity_loss(p), "which is 1 for the best use"),
    (checks.check_diversity_loss, lambda p: 1 - torch.xlogy(p, p).sum(1).exp().sum() / p.numel(), "sign is lost"),
    (checks.check_diversity_loss, lambda p: 1 - (-(p * p.log()).sum(1)).exp().sum() / p.numel(), "nan"),
    (checks.check_guessing, lambda K: (math.log(K), math.log2(K)), "K + 1 candidates"),
    (checks.check_guessing, lambda K: guessing(K)[::-1], "Nats first"),
    (checks.check_guessing, lambda K: (math.log(K + 1), math.log(K + 1) * math.log(2)), "less than a nat"),
    (checks.check_guessing, lambda K: (math.log(K + 1), math.log10(K + 1)), "base 10"),
    (checks.check_guessing, lambda K: (1 / (K + 1), 1 / (K + 1)), "probability of a hit"),
    (checks.check_guessing, lambda K: math.log(K + 1), "shape"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


@pytest.mark.parametrize("seed", range(30))
def test_an_honest_draw_is_never_called_unfair(seed):
    torch.manual_seed(seed)
    assert checks.check_draw_negatives(draw_negatives).state == "passed"


def test_the_solutions_agree_with_the_package():
    c, q, codes = torch.randn(9, 5), torch.randn(9, 5), torch.arange(9)[:, None]
    negatives = draw_negatives(9, 4)
    logits = losses.contrastive_logits(c, q, codes, negatives, kappa=0.1)
    columns = torch.cat([torch.arange(9)[:, None], negatives], dim=1)
    torch.testing.assert_close(cosine_logits(c, q, 0.1).gather(1, columns), logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(contrastive_loss(logits), losses.contrastive_loss(logits))
    p = torch.randn(2, 8).softmax(1)
    torch.testing.assert_close(diversity_loss(p), losses.diversity_loss(p))
