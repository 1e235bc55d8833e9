"""The checks of notebook 11 refuse plausible mistakes, each with its own words, and pass what is right."""

from types import SimpleNamespace

import jiwer
import pytest
import torch
from answers import AnswerTests

from w2v2_teach.course.exercises import finetuning as checks
from w2v2_teach.tasks.finetuning import Finetuning, FinetuningSettings


def trapezoid(update, warmup, hold, updates, floor):
    if update < warmup:
        height = (update + 1) / warmup
    elif update < warmup + hold:
        height = 1.0
    else:
        height = (updates - update) / (updates - warmup - hold)
    return floor + (1 - floor) * height


def layer_rates(peak, decay, layers):
    return peak * decay ** torch.arange(layers)


def trained_layers(update, frozen, every, layers):
    if update < frozen:
        return 1
    if every == 0:
        return layers
    return min(layers, 2 + (update - frozen) // every)


def word_error_rate(reference, hypothesis):
    said, written = reference.split(), hypothesis.split()
    row = list(range(len(written) + 1))
    for i, word in enumerate(said, start=1):
        above, row = row, [i]
        for j, other in enumerate(written, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other)))
    return row[-1] / len(said)


def counts_from_zero(update, warmup, hold, updates, floor):
    if update < warmup:
        return floor + (1 - floor) * update / warmup
    return trapezoid(update, warmup, hold, updates, floor)


def falls_over_all(update, warmup, hold, updates, floor):
    if update < warmup + hold:
        return trapezoid(update, warmup, hold, updates, floor)
    return floor + (1 - floor) * (updates - update) / updates


def by_position(reference, hypothesis):
    said, written = reference.split(), hypothesis.split()
    different = sum(a != b for a, b in zip(said, written, strict=False))
    return (different + abs(len(said) - len(written))) / len(said)


def bag_of_words(reference, hypothesis):
    said = reference.split()
    return len(set(said) - set(hypothesis.split())) / len(said)


SOLUTIONS = [
    (checks.check_trapezoid, trapezoid),
    (checks.check_layer_rates, layer_rates),
    (checks.check_trained_layers, trained_layers),
    (checks.check_word_error_rate, word_error_rate),
]

WRONG = [
    (checks.check_trapezoid, counts_from_zero, "without a step"),
    (checks.check_trapezoid, lambda u, w, _, n, f: trapezoid(u, w, 0, n, f), "hold is missing"),
    (checks.check_trapezoid, lambda u, w, h, n, f: trapezoid(u, w, max(h - w, 0), n, f), "not from update 0"),
    (checks.check_trapezoid, falls_over_all, "jumps where the fall begins"),
    (checks.check_trapezoid, lambda u, w, h, n, _: trapezoid(u, w, h, n, 0.0), "floor is missing"),
    (checks.check_trapezoid, lambda u, w, h, n, f: trapezoid(u, w, h, n, 0.0) + f, "added on top"),
    (checks.check_trapezoid, lambda u, w, h, n, f: max(trapezoid(u, w, h, n, 0.0), f), "cut the rate off"),
    (checks.check_trapezoid, lambda *case: torch.tensor(trapezoid(*case)), "one number is wanted"),
    (checks.check_trapezoid, lambda *case: trapezoid(*case) / 2, "at update"),
    (checks.check_layer_rates, lambda p, d, n: layer_rates(p, d, n).flip(0), "Upside down"),
    (checks.check_layer_rates, lambda p, d, n: d * layer_rates(p, d, n), "exponent is 0"),
    (checks.check_layer_rates, lambda p, d, n: layer_rates(p, 1 / d, n), "grow from the top"),
    (checks.check_layer_rates, lambda p, d, n: p * (1 - (1 - d) * torch.arange(n)), "in a line"),
    (checks.check_layer_rates, lambda p, d, n: torch.tensor([p, *[p * d] * (n - 1)]), "once for each layer"),
    (checks.check_layer_rates, lambda _, d, n: layer_rates(1.0, d, n), "multiply by the peak"),
    (checks.check_layer_rates, lambda p, d, n: layer_rates(p, d, n + 1), "shape"),
    (checks.check_layer_rates, lambda *_: "fast", "a number or a tensor"),
    (checks.check_trained_layers, lambda u, f, e, n: trained_layers(u - 1, f, e, n), "these are 0 to 99"),
    (checks.check_trained_layers, lambda u, f, e, n: trained_layers(u, f, e, 1_000 if e else n), "only 6 layers"),
    (checks.check_trained_layers, lambda u, f, e, n: trained_layers(u, f, e, n) - 1, "without the head"),
    (checks.check_trained_layers, lambda u, f, e, n: 2 if u >= f and e == 0 else trained_layers(u, f, e, n), "at once"),
    (
        checks.check_trained_layers,
        lambda u, f, e, n: min(n, 2 + u // e) if u >= f and e else trained_layers(u, f, e, n),
        "end of the frozen phase",
    ),
    (checks.check_trained_layers, lambda *_: 3, "trained_layers(0, 100, 0, 6)"),
    (checks.check_word_error_rate, by_position, "Align first"),
    (checks.check_word_error_rate, lambda r, h: word_error_rate(r, h) * len(r.split()), "number of changes"),
    (
        checks.check_word_error_rate,
        lambda r, h: word_error_rate(r, h) * len(r.split()) / max(1, len(h.split())),
        "not of the hypothesis",
    ),
    (checks.check_word_error_rate, jiwer.cer, "these are characters"),
    (checks.check_word_error_rate, lambda r, h: min(1.0, word_error_rate(r, h)), "above 1"),
    (checks.check_word_error_rate, bag_of_words, "order of the words"),
    (checks.check_word_error_rate, lambda r, h: 1 - word_error_rate(r, h), "share of right words"),
    (checks.check_word_error_rate, lambda *_: 0.0, "is 0, wanted is"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


@pytest.mark.parametrize("frozen", [0, 1, 7])
@pytest.mark.parametrize("every", [0, 1, 5])
def test_the_solution_is_what_fine_tuning_does(frozen, every):
    """The exercise asks for the package's rule, not for one of its own."""
    settings = FinetuningSettings(freeze_context_updates=frozen, unfreeze_every=every)
    task = SimpleNamespace(settings=settings, layers=lambda: [[]] * 6)
    for update in range(60):
        assert Finetuning.trained_layers(task, update) == trained_layers(update, frozen, every, 6)
