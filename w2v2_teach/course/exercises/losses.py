"""Checks of notebook 06: cosines over κ, distractors, the contrastive loss, the diversity loss, guessing in bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


@exercise("Right: every context meets every target in one matrix product, and lengths do not count.")
def check_cosine_logits(answer: Answer) -> None:
    """cosine_logits(c (N, d), q (M, d), kappa) → (N, M)."""
    for _ in range(ROUNDS):
        N, M, d = (int(n) for n in torch.randint(4, 12, (3,)) + torch.tensor([0, 12, 24]))
        c, q = 3 * torch.randn(N, d), 0.5 * torch.randn(M, d)
        kappa = float(torch.rand(()) / 2 + 0.05)
        products = c @ q.T  # (N, M)
        cosine = F.normalize(c, dim=1) @ F.normalize(q, dim=1).T
        wanted = cosine / kappa
        got = call(answer, c, q, kappa)
        recognize(
            got,
            wanted,
            {
                "These are the cosines; divide them by κ.": cosine,
                "You multiplied by κ; divide by it, so that a small κ makes large logits.": cosine * kappa,
                "These are dot products, which long vectors win: divide by the lengths of both first.": products
                / kappa,
                "You divided by the length of c alone; q has a length, too.": F.normalize(c, dim=1) @ q.T / kappa,
                "You divided by the length of q alone; c has a length, too.": c @ F.normalize(q, dim=1).T / kappa,
                "You normalized over the frames; a vector's length is taken over its d channels, the last axis.": (
                    F.normalize(c, dim=0) @ F.normalize(q, dim=0).T / kappa
                ),
                "One row per context, one column per target is wanted: this is the transpose.": wanted.T,
                "Softmax comes later: logits are what goes into it.": wanted.softmax(dim=1),
            },
        )
        expect(got, wanted, f"The case had {N} contexts, {M} targets and κ = {kappa:.2f}.", atol=1e-4)


@exercise("Right: any other frame, each as likely as the next, and never the frame itself.")
def check_draw_negatives(answer: Answer) -> None:
    """draw_negatives(N, K) → (N, K) long: for each of N frames of one utterance, K of the other N - 1."""
    for N, K in ((6, 3), (3, 50), (2, 4), (9, 2000)):
        drawn = call(answer, N, K)
        if not isinstance(drawn, Tensor) or drawn.is_floating_point():
            raise Wrong(f"For N = {N}, K = {K} a tensor of whole numbers is wanted, such as torch.randint gives.")
        if drawn.shape != (N, K):
            raise Wrong(
                f"For N = {N}, K = {K} your result has shape {tuple(drawn.shape)}, wanted is {(N, K)}. "
                "K may be more than N - 1: distractors are drawn with replacement."
            )
        if drawn.min() < 0 or drawn.max() > N - 1:
            raise Wrong(
                f"Positions go from 0 to N - 1 = {N - 1}; yours from {int(drawn.min())} to {int(drawn.max())}. "
                "If you step over the frame itself, draw from one position less."
            )
        if (drawn == torch.arange(N)[:, None]).any():
            raise Wrong("A frame got itself as a distractor: step over its own position.")
        _require_uniform(drawn, N, K)


def _require_uniform(drawn: Tensor, N: int, K: int) -> None:
    """Raise Wrong where a frame has not been drawn, or far more often than another; only with many draws."""
    if N > 2 and (drawn == drawn[:, :1]).all():
        raise Wrong("Every column is the same: draw K times for each frame.")
    if K < 1000:
        return
    counts = torch.stack([row.bincount(minlength=N) for row in drawn]).double()  # (N, N)
    expected = K / (N - 1)
    excess = (counts - expected).abs().fill_diagonal_(0)  # (N, N)
    frame, other = divmod(int(excess.argmax()), N)
    if excess.max() > 7 * math.sqrt(expected):
        raise Wrong(
            f"Not uniform: in {K} draws frame {frame} got frame {other} {int(counts[frame, other])} times, where about "
            f"{expected:.0f} are expected. Draw from N - 1 positions, and add 1 to those from the frame itself on."
        )


@exercise("Right: minus the log-probability of column 0, added up over the frames.")
def check_contrastive_loss(answer: Answer) -> None:
    """contrastive_loss(logits (N, K + 1), target first, some distractors -inf) → a number, summed, in nats."""
    for round_ in range(ROUNDS):
        N, K = int(torch.randint(3, 8, ())), int(torch.randint(4, 12, ()))
        logits = 5 * torch.randn(N, K + 1)
        if round_ == 1:
            logits[0, 2], logits[1, 1:] = -math.inf, -math.inf  # one distractor, and all of them, equal the target
        if round_ == 2:
            logits += 300  # e³⁰⁰ is more than a float holds
        wanted = _loss(logits)
        got = call(answer, logits)
        if (
            round_ in (1, 2)
            and isinstance(got, (float, Tensor))
            and not math.isfinite(float(torch.as_tensor(got).sum()))
        ):
            raise Wrong(
                "With logits of -inf, or of several hundred, your result is not finite: take log_softmax (or "
                "logsumexp, or F.cross_entropy), which subtracts the largest logit before the exponential."
            )
        recognize(
            got,
            wanted,
            {
                "You took the mean over the frames; the sum is wanted.": wanted / N,
                "The sign is wrong: a loss is minus the log-probability.": -wanted,
                "This is in bits; without dividing by ln 2 it is in nats.": wanted / math.log(2),
                "The softmax runs over the frames; each frame's K + 1 candidates must add up to 1.": (
                    -logits.log_softmax(dim=0)[:, 0].sum()
                ),
                "This is one loss per frame; add them up.": -logits.log_softmax(dim=1)[:, 0],
                "You took the last column; the true target is the first.": -logits.log_softmax(dim=1)[:, -1].sum(),
                "These are the logits of the target, without the softmax.": -logits[:, 0].sum(),
                "The true target belongs into the sum below the fraction as well.": (
                    (logits[:, 1:].logsumexp(dim=1) - logits[:, 0]).sum()
                ),
                "This is the sum of the probabilities; take their logarithms first.": -logits.softmax(1)[:, 0].sum(),
            },
        )
        expect(got, wanted, f"The case had {N} frames and K = {K}.", atol=1e-3)


def _loss(logits: Tensor) -> Tensor:
    return -logits.log_softmax(dim=1)[:, 0].sum()


@exercise("Right: 0 where all entries are used alike, and at most 1 - 1/V.")
def check_diversity_loss(answer: Answer) -> None:
    """diversity_loss(mean_probs (G, V)) → a number."""
    for round_ in range(ROUNDS):
        G, V = int(torch.randint(2, 5, ())), int(torch.randint(5, 12, ()))
        p = torch.randn(G, V).mul(2).softmax(dim=1)
        if round_ == ROUNDS - 1:
            p = F.one_hot(torch.randint(V, (G,)), V).float()  # zeros, whose logarithm is not finite
        entropy = torch.special.entr(p).sum(dim=1)  # (G,) nats
        perplexity = entropy.exp().sum()
        wanted = (G * V - perplexity) / (G * V)
        got = call(answer, p)
        if isinstance(got, (float, Tensor)) and torch.as_tensor(got).isnan().any():
            raise Wrong("0 · log 0 is 0 here, but nan for a computer: torch.xlogy(p, p) knows that.")
        recognize(
            got,
            wanted,
            {
                "This is the perplexity; the loss is what it lacks of G·V, as a share of G·V.": perplexity,
                "Divide by G·V, so that the loss lies between 0 and 1.": G * V - perplexity,
                "This is the negative entropy of the paper's eq. 4; the code takes exp of each codebook's entropy.": (
                    -entropy.sum() / (G * V)
                ),
                "The entropy is in bits here: exp belongs to the natural logarithm.": (
                    1 - (entropy / math.log(2)).exp().sum() / (G * V)
                ),
                "Take exp of each codebook's entropy, then add up; you added the entropies first.": (
                    1 - entropy.sum().exp() / (G * V)
                ),
                "You averaged the codebooks' perplexities; they are added, as G·V counts all entries.": (
                    1 - perplexity / G / (G * V)
                ),
                "This is perplexity over G·V, which is 1 for the best use; a loss is 0 there.": perplexity / (G * V),
                "The entropy's sign is lost: it is minus the sum of p log p.": 1 - (-entropy).exp().sum() / (G * V),
            },
        )
        expect(got, wanted, f"The case had G = {G} codebooks of V = {V} entries.")


@exercise("Right: 4.615 nats or 6.658 bits for K = 100. A log that stands there has learned nothing yet.")
def check_guessing(answer: Answer) -> None:
    """guessing(K) → (nats, bits): the loss of one who finds all K + 1 candidates equally likely."""
    for K in (100, 1, 50, 20):
        nats = math.log(K + 1)
        wanted = [nats, nats / math.log(2)]
        got = call(answer, K)
        recognize(
            got,
            wanted,
            {
                "There are K + 1 candidates: the true one counts, too.": [math.log(K), math.log2(K)],
                "Nats first, then bits.": wanted[::-1],
                "A bit is less than a nat, so that there are more of them: divide by ln 2.": [nats, nats * math.log(2)],
                "Both are in nats; bits are nats over ln 2.": [nats, nats],
                "The sign is wrong: −ln of a probability is positive.": [-nats, -wanted[1]],
                "This is the probability of a hit; the loss is −ln of it.": [1 / (K + 1), 1 / (K + 1)],
                "The second is the logarithm to base 10; bits have base 2.": [nats, math.log10(K + 1)],
            },
        )
        expect(got, wanted, f"The case was K = {K}.")
