"""Exercises of notebook 04: the mask vector, p for a wanted share, the longest stretch, spans that do not overlap."""

import math
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Exercise, Mistake, call, not_a_tensor_of, rounds, whole


def hide(x: Tensor, mask: Tensor, vector: Tensor) -> Tensor:
    """x (B, T, D) with the mask vector (D,) in place of the frames of mask (B, T)."""
    return torch.where(mask[:, :, None], vector, x)


def _hide_case() -> tuple[Tensor, ...]:
    B, T, D = whole(2, 6), whole(6, 10), whole(3, 7)
    mask = torch.rand(B, T) < 0.5
    mask[0, 0], mask[0, 1] = True, False  # both kinds are there
    return torch.randn(B, T, D), mask, torch.rand(D)


check_hide = Exercise(
    solution=hide, cases=rounds(_hide_case),
    passed="Right: one learned vector for every hidden frame, and all others as they were.",
    hint="Masked frames become the vector, all others stay.",
    mistakes={
        "The mask is upside down: True marks the frames that are hidden.":
            lambda x, mask, vector: hide(x, ~mask, vector),
        "Hidden frames became zeros; they must become the mask vector.":
            lambda x, mask, vector: hide(x, mask, 0 * vector),
        "You added the mask vector to the hidden frames; it must replace them.":
            lambda x, mask, vector: x + mask[:, :, None] * vector,
        "Every frame became the mask vector; only the masked ones must.": lambda x, _, vector: vector.expand_as(x),
        "Nothing has changed: masked frames must become the mask vector.": lambda x, *_: x,
        "You took the visible frames out; the result must keep all T frames.": lambda x, mask, _: x[~mask],
    },
)  # fmt: skip


def start_probability(share: float, M: int) -> float:
    """The probability p that a frame starts a span of M, for a wanted share of masked frames."""
    return 1 - (1 - share) ** (1 / M)


check_start_probability = Exercise(
    solution=start_probability, cases=lambda: [(0.49, 10), (0.49, 5), (0.8, 10), (0.5, 1), (0.15, 3)],
    passed="Right: overlap is in it, so that the share comes out as ordered.",
    mistakes={
        "Spans overlap: with p = share / M fewer frames are masked than ordered.": lambda share, M: share / M,
        "This is 1 − p, the chance that a frame starts no span.": lambda share, M: (1 - share) ** (1 / M),
        "This is the formula itself, from p to share; solve it for p.": lambda share, M: 1 - (1 - share) ** M,
        "The root belongs to the visible share 1 − share: a frame is visible if none of M frames starts a span.":
            lambda share, M: 1 - share ** (1 / M),
        "Close: this is the limit for long spans and small p, where (1 − p)^M is e^(−pM). Solve the formula.":
            lambda share, M: -math.log(1 - share) / M,
        "This is p·M; divide by M.": lambda share, M: M * start_probability(share, M),
    },
)  # fmt: skip


def _digits(mask: Tensor) -> str:
    return "".join("01"[int(frame)] for frame in mask)


def _stretches(mask: Tensor) -> list[int]:
    """Lengths of the unbroken stretches of True in a mask (T,)."""
    return [len(stretch) for stretch in _digits(mask).replace("0", " ").split()]


def longest_span(mask: Tensor) -> int:
    """The length of the longest unbroken stretch of hidden frames in mask (T,)."""
    return max(_stretches(mask), default=0)


def _mask_cases() -> list[tuple[Tensor]]:
    # in the first two every mistake gives a number of its own
    rows = ["0" + "11" + 9 * "0" + "1111111" + "00" + "11111" + "0", "11" + 10 * "0" + "1111" + "00" + "11111111"]
    rows += ["111100110", "001101111", "0101010", "1110111", "00000", "11111", "1", "0"]
    masks = [torch.tensor([digit == "1" for digit in row]) for row in rows]
    return [(mask,) for mask in (*masks, *(torch.rand(4, 40) < 0.6))]


check_longest_span = Exercise(
    solution=longest_span, cases=_mask_cases, atol=0.5,
    passed="Right, at both ends of the utterance, too.",
    mistakes={
        "This counts all masked frames; the longest unbroken stretch is wanted.": lambda mask: mask.sum(),
        "This counts the stretches; how long is the longest?": lambda mask: len(_stretches(mask)),
        "A stretch that reaches the last frame is overlooked.":
            lambda mask: max(map(len, _digits(mask).split("0")[:-1]), default=0),
        "One too few: from frame a to frame b there are b − a + 1 of them.": lambda mask: longest_span(mask) - 1,
        "This is the longest visible stretch.": lambda mask: longest_span(~mask),
        "This is the first stretch, not the longest.": lambda mask: [*_stretches(mask), 0][0],
        "This is the last stretch, not the longest.": lambda mask: [0, *_stretches(mask)][-1],
    },
)  # fmt: skip


