"""Exercises of notebook 06: cosines over κ, distractors, the contrastive loss, the diversity loss, guessing in bits."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.course.exercises import Exercise, Mistake, not_finite, rounds, whole
from w2v2_teach.losses import contrastive_loss, diversity_loss


def cosine_logits(c: Tensor, q: Tensor, kappa: float) -> Tensor:
    """The cosines of contexts c (N, d) and targets q (M, d), over κ: (N, M)."""
    return F.normalize(c, dim=1) @ F.normalize(q, dim=1).T / kappa


check_cosine_logits = Exercise(
    solution=cosine_logits,
    cases=lambda: [
        (3 * torch.randn(whole(4, 12), d), 0.5 * torch.randn(whole(16, 24), d), float(torch.rand(()) / 2 + 0.05))
        for d in (28, 31, 33, 35)
    ],
    atol=1e-4,
    passed="Right: every context meets every target in one matrix product, and lengths do not count.",
    mistakes={
        "These are the cosines; divide them by κ.": lambda c, q, _: cosine_logits(c, q, 1),
        "You multiplied by κ; divide by it, so that a small κ makes large logits.":
            lambda c, q, kappa: cosine_logits(c, q, 1 / kappa),
        "These are dot products, which long vectors win: divide by the lengths of both first.":
            lambda c, q, kappa: c @ q.T / kappa,
        "You divided by the length of c alone; q has a length, too.":
            lambda c, q, kappa: F.normalize(c, dim=1) @ q.T / kappa,
        "You divided by the length of q alone; c has a length, too.":
            lambda c, q, kappa: c @ F.normalize(q, dim=1).T / kappa,
        "You normalized over the frames; a vector's length is taken over its d channels, the last axis.":
            lambda c, q, kappa: F.normalize(c, dim=0) @ F.normalize(q, dim=0).T / kappa,
        "One row per context, one column per target is wanted: this is the transpose.":
            lambda c, q, kappa: cosine_logits(q, c, kappa),
        "Softmax comes later: logits are what goes into it.": lambda *case: cosine_logits(*case).softmax(1),
    },
)  # fmt: skip


def draw_negatives(N: int, K: int) -> Tensor:
    """For each of N frames, K of the other N - 1, drawn with replacement: (N, K)."""
    drawn = torch.randint(N - 1, (N, K))
    return drawn + (drawn >= torch.arange(N)[:, None])


def _uneven(drawn: Tensor, N: int, K: int) -> bool:
    """Whether a frame was drawn far more or less often than others; only seen with many draws."""
    if K < 1000:
        return False
    counts = torch.stack([row.bincount(minlength=N) for row in drawn]).double()  # (N, N)
    expected = K / (N - 1)
    return bool((counts - expected).abs().fill_diagonal_(0).max() > 7 * math.sqrt(expected))


check_draw_negatives = Exercise(
    solution=draw_negatives, cases=lambda: [(6, 3), (3, 50), (2, 4), (9, 2000)], one_result=False,
    passed="Right: any other frame, each as likely as the next, and never the frame itself.",
    mistakes={
        "A tensor of whole numbers is wanted, such as torch.randint gives.":
            Mistake(torch.rand, lambda drawn, *_: not isinstance(drawn, Tensor) or drawn.is_floating_point()),
        "Your result should have shape (N, K). K may be more than N - 1: distractors are drawn with replacement.":
            Mistake(lambda N, K: draw_negatives(N, N - 1)[:, :K], lambda drawn, N, K: tuple(drawn.shape) != (N, K)),
        "Positions go from 0 to N - 1. If you step over the frame itself, draw from one position less.": Mistake(
            lambda N, K: torch.randint(N, (N, K)) + 1, lambda drawn, N, _: drawn.min() < 0 or drawn.max() > N - 1,
        ),
        "A frame got itself as a distractor: step over its own position.": Mistake(
            lambda N, K: torch.randint(N, (N, K)),
            lambda drawn, N, _: bool((drawn == torch.arange(N)[:, None]).any()),
        ),
        "Every column is the same: draw K times for each frame.": Mistake(
            lambda N, K: draw_negatives(N, 1).expand(N, K),
            lambda drawn, N, _: N > 2 and bool((drawn == drawn[:, :1]).all()),
        ),
        "Not uniform: some frames come far more often than others. Draw from N - 1 positions, and add 1 to those from "
        "the frame itself on.":
            Mistake(lambda N, K: ((d := torch.randint(N, (N, K))) + (d == torch.arange(N)[:, None])) % N, _uneven),
    },
)  # fmt: skip


def _logits_cases() -> list[tuple[Tensor]]:
    plain, struck, large, plain_again = (5 * torch.randn(whole(3, 8), whole(5, 13)) for _ in range(4))
    for logits in (plain, large, plain_again):
        logits[0, 0] = logits[0].max()  # a target that counts in its own sum
    struck[0, 2], struck[1, 1:] = -math.inf, -math.inf  # one distractor, and all of them, equal the target
    return [(plain,), (struck,), (large + 300,), (plain_again,)]  # e³⁰⁰ is more than a float holds


check_contrastive_loss = Exercise(
    solution=contrastive_loss, cases=_logits_cases, atol=1e-3,
    passed="Right: minus the log-probability of column 0, added up over the frames.",
    mistakes={
        "With logits of -inf, or of several hundred, your result is not finite: take log_softmax (or logsumexp, or "
        "F.cross_entropy), which subtracts the largest logit before the exponential.":
            Mistake(lambda x: -(x.exp()[:, 0] / x.exp().sum(1)).log().sum(), not_finite),
        "You took the mean over the frames; the sum is wanted.": lambda x: contrastive_loss(x) / len(x),
        "The sign is wrong: a loss is minus the log-probability.": lambda x: -contrastive_loss(x),
        "This is in bits; without dividing by ln 2 it is in nats.": lambda x: contrastive_loss(x) / math.log(2),
        "The softmax runs over the frames; each frame's K + 1 candidates must add up to 1.":
            lambda x: -x.log_softmax(0)[:, 0].sum(),
        "This is one loss per frame; add them up.": lambda x: -x.log_softmax(1)[:, 0],
        "You took the last column; the true target is the first.": lambda x: -x.log_softmax(1)[:, -1].sum(),
        "These are the logits of the target, without the softmax.": lambda x: -x[:, 0].sum(),
        "The true target belongs in the sum below the fraction as well.":
            lambda x: (x[:, 1:].logsumexp(1) - x[:, 0]).sum(),
        "This is the sum of the probabilities; take their logarithms first.": lambda x: -x.softmax(1)[:, 0].sum(),
    },
)  # fmt: skip


def _entropies(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(1)  # (G,) nats


check_diversity_loss = Exercise(
    solution=diversity_loss,
    cases=lambda: [
        *rounds(lambda: (torch.randn(whole(2, 5), whole(5, 12)).mul(2).softmax(1),), 3)(),
        (F.one_hot(torch.randint(V := whole(5, 12), (whole(2, 5),)), V).float(),),  # the logarithm of 0 is not finite
    ],
    passed="Right: 0 where all entries are used alike, and at most 1 - 1/V.",
    mistakes={
        "0 · log 0 is 0 here, but nan for a computer: torch.xlogy(p, p) knows that.":
            Mistake(lambda p: 1 - (-(p * p.log()).sum(1)).exp().sum() / p.numel(), not_finite),
        "This is the perplexity; the loss is what it lacks of G·V, as a share of G·V.":
            lambda p: _entropies(p).exp().sum(),
        "Divide by G·V, so that the loss lies between 0 and 1.": lambda p: p.numel() * diversity_loss(p),
        "This is the negative entropy of the paper's eq. 4; the code takes exp of each codebook's entropy.":
            lambda p: -_entropies(p).sum() / p.numel(),
        "The entropy is in bits here: exp belongs to the natural logarithm.":
            lambda p: 1 - (_entropies(p) / math.log(2)).exp().sum() / p.numel(),
        "Take exp of each codebook's entropy, then add up; you added the entropies first.":
            lambda p: 1 - _entropies(p).sum().exp() / p.numel(),
        "You averaged the codebooks' perplexities; they are added, as G·V counts all entries.":
            lambda p: 1 - _entropies(p).exp().mean() / p.numel(),
        "This is perplexity over G·V, which is 1 for the best use; a loss is 0 there.": lambda p: 1 - diversity_loss(p),
        "The entropy's sign is lost: it is minus the sum of p log p.":
            lambda p: 1 - (-_entropies(p)).exp().sum() / p.numel(),
    },
)  # fmt: skip


def guessing(K: int) -> tuple[float, float]:
    """The loss of finding all K + 1 candidates equally likely, in nats and in bits."""
    return math.log(K + 1), math.log2(K + 1)


check_guessing = Exercise(
    solution=guessing, cases=lambda: [(100,), (1,), (50,), (20,)],
    passed="Right: 4.615 nats or 6.658 bits for K = 100. A log that stands there has learned nothing yet.",
    mistakes={
        "There are K + 1 candidates: the true one counts, too.": lambda K: guessing(K - 1),
        "Nats first, then bits.": lambda K: guessing(K)[::-1],
        "A bit is less than a nat, so that there are more of them: divide by ln 2.":
            lambda K: (math.log(K + 1), math.log(K + 1) * math.log(2)),
        "Both are in nats; bits are nats over ln 2.": lambda K: (math.log(K + 1), math.log(K + 1)),
        "The sign is wrong: −ln of a probability is positive.": lambda K: (-math.log(K + 1), -math.log2(K + 1)),
        "This is the probability of a hit; the loss is −ln of it.": lambda K: (1 / (K + 1), 1 / (K + 1)),
        "The second is the logarithm to base 10; bits have base 2.": lambda K: (math.log(K + 1), math.log10(K + 1)),
    },
)  # fmt: skip
