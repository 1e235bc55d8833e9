"""Exercises of notebook 07: learning rate, accumulation, the end of the plateau, passes over the data, diagnosis."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Exercise, Mistake, Wrong, call, rounds, whole
from w2v2_teach.training.schedules import learning_rate
from w2v2_teach.training.settings import TrainingSettings

NOT_A_NUMBER = "Your function should return one number, the rate of one update."


def rates(answer: Answer, updates: Sequence[int], *settings: Any) -> Tensor:
    """The learning rates that an answer gives for several updates: at one alone, mistakes look alike."""
    found = [call(answer, update, *settings) for update in updates]
    if not all(isinstance(rate, int | float) for rate in found):
        raise Wrong(NOT_A_NUMBER)
    return torch.tensor(found, dtype=torch.float64)


def rate_of(update: int, peak: float, warmup: int, updates: int) -> float:
    """The learning rate of an update: up to the peak in `warmup` updates, then down to 0."""
    return learning_rate(TrainingSettings(updates=updates, learning_rate=peak, warmup_updates=warmup), update)


def _rate(up: Answer = rate_of, down: Answer = rate_of) -> Answer:
    """A schedule with another way up, or another way down."""
    return lambda update, peak, warmup, updates: (up if update < warmup else down)(update, peak, warmup, updates)


def _rate_case(peak: float, warmup: int, updates: int) -> tuple[Any, ...]:
    places = (0, 1, warmup // 2, warmup - 1, warmup, warmup + 1, (warmup + updates) // 2, updates - 1)
    return places, peak, warmup, updates


check_rate = Exercise(
    solution=rate_of,
    cases=lambda: [_rate_case(1.0, 4, 20), _rate_case(3e-3, 30, 600), _rate_case(5e-4, 32_000, 400_000)],
    run=lambda answer, places, peak, *rest: rates(answer, places, peak, *rest) / peak, atol=1e-9,
    passed="Right: up in a line, down in a line, and no update without a step.",
    hint="This is in units of the peak.",
    mistakes={
        NOT_A_NUMBER: lambda *case: torch.tensor(rate_of(*case)),
        "Update 0 would be an update without a step: count from 1 in the warm-up, (update + 1) / warmup.":
            _rate(up=lambda u, peak, warmup, _: peak * u / warmup),
        "The warm-up is missing: the rate has to rise from nearly 0 in the first `warmup` updates.":
            _rate(up=lambda u, peak, warmup, updates: peak * (updates - u) / (updates - warmup)),
        "The rate jumps at the end of the warm-up: the way down begins there, and takes updates − warmup updates.":
            _rate(down=lambda u, peak, _, updates: peak * (updates - u) / updates),
        "The rate stays at its peak; after the warm-up it must fall to 0.": _rate(down=lambda _, peak, *__: peak),
        "That is half a cosine; a line is wanted.":
            _rate(down=lambda u, peak, warmup, n: peak * (1 + math.cos(math.pi * (u - warmup) / (n - warmup))) / 2),
        "This is the share of the peak; multiply by the peak.": lambda u, _, *rest: rate_of(u, 1.0, *rest),
    },
)  # fmt: skip


check_accumulate = Exercise(
    solution=lambda gradients, counts: (gradients * counts[:, None]).sum(0) / counts.sum(),  # (m, P), (m,) → (P,)
    cases=rounds(lambda: (torch.randn(m := whole(2, 5), 6), torch.randint(5, 300, (m,)))),
    passed="Right: every masked frame counts once, in whichever micro-batch it came.",
    hint="Mean times count gives a sum; add the sums up; divide by all counts together.",
    mistakes={
        "That is the mean of the means: a micro-batch of 5 frames would count as much as one of 300.":
            lambda g, _: g.mean(0),
        "You added up the means; weight each by its share of all frames.": lambda g, _: g.sum(0),
        "These are gradients of means already; dividing each by its count again makes them tiny.":
            lambda g, n: (g / n[:, None]).sum(0),
        "This is the gradient of the sum; divide by the total number of frames.": lambda g, n: (g * n[:, None]).sum(0),
        "What was gathered before is divided again and again: divide once, at the end.":
            lambda g, n: reduce(lambda gathered, part: gathered / part[1] + part[0], zip(g, n, strict=True), 0),
        "The weights are upside down: more frames, more weight.": lambda g, n: (g / n[:, None]).sum(0) / (1 / n).sum(),
    },
)  # fmt: skip


def _last_above(losses: Tensor, bound: float) -> Tensor:
    return (losses >= bound).nonzero()[-1, 0]


def _first_below(losses: Tensor, bound: float) -> Tensor:
    return (losses < bound).nonzero()[0, 0]


def plateau_left(updates: Tensor, losses: Tensor, K: int) -> Tensor:
    """The update from which on the losses (n,), logged at updates (n,), stay below 0.98 · ln(K + 1)."""
    return updates[_last_above(losses, 0.98 * math.log(K + 1)) + 1]


def _plateau_case(K: int) -> tuple[Tensor, Tensor, int]:
    """A log that stays near the loss of guessing, falls once and comes back, and then leaves for good."""
    n, lucky, escape, guessing = 60, whole(10, 20), whole(25, 45), math.log(K + 1)
    losses = guessing * (1 + 0.004 * torch.randn(n).clamp(-3, 3))  # (n,)
    losses[lucky] = 0.96 * guessing
    losses[escape:] = guessing * (0.97 - 0.01 * torch.arange(n - escape))
    return 10 * torch.arange(1, n + 1) + 5, losses, K


check_plateau_left = Exercise(
    solution=plateau_left, cases=lambda: [_plateau_case(K) for K in (50, 100, 320, 100)], atol=0.5,
    passed="Right: one lucky batch is no escape; what stays below is.",
    hint="Below 0.98 · ln(K + 1), in this line and in all that follow.",
    mistakes={
        "That is one lucky batch: the loss goes up again after it. Look for what lasts.":
            lambda updates, losses, K: updates[_first_below(losses, 0.98 * math.log(K + 1))],
        "That is the number of the line; the answer is the update that stands there.":
            lambda _, losses, K: _last_above(losses, 0.98 * math.log(K + 1)) + 1,
        "That is the last line of the plateau; the one after it is the first that has left.":
            lambda updates, losses, K: updates[_last_above(losses, 0.98 * math.log(K + 1))],
        "That is the first line. Is your bound in nats? Guessing costs ln(K + 1); a log2 gives bits.":
            lambda updates, losses, K: updates[_first_below(losses, 0.98 * math.log2(K + 1))],
        "That is the last line. Every line must be compared with the bound, not with the line before.":
            lambda updates, *_: updates[-1],
    },
)  # fmt: skip


def passes(updates: int, batch_size: int, crop_seconds: float, corpus_hours: float) -> float:
    """How often pre-training goes over the corpus."""
    return updates * batch_size * crop_seconds / 3600 / corpus_hours


check_passes = Exercise(
    solution=passes, cases=lambda: [(400_000, 369, 15.6, 960.0), (10_000, 16, 2.0, 0.53), (600, 8, 1.5, 0.13)],
    passed="Right: BASE hears LibriSpeech's 960 hours more than six hundred times.",
    mistakes={
        "These are the hours heard; divide by the hours that there are.": lambda *case: passes(*case) * case[3],
        "The crops are in seconds and the corpus in hours: there are 3,600 seconds in one.":
            lambda *case: passes(*case) * 3600,
        "60 is for minutes: an hour has 3,600 seconds.": lambda *case: passes(*case) * 60,
        "An update hears a whole batch, not one crop.": lambda n, _, *rest: passes(n, 1, *rest),
        "That is as if each crop were one second long.": lambda n, batch, _, hours: passes(n, batch, 1, hours),
        "About half of the frames are masked, but the hidden ones are heard, too: they are the targets.":
            lambda *case: passes(*case) / 2,
        "Upside down: hours heard over hours that there are.": lambda *case: 1 / passes(*case),
    },
)  # fmt: skip


Record = Mapping[str, float]  # one line of the log


def diagnose(record: Record, K: int, G: int, V: int) -> str:
    """What the line of a log says about the run, in one of five words."""
    if not math.isfinite(record["contrastive_loss"]):
        return "not finite"
    if record["code_perplexity"] < 1.01 * G:
        return "all codes equal"
    if abs(record["contrastive_loss"] / math.log(K + 1) - 1) < 0.01:
        return "constant z" if record["prob_perplexity"] > 0.999 * G * V else "plateau"
    return "healthy"


def _records(K: int, G: int, V: int) -> list[Record]:
    """Two lines of a log for each of the five words."""
    guessing, entries = math.log(K + 1), G * V
    names = ("contrastive_loss", "accuracy", "code_perplexity", "prob_perplexity")
    lines = [
        (0.6 * guessing, 0.3, 0.7 * entries, 0.72 * entries),  # healthy
        (0.9 * guessing, 0.08, 0.3 * entries, 0.3 * entries),
        (0.999 * guessing, 0.03, 0.9 * entries, 0.91 * entries),  # plateau
        (1.004 * guessing, 0.03, 0.5 * entries, 0.5 * entries),
        (guessing, 0.03, 0.93 * entries, 0.99999 * entries),  # constant z
        (1.002 * guessing, 0.03, 0.9 * entries, float(entries)),
        (0.0, 1.0, float(G), float(G)),  # all codes equal
        (0.002, 0.9995, 1.004 * G, 1.004 * G),
        (math.nan, 0.0, 0.5 * entries, 0.5 * entries),  # not finite
        (math.inf, 0.2, 0.5 * entries, 0.5 * entries),
    ]
    return [dict(zip(names, line, strict=True)) for line in lines]


WORDS = ("all codes equal", "constant z", "healthy", "not finite", "plateau")


def _not(word: str, instead: str) -> Mistake:
    """To say something else where `word` is right."""
    return Mistake(
        lambda *case: instead if diagnose(*case) == word else diagnose(*case),
        lambda got, *case: diagnose(*case) == word != got,
    )


check_diagnose = Exercise(
    solution=diagnose,
    cases=lambda: [
        (record, K, G, V) for K, G, V in ((100, 2, 320), (50, 2, 64), (100, 1, 32)) for record in _records(K, G, V)
    ],
    passed="Right. You can read a chart; the cures stand in the table of section 10.",
    mistakes={
        f"One of these is wanted: {', '.join(WORDS)}.": Mistake(lambda *_: "ill", lambda got, *_: got not in WORDS),
        "This is “healthy”: it has left ln(K + 1), and it uses more than one code.": _not("healthy", "plateau"),
        "This is “plateau”: loss near ln(K + 1), and nothing else is odd. It guesses, and that is how all runs begin.":
            _not("plateau", "healthy"),
        "This is “constant z”: loss at ln(K + 1), and a prob perplexity of G·V to three digits, too even for real z.":
            _not("constant z", "plateau"),
        "This is “all codes equal”: with a perplexity of G, a loss of 0 only says that all distractors are the target.":
            _not("all codes equal", "healthy"),
        "This is “not finite”: NaN is neither above nor below anything; ask math.isfinite, and ask first.":
            _not("not finite", "healthy"),
    },
)  # fmt: skip
