"""Checks of notebook 13: the causal mask, causal convolution, how often a code repeats, the next token's cost."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


@exercise("Right: each frame sees itself and what came before, and the first one sees itself.")
def check_may_look(answer: Answer) -> None:
    """may_look(T) → (T, T) bool, query by key."""
    for T in (5, 8, 2, 1):
        wanted = torch.ones(T, T, dtype=torch.bool).tril()
        got = call(answer, T)
        if isinstance(got, torch.Tensor) and got.dtype != torch.bool:
            raise Wrong(f"Your matrix holds {got.dtype}; True and False are wanted (torch.bool).")
        recognize(
            got,
            wanted,
            {
                "Turned round: rows are queries, and yours look at the future only.": wanted.T,
                "A frame may look at itself; with nothing to look at, the first row's softmax is 0/0.": wanted.tril(-1),
                "That lets every frame look one frame ahead.": torch.ones(T, T, dtype=torch.bool).tril(1),
                "Everybody sees everything: that is wav2vec 2.0's own network, which is not causal.": torch.ones(
                    T, T, dtype=torch.bool
                ),
                "These are the forbidden places; True is for allowed.": ~wanted,
            },
        )
        expect(got, wanted, f"T = {T}: entry (t, s) is True where frame t may look at frame s, s ≤ t.")


@exercise("Right: all the padding on the left, and no output knows an input that comes after it.")
def check_causal_conv(answer: Answer) -> None:
    """causal_conv(x (T,), w (n,)) → (T,)."""
    for n in (4, 5, 3, 2):
        x, w = torch.randn(int(torch.randint(8, 14, ()))), torch.randn(n)

        def conv(left: int, right: int, x: torch.Tensor = x, w: torch.Tensor = w) -> torch.Tensor:
            return F.conv1d(F.pad(x, (left, right))[None, None], w[None, None])[0, 0]

        wanted = conv(n - 1, 0)
        got = call(answer, x, w)
        recognize(
            got,
            wanted,
            {
                "Padded on the right: every output sees n − 1 inputs of its future, and none of its past.": conv(
                    0, n - 1
                ),
                "Half the padding is on the right: that is the usual convolution, and it looks ahead.": conv(
                    (n - 1) // 2, n // 2
                ),
                "The padding is shared out to both sides: that is the usual convolution, and it looks ahead.": conv(
                    n // 2, (n - 1) // 2
                ),
                "Without padding there are n − 1 outputs too few: T are wanted.": conv(0, 0),
                "One zero too many: your output at t stops at input t − 1.": conv(n, 0)[:-1],
                "The weights are turned round: the last weight belongs to the present input.": F.conv1d(
                    F.pad(x, (n - 1, 0))[None, None], w.flip(0)[None, None]
                )[0, 0],
            },
        )
        expect(got, wanted, "out[t] = w[0]·x[t − n + 1] + … + w[n − 1]·x[t], with zeros before the beginning.")


@exercise("Right. Compare the accuracy of any next-step model with this before you are glad.")
def check_repeats(answer: Answer) -> None:
    """repeats(codes (T,), k) → share of frames whose code k frames later is the same."""
    for k in (1, 2, 3, 5):
        runs = torch.randint(1, 5, (12,))
        codes = torch.randint(0, 4, (12,)).repeat_interleave(runs)  # (T,)
        codes[-k:], codes[:k] = 1, 1  # the ends agree, so that going round in a circle shows
        same = (codes[k:] == codes[:-k]).float()  # (T - k,)
        wanted = same.mean()
        got = call(answer, codes, k)
        recognize(
            torch.as_tensor(got, dtype=torch.float32),
            wanted,
            {
                "That is how many; divide by the T − k pairs.": same.sum(),
                "There are only T − k pairs: the last k frames have no frame k ahead.": same.sum() / len(codes),
                "roll goes round in a circle: the last frames are compared with the first.": (
                    (codes == codes.roll(k)).float().mean()
                ),
                "These are the pairs that differ.": 1 - wanted,
                "That is k = 1, whatever k is.": (codes[1:] == codes[:-1]).float().mean() if k > 1 else -1.0,
            },
        )
        expect(got, wanted, f"Compare codes[{k}:] with codes[:-{k}].")


@exercise("Right: the logits of frame t are held against the code of frame t + 1.")
def check_next_token_cost(answer: Answer) -> None:
    """next_token_cost(logits (T, V), codes (T,)) → nats a token."""
    for _ in range(ROUNDS):
        T, V = int(torch.randint(5, 12, ())), int(torch.randint(3, 9, ()))
        logits, codes = 2 * torch.randn(T, V), torch.randint(0, V, (T,))
        wanted = F.cross_entropy(logits[:-1], codes[1:])
        got = call(answer, logits, codes)
        recognize(
            got,
            wanted,
            {
                "Not shifted: you ask frame t for its own code, which it has heard.": F.cross_entropy(logits, codes),
                "Shifted the wrong way: that asks frame t + 1 for the code of frame t, its past.": F.cross_entropy(
                    logits[1:], codes[:-1]
                ),
                "That is the sum over the T − 1 tokens; their mean is wanted.": wanted * (T - 1),
                "These are bits; nats are wanted, the natural logarithm.": wanted / math.log(2),
                "There are T − 1 tokens to guess, not T.": wanted * (T - 1) / T,
                "A loss is minus the logarithm of the probability.": -wanted,
            },
        )
        expect(got, wanted, "−log softmax(logits[t])[codes[t + 1]], averaged over t = 0 … T − 2.")
