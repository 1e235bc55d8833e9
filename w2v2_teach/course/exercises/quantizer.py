"""Exercises of notebook 05: Gumbel softmax, straight-through, prob perplexity, product look-up, expected entries."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from w2v2_teach.course.exercises import Answer, Exercise, Mistake, call, not_finite, rounds, same, whole
from w2v2_teach.quantizer import gumbel_noise


def gumbel_softmax(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """The soft sample (N, V) from logits and noise (N, V)."""
    return ((logits + noise) / tau).softmax(1)


check_gumbel_softmax = Exercise(
    solution=gumbel_softmax,
    cases=lambda: [
        (logits := 2 * torch.randn(whole(3, 6), whole(3, 7)), gumbel_noise(logits), tau) for tau in (2.0, 1.0, 0.5, 0.1)
    ],
    passed="Right: noise first, then temperature, then softmax, each frame by itself.",
    hint="softmax((logits + noise) / τ).",
    mistakes={
        "The noise is missing: add it to the logits.": lambda x, _, tau: (x / tau).softmax(1),
        "Logits and noise are both divided by τ; you divided only the logits.":
            lambda x, noise, tau: (x / tau + noise).softmax(1),
        "Logits and noise are both divided by τ; you divided only the noise.":
            lambda x, noise, tau: (x + noise / tau).softmax(1),
        "Divide by τ: a small τ must make the sample sharper.": lambda x, noise, tau: gumbel_softmax(x, noise, 1 / tau),
        "The noise belongs to the logits, before the softmax.": lambda x, noise, tau: (x / tau).softmax(1) + noise,
        "The noise is added, not subtracted; a Gumbel variable is not symmetric.":
            lambda x, noise, tau: gumbel_softmax(x, -noise, tau),
        "The temperature is missing.": lambda x, noise, _: gumbel_softmax(x, noise, 1),
        "The softmax runs over the frames; each frame's weights must add up to 1.":
            lambda x, noise, tau: ((x + noise) / tau).softmax(0),
        "This is the hard choice; here the soft sample is wanted, from which the gradient comes.":
            lambda x, noise, _: _hard(x + noise),
    },
)  # fmt: skip


def _hard(soft: Tensor) -> Tensor:
    return one_hot(soft.argmax(1), soft.shape[1]).float()


def straight_through(soft: Tensor) -> Tensor:
    """The one-hot choice (N, V), whose gradient is that of soft (N, V)."""
    return _hard(soft) - soft.detach() + soft


def _forward_and_back(answer: Answer, soft: Tensor, upstream: Tensor) -> tuple[Any, Tensor]:
    """What the answer returns, and the gradient that reaches `soft`: an empty one where the path is cut."""
    with torch.enable_grad():
        soft = soft.clone().requires_grad_()
        got = call(answer, soft)
        if not isinstance(got, Tensor) or not got.requires_grad or got.shape != soft.shape:
            return got, torch.empty(0)
        (gradient,) = torch.autograd.grad(got, soft, upstream, allow_unused=True)
    return got.detach(), torch.zeros_like(upstream) if gradient is None else gradient


def _forward(answer: Answer) -> Mistake:
    """A mistake known by its values alone, whatever gradient comes back."""
    return Mistake(answer, lambda got, soft, _: same(got[0], answer(soft)))


check_straight_through = Exercise(
    solution=straight_through, cases=rounds(lambda: (torch.randn(5, 4).softmax(1), torch.randn(5, 4))),
    run=_forward_and_back,
    passed="Right: hard on the way forward, soft on the way back. The detached copy takes away what soft adds.",
    hint="Forward: 1 at the largest weight, 0 elsewhere. The gradient that comes back must be that of soft.",
    mistakes={
        "The way forward is still soft: what goes on must be ones and zeros.": _forward(lambda soft: soft),
        "You returned the numbers of the chosen entries; a row of ones and zeros is wanted.":
            _forward(lambda soft: soft.argmax(1)),
        "Forward this is 2 × soft − hard or the like: check the signs.": _forward(lambda soft: 2 * soft - _hard(soft)),
        "The largest weight must become 1, not keep its value.": _forward(lambda soft: soft * _hard(soft)),
        "Forward this is right, but no gradient comes back: argmax has cut the path. Something differentiable must be "
        "added that leaves the value as it is.":
            _hard,
        "Forward this is right, but the gradient is zero: without `detach` + soft and − soft cancel on the way back, "
        "too.":
            lambda soft: _hard(soft) + soft - soft,
        "Forward this is right, but the gradient has the wrong sign: detach the soft that is subtracted.":
            lambda soft: _hard(soft) - soft + soft.detach(),
        "Forward this is right, but the gradient comes back twice.":
            lambda soft: _hard(soft) - 2 * soft.detach() + 2 * soft,
    },
)  # fmt: skip


def _perplexities(probs: Tensor) -> Tensor:
    """(..., V) → (...)."""
    return torch.special.entr(probs).sum(-1).exp()


def prob_perplexity(logits: Tensor) -> Tensor:
    """The perplexity of the mean softmax of logits (N, G, V), summed over the codebooks: between G and G·V."""
    return _perplexities(logits.softmax(2).mean(0)).sum()


def _codebooks_case(frames: int, groups: int, size: int, scale: float) -> tuple[Tensor]:
    logits = scale * torch.randn(frames, groups, size)
    if scale > 100:
        logits[..., -1] -= 10_000  # in every frame this entry's softmax is exactly zero
    return (logits,)


check_prob_perplexity = Exercise(
    solution=prob_perplexity,
    cases=lambda: [
        _codebooks_case(*case) for case in ((7, 2, 5, 2.0), (4, 1, 6, 1.0), (9, 3, 4, 3.0), (5, 2, 3, 400.0))
    ],
    atol=1e-3,
    passed="Right: first the mean over the frames, then the perplexity, then the sum over the codebooks.",
    mistakes={
        "Your result is NaN: an entry had probability 0, and 0 · log 0 is undefined to torch. Its limit is 0; "
        "`torch.xlogy(p, p)` or `torch.special.entr(p)` know that.":
            Mistake(lambda x: (-((p := x.softmax(2).mean(0)) * p.log()).sum(1)).exp().sum(), not_finite),
        "This is the mean of the frames' perplexities. Average the distributions first: one frame that is sure of "
        "itself says nothing about how many entries all frames use.":
            lambda x: _perplexities(x.softmax(2)).sum(1).mean(),
        "You averaged the logits; average the probabilities.": lambda x: _perplexities(x.mean(0).softmax(1)).sum(),
        "The codebooks are added up: the result lies between G and G·V.":
            lambda x: _perplexities(x.softmax(2).mean(0)).mean(),
        "You multiplied the codebooks' perplexities (or added up entropies first); they are added up.":
            lambda x: _perplexities(x.softmax(2).mean(0)).prod(),
        "This is the entropy; the perplexity is its exponential.":
            lambda x: torch.special.entr(x.softmax(2).mean(0)).sum(),
        "One number is wanted: add up the codebooks.": lambda x: _perplexities(x.softmax(2).mean(0)),
        "This is the code perplexity, from the hard choices; the prob perplexity takes the softmax.":
            lambda x: _perplexities(one_hot(x.argmax(2), x.shape[2]).double().mean(0)).sum(),
        "The softmax runs over the frames; it must run over the entries.":
            lambda x: _perplexities(x.softmax(0).mean(0)).sum(),
    },
)  # fmt: skip


def _entries(codes: Tensor, codebooks: Tensor) -> list[Tensor]:
    return [codebooks[g, codes[:, g]] for g in range(len(codebooks))]  # each (N, d/G)


def look_up(codes: Tensor, codebooks: Tensor) -> Tensor:
    """The joined entries (N, d) that codes (N, G) choose from codebooks (G, V, d/G)."""
    return torch.cat(_entries(codes, codebooks), dim=1)


check_look_up = Exercise(
    solution=look_up,
    cases=lambda: [
        (torch.randint(V := whole(4, 8), (whole(4, 8), G)), torch.randn(G, V, whole(4, 8))) for G in (2, 3, 2, 4)
    ],
    passed="Right: each choice from its own codebook, joined in order.",
    mistakes={
        "Every choice was looked up in the first codebook; choice g belongs to codebook g.":
            lambda codes, books: look_up(codes, books[:1].expand_as(books)),
        "You added the entries; they are joined, so that d = G · (d/G).": lambda *case: sum(_entries(*case)),
        "The entries are there, one row each: join them to one vector a frame.":
            lambda *case: torch.stack(_entries(*case), 1),
        "The numbers of the entries are interleaved: first all of entry 1, then all of entry 2.":
            lambda *case: torch.stack(_entries(*case), 2).flatten(1),
        "The codebooks are joined in the wrong order: the first comes first.":
            lambda *case: torch.cat(_entries(*case)[::-1], 1),
    },
)  # fmt: skip


def expected_entries(V: int, N: int) -> float:
    """How many different entries of V the choices of N frames use on average, if all are equally likely."""
    return V * (1 - (1 - 1 / V) ** N)


check_expected_entries = Exercise(
    solution=expected_entries, cases=lambda: [(320, 365), (4, 1), (2, 3), (32, 200), (102_400, 365)], atol=1e-3,
    passed="Right: even if all 320 entries are used alike, 365 frames leave a third of them untouched.",
    mistakes={
        "That many would be used if no two frames met at one entry; but they do.": min,
        "This is the expected number of entries that nobody uses; subtract it from V.":
            lambda V, N: V - expected_entries(V, N),
        "This is the probability that one given entry is used; there are V of them.":
            lambda V, N: expected_entries(V, N) / V,
        "Each entry is used by N/V frames on average, but not by N/V frames each: some get none.": lambda V, N: N / V,
        "V and N have changed places.": lambda V, N: expected_entries(N, V),
    },
)  # fmt: skip
