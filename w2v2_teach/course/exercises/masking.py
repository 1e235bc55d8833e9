"""Checks of notebook 04: the mask vector, p for a wanted share, the longest stretch, spans that do not overlap."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


@exercise("Right: one learned vector for every hidden frame, and all others as they were.")
def check_hide(answer: Answer) -> None:
    """hide(x (B, T, D), mask (B, T), vector (D,)) → (B, T, D)."""
    for _ in range(ROUNDS):
        B, T, D = (int(torch.randint(low, low + 4, ())) for low in (2, 6, 3))
        x, vector = torch.randn(B, T, D), torch.rand(D)
        mask = torch.rand(B, T) < 0.5
        mask[0, 0], mask[0, 1] = True, False  # both kinds are there
        got = call(answer, x, mask, vector)
        hidden = mask[:, :, None]  # (B, T, 1)
        wanted = torch.where(hidden, vector, x)
        mistakes = {
            "The mask is upside down: True marks the frames that are hidden.": torch.where(hidden, x, vector),
            "Hidden frames became zeros; they must become the mask vector.": x * ~hidden,
            "You added the mask vector to the hidden frames; it must replace them.": x + hidden * vector,
            "Every frame became the mask vector; only the masked ones must.": vector.expand(B, T, D),
            "Nothing has changed: masked frames must become the mask vector.": x,
            "You took the visible frames out; the result must keep all T frames.": x[~mask],
        }
        recognize(got, wanted, mistakes)
        expect(got, wanted, "Masked frames become the vector, all others stay.")


@exercise("Right: overlap is in it, so that the share comes out as ordered.")
def check_start_probability(answer: Answer) -> None:
    """start_probability(share, M) → p."""
    for share, M in ((0.49, 10), (0.49, 5), (0.8, 10), (0.5, 1), (0.15, 3)):
        wanted = 1 - (1 - share) ** (1 / M)
        got = call(answer, share, M)
        mistakes = {
            "Spans overlap: with p = share / M fewer frames are masked than ordered.": share / M,
            "This is 1 − p, the chance that a frame starts no span.": 1 - wanted,
            "This is the formula itself, from p to share; solve it for p.": 1 - (1 - share) ** M,
            "The root belongs to the visible share 1 − share: a frame is visible if none of M frames starts a span.": (
                1 - share ** (1 / M)
            ),
            "Close: this is the limit for long spans and small p, where (1 − p)^M is e^(−pM). Solve the formula.": (
                -math.log(1 - share) / M
            ),
            "This is p·M; divide by M.": M * wanted,
        }
        recognize(got, wanted, mistakes)
        expect(got, wanted, f"The case was a share of {share}, spans of {M} frames.")


@exercise("Right, at both ends of the utterance, too.")
def check_longest_span(answer: Answer) -> None:
    """longest_span(mask (T,)) → int."""
    # in the first two every mistake gives a number of its own
    rows = ["0" + "11" + 9 * "0" + "1111111" + "00" + "11111" + "0", "11" + 10 * "0" + "1111" + "00" + "11111111"]
    rows += ["111100110", "001101111", "0101010", "1110111", "00000", "11111", "1", "0"]
    masks = [torch.tensor([digit == "1" for digit in row]) for row in rows]
    masks += [torch.rand(40) < 0.6 for _ in range(ROUNDS)]
    for mask in masks:
        hidden, visible = _stretches(mask, True), _stretches(mask, False)
        wanted = max(hidden, default=0)
        got = call(answer, mask)
        case = "".join("01"[frame] for frame in mask.tolist())
        mistakes = {
            f"This counts all masked frames of {case}; the longest unbroken stretch is wanted.": sum(hidden),
            f"This counts the stretches of {case}; how long is the longest?": len(hidden),
            f"A stretch that reaches the last frame is overlooked: the case was {case}.": max(
                _stretches(mask[: len(mask) - _tail(mask)], True), default=0
            ),
            f"One too few: from frame a to frame b there are b − a + 1 of them. The case was {case}.": wanted - 1,
            f"This is the longest visible stretch of {case}.": max(visible, default=0),
            f"This is the first stretch of {case}, not the longest.": hidden[0] if hidden else 0,
            f"This is the last stretch of {case}, not the longest.": hidden[-1] if hidden else 0,
        }
        recognize(got, wanted, mistakes)
        expect(got, wanted, f"The case was {case}.", atol=0.5)


def _stretches(mask: Tensor, value: bool) -> list[int]:
    """Lengths of the unbroken stretches of `value` in a mask (T,)."""
    text = "".join("x" if frame == value else " " for frame in mask.tolist())
    return [len(stretch) for stretch in text.split()]


def _tail(mask: Tensor) -> int:
    """How many masked frames the mask ends with."""
    text = "".join("x" if frame else " " for frame in mask.tolist())
    return len(text) - len(text.rstrip("x"))


@exercise("Right: every span stands alone, and p·M is what you get.")
def check_separate_spans(answer: Answer) -> None:
    """separate_spans(T, M, n) → (T,) bool."""
    for T, M, n in ((21, 4, 2), (31, 5, 3), (9, 1, 4), (12, 7, 1)):
        for _ in range(10):
            _check_separate(call(answer, T, M, n), T, M, n)
    found = {"".join("01"[frame] for frame in torch.as_tensor(call(answer, 7, 2, 2)).tolist()) for _ in range(400)}
    _check_variety(found)


def _check_separate(got: object, T: int, M: int, n: int) -> None:
    case = f"T = {T}, M = {M}, n = {n}"
    if not isinstance(got, Tensor) or got.dtype != torch.bool:
        kind = f"a tensor of {got.dtype}" if isinstance(got, Tensor) else type(got).__name__
        raise Wrong(f"Your function returned {kind}; a tensor of T bools is wanted.")
    if got.shape != (T,):
        raise Wrong(f"Your mask has shape {tuple(got.shape)}, wanted is ({T},). The case was {case}.")
    masked, shown = int(got.sum()), "".join("01"[frame] for frame in got.tolist())
    if masked == T - n * M and masked != n * M:
        raise Wrong(f"The mask is upside down: {case} gave {shown}.")
    if masked < n * M:
        raise Wrong(
            f"{case} gave {shown}: {masked} frames are hidden, not n·M = {n * M}. Spans overlap, or some are missing."
        )
    if masked > n * M:
        raise Wrong(f"{case} gave {shown}: {masked} frames are hidden, more than n·M = {n * M}.")
    if any(length % M for length in _stretches(got, True)):
        raise Wrong(f"{case} gave {shown}: a span is torn; each must be {M} frames on end.")


def _check_variety(found: set[str]) -> None:
    """`found`: the masks that 400 draws of two spans of 2 among 7 frames gave; there are ten, and each must come."""
    if len(found) == 1:
        raise Wrong(f"Every call gives the same mask, {found.pop()}: draw the places at random.")
    if all(mask[-1] == "0" for mask in found):
        raise Wrong("The last frame is never hidden: the last place for a span of M frames is T − M.")
    if all(mask[0] == "0" for mask in found):
        raise Wrong("The first frame is never hidden: a span may start at 0.")
    if not any("1111" in mask for mask in found):
        raise Wrong("Two spans never touch; without overlap they may still stand side by side.")
    if len(found) < 10:
        raise Wrong(f"T = 7, M = 2, n = 2 has 10 different masks; 400 draws gave only {len(found)} of them.")
