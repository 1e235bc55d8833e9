"""Exercises of notebook 11: the trapezoid of learning rates, rates per layer, who learns when, word error rate."""

import jiwer
import torch
from torch import Tensor

from w2v2_teach.course.exercises import Exercise
from w2v2_teach.course.exercises.pretraining import NOT_A_NUMBER, rates
from w2v2_teach.training.schedules import learning_rate
from w2v2_teach.training.settings import TrainingSettings


def trapezoid(update: int, warmup: int, hold: int, updates: int, floor: float) -> float:
    """The learning rate of an update, as a share of its peak: up, level, and down to the floor."""
    return learning_rate(
        TrainingSettings(
            updates=updates, learning_rate=1.0, warmup_updates=warmup, hold_updates=hold, rate_floor=floor
        ),
        update,
    )


def _trapezoid_case(warmup: int, hold: int, updates: int, floor: float) -> tuple[object, ...]:
    fall = warmup + hold
    places = {0, warmup // 2, warmup - 1, warmup, fall - 1, fall, (fall + updates) // 2, updates - 1}
    return sorted(places), warmup, hold, updates, floor


check_trapezoid = Exercise(
    solution=trapezoid,
    cases=lambda: [_trapezoid_case(4, 8, 20, 0.0), _trapezoid_case(1_300, 5_200, 13_000, 0.01),
                   _trapezoid_case(80, 0, 800, 1 / 32)],
    run=rates, atol=1e-9,
    passed="Right: one trapezoid, and pre-training, tri-stage and the slanted triangle are three settings of it.",
    mistakes={
        NOT_A_NUMBER: lambda *case: torch.tensor(trapezoid(*case)),
        "Update 0 would be an update without a step: count from 1 in the warm-up, (update + 1) / warmup.":
            lambda u, warmup, hold, updates, floor: floor + (1 - floor) * u / warmup if u < warmup
            else trapezoid(u, warmup, hold, updates, floor),
        "The hold is missing: the rate stays at its peak for `hold` updates before it falls.":
            lambda u, warmup, _, updates, floor: trapezoid(u, warmup, 0, updates, floor),
        "`hold` counts from the end of the warm-up, not from update 0: the fall begins at warmup + hold.":
            lambda u, warmup, hold, updates, floor: trapezoid(u, warmup, max(hold - warmup, 0), updates, floor),
        "The rate jumps where the fall begins: it takes the updates that are left, updates − warmup − hold.":
            lambda u, warmup, hold, updates, floor: trapezoid(u, warmup, hold, updates, floor) if u < warmup + hold
            else floor + (1 - floor) * (1 - u / updates),
        "The floor is missing: the rate begins and ends at floor · peak.":
            lambda u, warmup, hold, updates, _: trapezoid(u, warmup, hold, updates, 0.0),
        "The floor is added on top, so that the peak is too high: from floor to 1 it is only 1 − floor.":
            lambda u, warmup, hold, updates, floor: trapezoid(u, warmup, hold, updates, 0.0) + floor,
        "You cut the rate off at the floor; the lines lead to it: floor + (1 − floor) · height.":
            lambda u, warmup, hold, updates, floor: max(trapezoid(u, warmup, hold, updates, 0.0), floor),
    },
)  # fmt: skip


def layer_rates(peak: float, decay: float, layers: int) -> Tensor:
    """The learning rates (layers,) from the head down, each `decay` times the one above it."""
    return peak * decay ** torch.arange(layers)


check_layer_rates = Exercise(
    solution=layer_rates, cases=lambda: [(1.0, 0.5, 4), (2e-3, 1 / 2.6, 6), (1e-3, 1.0, 5)], atol=1e-9,
    passed="Right: the head at the full rate, and every layer by the factor more slowly than the one above it.",
    mistakes={
        "Upside down: the first is the head, and the head learns fastest.": lambda *case: layer_rates(*case).flip(0),
        "The head itself gets the full rate: its exponent is 0.": lambda p, d, n: d * layer_rates(p, d, n),
        "The rates grow from the top down: multiply by the factor, which is at most 1.":
            lambda p, d, n: layer_rates(p, 1 / d, n),
        "The rates fall in a line; each is a factor of the one above it.":
            lambda p, d, n: p * (1 - (1 - d) * torch.arange(n)),
        "All layers but the head have the same rate: apply the factor once for each layer.":
            lambda p, d, n: torch.tensor([p, *[p * d] * (n - 1)]),
        "These are the factors; multiply by the peak.": lambda _, d, n: layer_rates(1.0, d, n),
    },
)  # fmt: skip


def trained_layers(update: int, frozen: int, every: int, layers: int) -> int:
    """How many layers, counted from the top, learn in this update."""
    if update < frozen:
        return 1
    if every == 0:
        return layers
    return min(layers, 2 + (update - frozen) // every)


check_trained_layers = Exercise(
    solution=trained_layers,
    cases=lambda: [
        (update, frozen, every, layers)
        for frozen, every, layers in ((100, 0, 6), (100, 50, 6), (10, 3, 4), (0, 0, 6), (0, 20, 5))
        for update in (0, frozen - 1, frozen, frozen + 1, frozen + every, frozen + 2 * every, frozen + 1_000)
        if update >= 0
    ],
    atol=0.5,
    passed="Right: the head alone, then the rest: all at once, or one by one.",
    mistakes={
        "The head alone learns in the first `frozen` updates, and these are 0 to frozen - 1.":
            lambda u, *rest: trained_layers(u - 1, *rest),
        "There are only so many layers; no more than these can learn.":
            lambda u, f, every, n: trained_layers(u, f, every, 1_000 if every else n),
        "That is without the head, which always learns.": lambda *case: trained_layers(*case) - 1,
        "`every` 0 means all at once.": lambda u, f, every, n: 1 if u < f else trained_layers(u, f, every or 10**9, n),
        "The updates are counted from the end of the frozen phase, not from update 0.":
            lambda u, f, every, n: min(n, 2 + u // every) if u >= f and every else trained_layers(u, f, every, n),
    },
)  # fmt: skip


SENTENCES = [  # (what was said, what was written)
    ("go up the road", "go up the road"),
    ("go up the road", "go up road"),
    ("the code is nine six", "the coat is nine six"),
    ("left and right", "and right now"),
    ("stop", "yes stop and go"),
    ("my aunt found the red key", ""),
    ("turn the lamp on", "the lamp turn on on"),
]


def _changes(said: str, written: str) -> float:
    return jiwer.wer(said, written) * len(said.split())


def _by_position(said: str, written: str) -> float:
    words, found = said.split(), written.split()
    different = sum(a != b for a, b in zip(words, found, strict=False))
    return (different + abs(len(words) - len(found))) / len(words)


check_word_error_rate = Exercise(
    solution=jiwer.wer, cases=lambda: SENTENCES, atol=1e-6,
    passed="Right: the fewest changes that make one of the other, over the number of words that were said.",
    mistakes={
        "One missing word shifts all that follow. Align first: insertions and deletions are changes, too.":
            _by_position,
        "That is the number of changes; divide by the words that were said.": _changes,
        "Divide by the words of the reference, not of the hypothesis.":
            lambda said, written: _changes(said, written) / max(1, len(written.split())),
        "These are characters; compare words, split at the spaces.": jiwer.cer,
        "An error rate can be above 1, where words are put in.": lambda *case: min(1.0, jiwer.wer(*case)),
        "The order of the words counts.":
            lambda said, written: len(set(said.split()) - set(written.split())) / len(said.split()),
        "That is the share of right words; errors are wanted.": lambda *case: 1 - jiwer.wer(*case),
    },
)  # fmt: skip