def separate_spans(T: int, M: int, n: int) -> Tensor:
    """A random mask (T,) of n spans of M frames that do not overlap."""
    pieces = T - n * (M - 1)
    is_span = torch.zeros(pieces, dtype=torch.bool)
    is_span[torch.randperm(pieces)[:n]] = True
    return is_span.repeat_interleave(torch.where(is_span, M, 1))


def _overlapping(T: int, M: int, n: int) -> Tensor:
    since = torch.arange(T)[:, None] - torch.randperm(T - M + 1)[:n]  # (T, n) frames since each span's start
    return ((since >= 0) & (since < M)).any(dim=1)


def _redrawn(unless: Callable[[Tensor, int], Any]) -> Answer:
    """Separate spans, drawn again until `unless(mask, M)` holds."""
    return lambda T, M, n: next(mask for _ in count() if unless(mask := separate_spans(T, M, n), M))


def _any(sign: Callable[..., Any]) -> Callable[..., bool]:
    """The sign of a mistake in one of the masks that were drawn."""
    return lambda masks, T, M, n, _: any(sign(mask, T, M, n) for mask in masks)


def _of_many(sign: Callable[[set[str]], bool]) -> Callable[..., bool]:
    """The sign of too little variety, looked for in the last case: ten masks are possible, and it has 400 draws."""
    return lambda masks, _T, _M, _n, draws: draws == 400 and sign(set(map(_digits, masks)))


check_separate_spans = Exercise(
    solution=separate_spans,
    cases=lambda: [(21, 4, 2, 10), (31, 5, 3, 10), (9, 1, 4, 10), (12, 7, 1, 10), (7, 2, 2, 400)],
    run=lambda answer, T, M, n, draws: [call(answer, T, M, n) for _ in range(draws)], one_result=False,
    passed="Right: every span stands alone, and p·M is what you get.",
    mistakes={
        "A tensor of T bools is wanted.":
            Mistake(lambda T, M, n: separate_spans(T, M, n).long(), _any(not_a_tensor_of(torch.bool))),
        "Your mask does not have shape (T,).":
            Mistake(lambda T, M, n: separate_spans(T + 1, M, n), _any(lambda mask, T, *_: mask.shape != (T,))),
        "The mask is upside down: True marks the hidden frames.": Mistake(
            lambda T, M, n: ~separate_spans(T, M, n), _any(lambda mask, T, M, n: mask.sum() == T - n * M != n * M),
        ),
        "Fewer than n·M frames are hidden. Spans overlap, or some are missing.":
            Mistake(_overlapping, _any(lambda mask, _, M, n: mask.sum() < n * M)),
        "More than n·M frames are hidden.":
            Mistake(lambda T, M, n: separate_spans(T, M, n + 1), _any(lambda mask, _, M, n: mask.sum() > n * M)),
        "Your mask has a torn span; each must be M frames on end.": Mistake(
            lambda T, M, n: torch.randperm(T) < n * M,
            _any(lambda mask, _, M, __: any(length % M for length in _stretches(mask))),
        ),
        "Every call gives the same mask: draw the places at random.":
            Mistake(lambda T, M, n: torch.arange(T) < n * M, _of_many(lambda found: len(found) == 1)),
        "The last frame is never hidden: the last place for a span of M frames is T − M.": Mistake(
            _redrawn(lambda mask, _: not mask[-1]), _of_many(lambda found: all(mask[-1] == "0" for mask in found)),
        ),
        "The first frame is never hidden: a span may start at 0.": Mistake(
            _redrawn(lambda mask, _: not mask[0]), _of_many(lambda found: all(mask[0] == "0" for mask in found)),
        ),
        "Two spans never touch; without overlap they may still stand side by side.": Mistake(
            _redrawn(lambda mask, M: M == 1 or set(_stretches(mask)) == {M}),
            _of_many(lambda found: not any("1111" in mask for mask in found)),
        ),
        "Ten different masks are possible, and 400 draws of yours did not give all of them.":
            Mistake(_redrawn(lambda mask, _: _digits(mask) != "0110110"), _of_many(lambda found: len(found) < 10)),
    },
)  # fmt: skip
