"""Checks of notebook 11: the trapezoid of learning rates, rates per layer, who learns when, word error rate."""

from __future__ import annotations

from collections.abc import Sequence

import jiwer
import torch

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize
from w2v2_teach.training.schedules import learning_rate
from w2v2_teach.training.settings import TrainingSettings


@exercise("Right: one trapezoid, and pre-training, tri-stage and the slanted triangle are three settings of it.")
def check_trapezoid(answer: Answer) -> None:
    """trapezoid(update, warmup, hold, updates, floor) → learning rate, as a share of its peak."""
    for warmup, hold, updates, floor in ((4, 8, 20, 0.0), (1_300, 5_200, 13_000, 0.01), (80, 0, 800, 1 / 32)):
        settings = TrainingSettings(
            updates=updates, learning_rate=1.0, warmup_updates=warmup, hold_updates=hold, rate_floor=floor
        )
        falls = warmup + hold
        places = sorted({0, warmup // 2, warmup - 1, warmup, falls - 1, falls, (falls + updates) // 2, updates - 1})
        wanted = torch.tensor([learning_rate(settings, u) for u in places], dtype=torch.float64)
        got = [call(answer, u, warmup, hold, updates, floor) for u in places]
        if not all(isinstance(rate, (int, float)) for rate in got):
            raise Wrong(
                f"Your function returned {type(got[0]).__name__}; one number is wanted, the rate of one update."
            )
        got = torch.tensor(got, dtype=torch.float64)
        recognize(got, wanted, _trapezoid_mistakes(places, warmup, hold, updates, floor))
        where = int((got - wanted).abs().argmax())
        case = f"warmup {warmup}, hold {hold}, updates {updates}, floor {floor:.3g}"
        expect(got[where], wanted[where], f"That is at update {places[where]} ({case}).", atol=1e-9)


def _trapezoid_mistakes(
    places: Sequence[int], warmup: int, hold: int, updates: int, floor: float
) -> dict[str, torch.Tensor]:
    def heights(
        falls: int = warmup + hold, fall_updates: int = updates - warmup - hold, first: int = 1
    ) -> torch.Tensor:
        def height(u: int) -> float:
            if u < warmup:
                return (u + first) / warmup
            return 1.0 if u < falls else (updates - u) / fall_updates

        return torch.tensor([height(u) for u in places], dtype=torch.float64)

    def raised(height: torch.Tensor) -> torch.Tensor:
        return floor + (1 - floor) * height

    late = max(hold, warmup)
    return {
        "Update 0 would be an update without a step: count from 1 in the warm-up, (update + 1) / warmup.": raised(
            heights(first=0)
        ),
        "The hold is missing: the rate stays at its peak for `hold` updates before it falls.": raised(
            heights(warmup, updates - warmup)
        ),
        "`hold` counts from the end of the warm-up, not from update 0: the fall begins at warmup + hold.": raised(
            heights(late, updates - late)
        ),
        "The rate jumps where the fall begins: it takes the updates that are left, updates − warmup − hold.": raised(
            heights(fall_updates=updates)
        ),
        "The floor is missing: the rate begins and ends at floor · peak.": heights(),
        "The floor is added on top, so that the peak is too high: from floor to 1 it is only 1 − floor.": (
            heights() + floor
        ),
        "You cut the rate off at the floor; the lines lead to it: floor + (1 − floor) · height.": heights().clamp(
            min=floor
        ),
    }


@exercise("Right: the head at the full rate, and every layer by the factor more slowly than the one above it.")
def check_layer_rates(answer: Answer) -> None:
    """layer_rates(peak, decay, layers) → (layers,), the head's first."""
    for peak, decay, layers in ((1.0, 0.5, 4), (2e-3, 1 / 2.6, 6), (1e-3, 1.0, 5)):
        depth = torch.arange(layers)
        wanted = peak * decay**depth  # (layers,)
        got = call(answer, peak, decay, layers)
        recognize(
            got,
            wanted,
            {
                "Upside down: the first is the head, and the head learns fastest.": wanted.flip(0),
                "The head itself gets the full rate: its exponent is 0.": peak * decay ** (depth + 1),
                "The rates grow from the top down: multiply by the factor, which is at most 1.": peak / decay**depth,
                "The rates fall in a line; each is a factor of the one above it.": peak * (1 - (1 - decay) * depth),
                "All layers but the head have the same rate: apply the factor once for each layer.": torch.where(
                    depth == 0, peak, peak * decay
                ),
                "These are the factors; multiply by the peak.": wanted / peak,
            },
        )
        expect(got, wanted, f"peak {peak:.3g}, factor {decay:.3g}, {layers} layers from the top down.", atol=1e-9)


@exercise("Right: the head alone, then the rest: all at once, or one by one.")
def check_trained_layers(answer: Answer) -> None:
    """trained_layers(update, frozen, every, layers) → how many layers, from the top, learn in this update."""
    for frozen, every, layers in ((100, 0, 6), (100, 50, 6), (10, 3, 4), (0, 0, 6), (0, 20, 5)):
        for update in (0, frozen - 1, frozen, frozen + 1, frozen + every, frozen + 2 * every, frozen + 1_000):
            if update < 0:
                continue
            after = update - frozen
            steps = after // every if every else layers
            wanted = 1 if after < 0 else min(layers, 2 + steps)
            got = call(answer, update, frozen, every, layers)
            case = f"trained_layers({update}, {frozen}, {every}, {layers})"
            recognize(
                got,
                wanted,
                {
                    f"{case}: the head alone learns in the first {frozen} updates, these are 0 to {frozen - 1}.": (
                        1 if after <= 0 else -1
                    ),
                    f"{case}: there are only {layers} layers; no more than these can learn.": 2 + steps,
                    f"{case}: that is without the head, which learns always.": wanted - 1,
                    f"{case}: `every` 0 means all at once.": 2 if every == 0 else -1,
                    f"{case}: the updates are counted from the end of the frozen phase, not from update 0.": (
                        min(layers, 2 + update // every) if every else -1
                    ),
                },
            )
            expect(got, wanted, f"{case}.", atol=0.5)


SENTENCES = [  # (what was said, what was written)
    ("go up the road", "go up the road"),
    ("go up the road", "go up road"),
    ("the code is nine six", "the coat is nine six"),
    ("left and right", "and right now"),
    ("stop", "yes stop and go"),
    ("my aunt found the red key", ""),
    ("turn the lamp on", "the lamp turn on on"),
]


@exercise("Right: the fewest changes that make one of the other, over the number of words that were said.")
def check_word_error_rate(answer: Answer) -> None:
    """word_error_rate(reference, hypothesis) → changes for each word of the reference."""
    for said, written in SENTENCES:
        words, found = said.split(), written.split()
        wanted = jiwer.wer(said, written)
        got = call(answer, said, written)
        changes = wanted * len(words)
        places = sum(a != b for a, b in zip(words, found, strict=False)) + abs(len(words) - len(found))
        recognize(
            got,
            wanted,
            {
                f"“{written}” for “{said}”: one missing word shifts all that follow. Align first: insertions and "
                "deletions are changes, too.": places / len(words),
                f"“{written}” for “{said}”: that is the number of changes; divide by the words that were said.": (
                    changes
                ),
                f"“{written}” for “{said}”: divide by the words of the reference, not of the hypothesis.": (
                    changes / max(1, len(found))
                ),
                f"“{written}” for “{said}”: these are characters; compare words, split at the spaces.": jiwer.cer(
                    said, written
                ),
                f"“{written}” for “{said}”: an error rate can be above 1, where words are put in.": min(1.0, wanted),
                f"“{written}” for “{said}”: the order of the words counts.": (
                    len(set(words) - set(found)) / len(words)
                ),
                f"“{written}” for “{said}”: that is the share of right words; errors are wanted.": 1 - wanted,
            },
        )
        expect(got, wanted, f"“{written}” for “{said}”.", atol=1e-6)
