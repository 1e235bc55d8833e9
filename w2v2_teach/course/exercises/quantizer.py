"""Checks of notebook 05: Gumbel softmax, straight-through, prob perplexity, product look-up, expected entries."""

from __future__ import annotations

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


@exercise("Right: noise first, then temperature, then softmax, each frame by itself.")
def check_gumbel_softmax(answer: Answer) -> None:
    """gumbel_softmax(logits (N, V), noise (N, V), tau) → (N, V), the soft sample."""
    for tau in (2.0, 1.0, 0.5, 0.1):
        frames, size = int(torch.randint(3, 6, ())), int(torch.randint(3, 7, ()))
        logits, noise = 2 * torch.randn(frames, size), -torch.empty(frames, size).exponential_().log()
        wanted = ((logits + noise) / tau).softmax(1)
        got = call(answer, logits, noise, tau)
        recognize(
            got,
            wanted,
            {
                "The noise is missing: add it to the logits.": (logits / tau).softmax(1),
                "Logits and noise are both divided by τ; you divided only the logits.": (
                    (logits / tau + noise).softmax(1)
                ),
                "Logits and noise are both divided by τ; you divided only the noise.": (
                    (logits + noise / tau).softmax(1)
                ),
                "Divide by τ: a small τ must make the sample sharper.": ((logits + noise) * tau).softmax(1),
                "The noise belongs to the logits, before the softmax.": (logits / tau).softmax(1) + noise,
                "The noise is added, not subtracted; a Gumbel variable is not symmetric.": (
                    ((logits - noise) / tau).softmax(1)
                ),
                "The temperature is missing.": (logits + noise).softmax(1),
                "The softmax runs over the frames; each frame's weights must add up to 1.": (
                    ((logits + noise) / tau).softmax(0)
                ),
                "This is the hard choice; here the soft sample is wanted, from which the gradient comes.": (
                    torch.nn.functional.one_hot((logits + noise).argmax(1), size)
                ),
            },
        )
        expect(got, wanted, f"softmax((logits + noise) / τ), here with τ = {tau:g}.")


@exercise(
    "Right: hard on the way forward, soft on the way back. The detached copy adds and takes away the same number."
)
def check_straight_through(answer: Answer) -> None:
    """straight_through(soft (N, V)) → (N, V) one-hot, whose gradient is that of `soft`."""
    with torch.enable_grad():
        for _ in range(ROUNDS):
            soft = torch.randn(5, 4).softmax(1).requires_grad_()
            hard = torch.nn.functional.one_hot(soft.argmax(1), 4).float()
            got = call(answer, soft)
            recognize(
                got,
                hard,
                {
                    "The way forward is still soft: what goes on must be ones and zeros.": soft,
                    "You returned the numbers of the chosen entries; a row of ones and zeros is wanted.": soft.argmax(
                        1
                    ),
                    "Forward this is 2 × soft − hard or the like: check the signs.": 2 * soft - hard,
                    "The largest weight must become 1, not keep its value.": soft * hard,
                },
            )
            expect(got, hard, "Forward: 1 at the largest weight, 0 elsewhere.")
            _check_gradient(got, soft)


def _check_gradient(got: Tensor, soft: Tensor) -> None:
    """What comes back through the answer must reach `soft` unchanged."""
    if not got.requires_grad:
        raise Wrong(
            "Forward this is right, but no gradient comes back: argmax has cut the path. Something differentiable "
            "must be added that leaves the value as it is."
        )
    wanted = torch.randn_like(soft)
    (back,) = torch.autograd.grad(got, soft, wanted, allow_unused=True)
    back = torch.zeros_like(soft) if back is None else back
    recognize(
        back,
        wanted,
        {
            "Forward this is right, but the gradient is zero: without `detach` + soft and − soft cancel on the way "
            "back, too.": torch.zeros_like(soft),
            "Forward this is right, but the gradient has the wrong sign: detach the soft that is subtracted.": -wanted,
            "Forward this is right, but the gradient comes back twice.": 2 * wanted,
        },
    )
    expect(back, wanted, "Forward this is right; but the gradient that comes back must be that of soft.", atol=1e-5)


