"""The checks of notebook 04 refuse plausible mistakes, each with its own words, and pass what is right."""

import math

import pytest
import torch
from answers import AnswerTests

from w2v2_teach.config import TINY
from w2v2_teach.course.exercises import masking as checks
from w2v2_teach.course.widgets.masking import span_lengths
from w2v2_teach.masking import span_mask
from w2v2_teach.model import Wav2Vec2Model


def hide(x, mask, vector):
    return torch.where(mask[:, :, None], vector, x)


def start_probability(share, M):
    return 1 - (1 - share) ** (1 / M)


def longest_span(mask):
    longest = current = 0
    for hidden in mask.tolist():
        current = current + 1 if hidden else 0
        longest = max(longest, current)
    return longest


def forgets_the_end(mask):
    longest = current = 0
    for hidden in mask.tolist():
        if hidden:
            current += 1
        else:
            longest, current = max(longest, current), 0
    return longest


def separate_spans(T, M, n):
    pieces = T - n * (M - 1)
    is_span = torch.zeros(pieces, dtype=torch.bool)
    is_span[torch.randperm(pieces)[:n]] = True
    return is_span.repeat_interleave(torch.where(is_span, M, 1))


def place_one_by_one(T, M, n):
    """Another right way: each span where it still fits."""
    mask = torch.zeros(T, dtype=torch.bool)
    while mask.sum() < n * M:
        start = int(torch.randint(T - M + 1, ()))
        if not mask[start : start + M].any():
            mask[start : start + M] = True
    return mask


def overlapping(T, M, n):
    mask = torch.zeros(T, dtype=torch.bool)
    for start in torch.randperm(T - M + 1)[:n].tolist():
        mask[start : start + M] = True
    return mask


def single_frames(T, M, n):
    mask = torch.zeros(T, dtype=torch.bool)
    mask[torch.randperm(T)[: n * M]] = True
    return mask


def never_touching(T, M, n):
    while True:
        mask = separate_spans(T, M, n)
        if M == 1 or (span_lengths(mask[None]) == M).all():
            return mask


def never_at(frame):
    def answer(T, M, n):
        while True:
            mask = separate_spans(T, M, n)
            if not mask[frame]:
                return mask

    return answer


SOLUTIONS = [
    (checks.check_hide, hide),
    (checks.check_start_probability, start_probability),
    (checks.check_longest_span, longest_span),
    (checks.check_longest_span, lambda mask: max(span_lengths(mask[None]).tolist(), default=0)),
    (checks.check_separate_spans, separate_spans),
    (checks.check_separate_spans, place_one_by_one),
]

WRONG = [
    (checks.check_hide, lambda x, m, v: hide(x, ~m, v), "upside down"),
    (checks.check_hide, lambda x, m, v: hide(x, m, 0 * v), "became zeros"),
    (checks.check_hide, lambda x, m, v: x + m[:, :, None] * v, "must replace"),
    (checks.check_hide, lambda x, _, v: v.expand_as(x), "Every frame"),
    (checks.check_hide, lambda x, *_: x, "Nothing has changed"),
    (checks.check_hide, lambda x, m, _: x[~m], "all T frames"),
    (checks.check_hide, lambda x, m, v: torch.where(m, v, x), "raised RuntimeError"),
    (checks.check_start_probability, lambda share, M: share / M, "Spans overlap"),
    (checks.check_start_probability, lambda share, M: (1 - share) ** (1 / M), "starts no span"),
    (checks.check_start_probability, lambda share, M: 1 - (1 - share) ** M, "solve it for p"),
    (checks.check_start_probability, lambda share, M: 1 - share ** (1 / M), "visible share"),
    (checks.check_start_probability, lambda share, M: -math.log(1 - share) / M, "long spans and small p"),
    (checks.check_start_probability, lambda share, M: M * start_probability(share, M), "divide by M"),
    (checks.check_longest_span, lambda m: m.sum(), "counts all masked frames"),
    (checks.check_longest_span, lambda m: len(span_lengths(m[None])), "counts the stretches"),
    (checks.check_longest_span, forgets_the_end, "reaches the last frame"),
    (checks.check_longest_span, lambda m: longest_span(~m), "longest visible"),
    (checks.check_longest_span, lambda m: longest_span(m) - 1, "One too few"),
    (checks.check_longest_span, lambda m: (span_lengths(m[None]).tolist() or [0])[0], "first stretch"),
    (checks.check_longest_span, lambda m: (span_lengths(m[None]).tolist() or [0])[-1], "last stretch"),
    (checks.check_longest_span, lambda m: span_lengths(m[None]), "shape"),
    (checks.check_separate_spans, overlapping, "Spans overlap"),
    (checks.check_separate_spans, single_frames, "a span is torn"),
    (checks.check_separate_spans, lambda T, M, n: ~separate_spans(T, M, n), "upside down"),
    (checks.check_separate_spans, lambda T, M, n: separate_spans(T, M, n + 1), "more than"),
    (checks.check_separate_spans, lambda T, M, n: torch.arange(T) < n * M, "same mask"),
    (checks.check_separate_spans, lambda T, M, n: separate_spans(T, M, n).long(), "bools"),
    (checks.check_separate_spans, lambda _, M, __: [0, M], "bools"),
    (checks.check_separate_spans, lambda T, M, n: separate_spans(T + 1, M, n), "shape"),
    (checks.check_separate_spans, never_touching, "never touch"),
    (checks.check_separate_spans, never_at(-1), "last frame is never"),
    (checks.check_separate_spans, never_at(0), "first frame is never"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


@pytest.mark.parametrize("seed", range(3))
def test_luck_does_not_decide(seed):
    torch.manual_seed(seed)
    for check, solution in SOLUTIONS:
        assert check(solution).state == "passed"
    for check, answer, _ in WRONG:
        assert check(answer).state == "wrong"


def test_the_solutions_agree_with_the_package():
    p = start_probability(0.49, 10)
    mask = span_mask(torch.full((2000,), 749), p, 10)
    assert mask.float().mean().item() == pytest.approx(0.49, abs=0.005)

    model = Wav2Vec2Model(TINY).requires_grad_(False).eval()
    waveform, mask = torch.randn(1, 16_000), span_mask(torch.tensor([49]), 0.1, 5)
    x = model.feature_projection(model.feature_extractor(waveform))[0]  # (B, T, D)
    c = model.encoder(hide(x, mask, model.masked_spec_embed)).last_hidden_state
    torch.testing.assert_close(c, model(waveform, mask_time_indices=mask).last_hidden_state)
