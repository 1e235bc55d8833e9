"""The checks of notebook 07 refuse plausible mistakes, each with its own words, and pass what is right."""

import math

import pytest
import torch
from answers import AnswerTests, assert_refused

from w2v2_teach.course.exercises import pretraining as checks


def rate_of(update, peak, warmup, updates):
    if update < warmup:
        return peak * (update + 1) / warmup
    return peak * (updates - update) / (updates - warmup)


def accumulate(gradients, counts):
    return (gradients * counts[:, None]).sum(0) / counts.sum()


def plateau_left(updates, losses, K):
    above = (losses >= 0.98 * math.log(K + 1)).nonzero()
    return updates[above[-1, 0] + 1]


def passes(updates, batch_size, crop_seconds, corpus_hours):
    return updates * batch_size * crop_seconds / 3600 / corpus_hours


def diagnose(record, K, G, V):
    if not math.isfinite(record["contrastive_loss"]):
        return "not finite"
    if record["code_perplexity"] < 1.01 * G:
        return "all codes equal"
    if abs(record["contrastive_loss"] / math.log(K + 1) - 1) < 0.01:
        return "constant z" if record["prob_perplexity"] > 0.999 * G * V else "plateau"
    return "healthy"


def rate_with(up=None, down=None):
    """The right schedule but for its way up or its way down."""

    def rate(update, peak, warmup, updates):
        if update < warmup:
            return up(update, peak, warmup, updates) if up else rate_of(update, peak, warmup, updates)
        return down(update, peak, warmup, updates) if down else rate_of(update, peak, warmup, updates)

    return rate


def divided_after_each(gradients, counts):
    gathered = torch.zeros_like(gradients[0])
    for gradient, count in zip(gradients, counts, strict=True):
        gathered = (gathered + gradient * count) / count
    return gathered


def first_below(updates, losses, bound):
    return updates[(losses < bound).nonzero()[0, 0]]


def never_asks_for_nan(record, K, G, V):
    loss = record["contrastive_loss"]
    return diagnose({**record, "contrastive_loss": loss if math.isfinite(loss) else 1.0}, K, G, V)


def never_says(word, instead):
    def answer(record, K, G, V):
        found = diagnose(record, K, G, V)
        return instead if found == word else found

    return answer


SOLUTIONS = [
    (checks.check_rate, rate_of),
    (checks.check_accumulate, accumulate),
    (checks.check_plateau_left, plateau_left),
    (checks.check_passes, passes),
    (checks.check_diagnose, diagnose),
]

WRONG = [
    (checks.check_rate, rate_with(up=lambda u, p, w, _: p * u / w), "without a step"),
    (checks.check_rate, rate_with(down=lambda u, p, _, n: p * (n - u) / n), "jumps at the end"),
    (checks.check_rate, rate_with(down=lambda _u, p, *_: p), "stays at its peak"),
    (checks.check_rate, rate_with(up=lambda u, p, w, n: p * (n - u) / (n - w)), "warm-up is missing"),
    (
        checks.check_rate,
        rate_with(down=lambda u, p, w, n: p * (1 + math.cos(math.pi * (u - w) / (n - w))) / 2),
        "half a cosine",
    ),
    (checks.check_rate, lambda u, _, w, n: rate_of(u, 1.0, w, n), "multiply by the peak"),
    (checks.check_rate, lambda u, p, w, n: torch.tensor(rate_of(u, p, w, n)), "one number is wanted"),
    (checks.check_rate, rate_with(down=lambda u, p, w, n: p * (n - u) / (n - w) / 2), "at update"),
    (checks.check_accumulate, lambda g, _: g.mean(0), "mean of the means"),
    (checks.check_accumulate, lambda g, _: g.sum(0), "share of all frames"),
    (checks.check_accumulate, lambda g, n: (g * n[:, None]).sum(0), "gradient of the sum"),
    (checks.check_accumulate, lambda g, n: (g / n[:, None]).sum(0), "makes them tiny"),
    (checks.check_accumulate, lambda g, n: (g / n[:, None]).sum(0) / (1 / n).sum(), "upside down"),
    (checks.check_accumulate, divided_after_each, "divide once, at the end"),
    (checks.check_accumulate, lambda g, n: accumulate(g, n).sum(), "shape"),
    (checks.check_plateau_left, lambda u, x, K: first_below(u, x, 0.98 * math.log(K + 1)), "one lucky batch"),
    (checks.check_plateau_left, lambda u, x, K: first_below(u, x, math.log2(K + 1)), "in nats"),
    (
        checks.check_plateau_left,
        lambda _, x, K: (x >= 0.98 * math.log(K + 1)).nonzero()[-1, 0] + 1,
        "number of the line",
    ),
    (checks.check_plateau_left, lambda u, x, K: u[(x >= 0.98 * math.log(K + 1)).nonzero()[-1, 0]], "last line of the"),
    (checks.check_plateau_left, lambda u, _x, _K: u[-1], "last line."),
    (checks.check_plateau_left, lambda u, x, K: u[(x < 0.98 * math.log(K + 1)).nonzero()], "shape"),
    (checks.check_passes, lambda u, b, c, _: u * b * c / 3600, "divide by the hours"),
    (checks.check_passes, lambda u, b, c, h: u * b * c / h, "3,600 seconds in one"),
    (checks.check_passes, lambda u, b, c, h: u * b * c / 60 / h, "60 is for minutes"),
    (checks.check_passes, lambda u, _, c, h: u * c / 3600 / h, "whole batch"),
    (checks.check_passes, lambda u, b, _, h: u * b / 3600 / h, "one second long"),
    (checks.check_passes, lambda u, b, c, h: u * b * c / 7200 / h, "hidden ones are heard"),
    (checks.check_passes, lambda u, b, c, h: 3600 * h / (u * b * c), "Upside down"),
    (checks.check_diagnose, never_asks_for_nan, "math.isfinite"),
    (checks.check_diagnose, lambda *_: "healthy", "it guesses"),
    (checks.check_diagnose, lambda *_: "plateau", "has left ln(K + 1)"),
    (checks.check_diagnose, lambda *_: "ill", "one of all codes equal, constant z"),
    (checks.check_diagnose, lambda *_: 3, "one of all codes equal, constant z"),
    (checks.check_diagnose, never_says("constant z", "plateau"), "no run that hears is so even"),
    (checks.check_diagnose, never_says("all codes equal", "healthy"), "no triumph"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


@pytest.mark.parametrize("seed", range(20))
def test_the_log_of_the_exercise_has_one_right_answer_whatever_is_drawn(seed):
    torch.manual_seed(seed)
    assert checks.check_plateau_left(plateau_left).state == "passed"
    assert_refused(
        checks.check_plateau_left, lambda u, x, K: first_below(u, x, 0.98 * math.log(K + 1)), "one lucky batch"
    )