@exercise("Right: first the mean over the frames, then the perplexity, then the sum over the codebooks.")
def check_prob_perplexity(answer: Answer) -> None:
    """prob_perplexity(logits (N, G, V)) → a number between G and G·V."""
    for frames, groups, size, scale in ((7, 2, 5, 2.0), (4, 1, 6, 1.0), (9, 3, 4, 3.0), (5, 2, 3, 400.0)):
        logits = scale * torch.randn(frames, groups, size)
        if scale > 100:
            logits[..., -1] -= 10_000  # in every frame this entry's softmax is exactly zero
        probs = logits.softmax(2)  # (N, G, V)
        mean = probs.mean(0)  # (G, V)
        wanted = _perplexities(mean).sum()
        got = call(answer, logits)
        _refuse_nan(got)
        codes = torch.nn.functional.one_hot(logits.argmax(2), size).double().mean(0)
        recognize(
            got,
            wanted,
            {
                "This is the mean of the frames' perplexities. Average the distributions first: one frame that is "
                "sure of itself says nothing about how many entries all frames use.": _perplexities(probs)
                .sum(1)
                .mean(),
                "You averaged the logits; average the probabilities.": _perplexities(logits.mean(0).softmax(1)).sum(),
                "The codebooks are added up: the result lies between G and G·V.": _perplexities(mean).mean(),
                "You multiplied the codebooks' perplexities (or added up entropies first); they are added up.": (
                    _perplexities(mean).prod()
                ),
                "This is the entropy; the perplexity is its exponential.": -torch.xlogy(mean, mean).sum(),
                "One number is wanted: add up the codebooks.": _perplexities(mean),
                "This is the code perplexity, from the hard choices; the prob perplexity takes the softmax.": (
                    _perplexities(codes).sum()
                ),
                "The softmax runs over the frames; it must run over the entries.": _perplexities(
                    logits.softmax(0).mean(0)
                ).sum(),
            },
        )
        expect(got, wanted, f"The case had {frames} frames, {groups} codebooks, {size} entries.", atol=1e-3)


def _perplexities(probs: Tensor) -> Tensor:
    """(..., V) → (...)."""
    return (-torch.xlogy(probs, probs).sum(-1)).exp()


def _refuse_nan(got: object) -> None:
    if isinstance(got, Tensor | float) and torch.as_tensor(got).isnan().any():
        raise Wrong(
            "Your result is NaN: an entry had probability 0, and 0 · log 0 is undefined to torch. Its limit is 0; "
            "`torch.xlogy(p, p)` or `torch.special.entr(p)` know that."
        )


@exercise("Right: each choice from its own codebook, joined in order.")
def check_look_up(answer: Answer) -> None:
    """look_up(codes (N, G), codebooks (G, V, d/G)) → (N, d)."""
    for groups in (2, 3, 2, 4):
        frames, size, width = (int(torch.randint(4, 8, ())) for _ in range(3))
        codebooks = torch.randn(groups, size, width)
        codes = torch.randint(size, (frames, groups))
        parts = [codebooks[g, codes[:, g]] for g in range(groups)]  # each (N, d/G)
        wanted = torch.cat(parts, 1)
        got = call(answer, codes, codebooks)
        recognize(
            got,
            wanted,
            {
                "Every choice was looked up in the first codebook; choice g belongs to codebook g.": torch.cat(
                    [codebooks[0, codes[:, g]] for g in range(groups)], 1
                ),
                "You added the entries; they are joined, so that d = G · (d/G).": torch.stack(parts).sum(0),
                "The entries are there, one row each: join them to one vector a frame.": torch.stack(parts, 1),
                "The numbers of the entries are interleaved: first all of entry 1, then all of entry 2.": torch.stack(
                    parts, 2
                ).flatten(1),
                "The codebooks are joined in the wrong order: the first comes first.": torch.cat(parts[::-1], 1),
            },
        )
        expect(got, wanted, f"The case had {frames} frames, {groups} codebooks of {size} entries, {width} wide.")


@exercise("Right: even if all 320 entries are used alike, 365 frames leave a third of them untouched.")
def check_expected_entries(answer: Answer) -> None:
    """expected_entries(V, N) → how many different entries N frames use on average, if all are equally likely."""
    for V, N in ((320, 365), (4, 1), (2, 3), (32, 200), (102_400, 365)):
        missed = (1 - 1 / V) ** N
        got = call(answer, V, N)
        recognize(
            got,
            V * (1 - missed),
            {
                "That many would be used if no two frames met at one entry; but they do.": min(V, N),
                "This is the expected number of entries that nobody uses; subtract it from V.": V * missed,
                "This is the probability that one given entry is used; there are V of them.": 1 - missed,
                "Each entry is used by N/V frames on average, but not by N/V frames each: some get none.": N / V,
                "V and N have changed places.": N * (1 - (1 - 1 / N) ** V),
            },
        )
        expect(got, V * (1 - missed), f"The case was V = {V:,} entries and N = {N} frames.", atol=1e-3)
