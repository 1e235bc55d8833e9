"""Checks of notebook 07: learning rate, accumulation, the end of the plateau, passes over the data, diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize
from w2v2_teach.training.schedules import learning_rate
from w2v2_teach.training.settings import TrainingSettings

ROUNDS = 4  # random cases per check
Rate = Callable[[int], float]  # update → learning rate


@exercise("Right: up in a line, down in a line, and no update without a step.")
def check_rate(answer: Answer) -> None:
    """rate(update, peak, warmup, updates) → learning rate."""
    for peak, warmup, updates in ((1.0, 4, 20), (3e-3, 30, 600), (5e-4, 32_000, 400_000)):
        settings = TrainingSettings(updates=updates, learning_rate=peak, warmup_updates=warmup)
        places = (0, 1, warmup // 2, warmup - 1, warmup, warmup + 1, (warmup + updates) // 2, updates - 1)
        wanted = torch.tensor([learning_rate(settings, u) / peak for u in places], dtype=torch.float64)
        got = [call(answer, u, peak, warmup, updates) for u in places]
        if not all(isinstance(rate, (int, float)) for rate in got):
            raise Wrong(
                f"Your function returned {type(got[0]).__name__}; one number is wanted, the rate of one update."
            )
        got = torch.tensor(got, dtype=torch.float64) / peak
        recognize(got, wanted, _rate_mistakes(places, peak, warmup, updates))
        where = int((got - wanted).abs().argmax())
        expect(got[where], wanted[where], f"In units of the peak, at update {places[where]} of {updates}.", atol=1e-9)


def _rate_mistakes(places: Sequence[int], peak: float, warmup: int, updates: int) -> dict[str, torch.Tensor]:
    def shape(up: Rate, down: Rate) -> torch.Tensor:
        return torch.tensor([up(u) if u < warmup else down(u) for u in places], dtype=torch.float64)

    def rise(u: int) -> float:
        return (u + 1) / warmup

    def fall(u: int) -> float:
        return (updates - u) / (updates - warmup)

    return {
        "Update 0 would be an update without a step: count from 1 in the warm-up, (update + 1) / warmup.": shape(
            lambda u: u / warmup, fall
        ),
        "The warm-up is missing: the rate has to rise from nearly 0 in the first `warmup` updates.": shape(fall, fall),
        "The rate jumps at the end of the warm-up: the way down begins there, and takes updates − warmup updates.": (
            shape(rise, lambda u: (updates - u) / updates)
        ),
        "The rate stays at its peak; after the warm-up it must fall to 0.": shape(rise, lambda _: 1.0),
        "That is half a cosine; a line is wanted.": shape(
            rise, lambda u: (1 + math.cos(math.pi * (u - warmup) / (updates - warmup))) / 2
        ),
        "This is the share of the peak; multiply by the peak.": shape(rise, fall) / peak,
    }


@exercise("Right: every masked frame counts once, in whichever micro-batch it came.")
def check_accumulate(answer: Answer) -> None:
    """accumulate(gradients (m, P), counts (m,)) → (P,)."""
    for _ in range(ROUNDS):
        m = int(torch.randint(2, 5, ()))
        gradients, counts = torch.randn(m, 6), torch.randint(5, 300, (m,))
        weights = counts[:, None] / counts.sum()  # (m, 1)
        wanted = (weights * gradients).sum(0)  # (P,)
        got = call(answer, gradients, counts)
        again = torch.zeros(6)  # every micro-batch divides all that has been gathered so far
        for gradient, count in zip(gradients, counts, strict=True):
            again = (again + gradient * count) / count
        recognize(
            got,
            wanted,
            {
                "That is the mean of the means: a micro-batch of 5 frames would count as much as one of 300.": (
                    gradients.mean(0)
                ),
                "You added up the means; weight each by its share of all frames.": gradients.sum(0),
                "These are gradients of means already; dividing each by its count again makes them tiny.": (
                    (gradients / counts[:, None]).sum(0)
                ),
                "This is the gradient of the sum; divide by the total number of frames.": (
                    (gradients * counts[:, None]).sum(0)
                ),
                "What was gathered before is divided again and again: divide once, at the end.": again,
                "The weights are upside down: more frames, more weight.": (
                    (gradients / counts[:, None]).sum(0) / (1 / counts).sum()
                ),
            },
        )
        expect(got, wanted, "Mean times count gives a sum; add the sums up; divide by all counts together.")


@exercise("Right: one lucky batch is no escape; what stays below is.")
def check_plateau_left(answer: Answer) -> None:
    """plateau_left(updates (n,), losses (n,), K) → the update at which the plateau is left."""
    for K in (50, 100, 320, 100):
        updates, losses, lucky, escape = _plateau(math.log(K + 1))
        wanted = int(updates[escape])
        got = call(answer, updates, losses, K)
        recognize(
            got,
            wanted,
            {
                "That is one lucky batch: the loss goes up again after it. Look for what lasts.": int(updates[lucky]),
                "That is the number of the line; the answer is the update that stands there.": escape,
                "That is the last line of the plateau; the one after it is the first that has left.": int(
                    updates[escape - 1]
                ),
                "That is the first line. Is your bound in nats? Guessing costs ln(K + 1); a log2 gives bits.": int(
                    updates[0]
                ),
                "That is the last line. Every line must be compared with the bound, not with the line before.": int(
                    updates[-1]
                ),
            },
        )
        expect(got, wanted, "Below 0.98 · ln(K + 1), in this line and in all that follow.", atol=0.5)


def _plateau(guessing: float) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    """A log that stays near `guessing` (nats), dips once and comes back, and then leaves for good."""
    n, lucky = 60, int(torch.randint(10, 20, ()))
    escape = int(torch.randint(25, 45, ()))
    losses = guessing * (1 + 0.004 * torch.randn(n).clamp(-3, 3))  # (n,)
    losses[lucky] = 0.96 * guessing
    losses[escape:] = guessing * (0.97 - 0.01 * torch.arange(n - escape))
    updates = 10 * torch.arange(1, n + 1) + 5
    return updates, losses, lucky, escape


@exercise("Right: BASE hears LibriSpeech's 960 hours more than six hundred times.")
def check_passes(answer: Answer) -> None:
    """passes(updates, batch_size, crop_seconds, corpus_hours) → how often the corpus has been heard."""
    for updates, batch, crop, hours in ((400_000, 369, 15.6, 960.0), (10_000, 16, 2.0, 0.53), (600, 8, 1.5, 0.13)):
        wanted = updates * batch * crop / 3600 / hours
        got = call(answer, updates, batch, crop, hours)
        recognize(
            got,
            wanted,
            {
                "These are the hours heard; divide by the hours that there are.": wanted * hours,
                "The crops are in seconds and the corpus in hours: there are 3,600 seconds in one.": wanted * 3600,
                "60 is for minutes: an hour has 3,600 seconds.": wanted * 60,
                "An update hears a whole batch, not one crop.": wanted / batch,
                "That is as if each crop were one second long.": wanted / crop,
                "About half of the frames are masked, but the hidden ones are heard, too: they are the targets.": (
                    wanted / 2
                ),
                "Upside down: hours heard over hours that there are.": 1 / wanted,
            },
        )
        expect(got, wanted, f"{updates:,} updates of {batch} crops of {crop} s; the corpus has {hours} hours.")


def _cases(K: int, G: int, V: int) -> list[tuple[str, dict[str, float]]]:
    """What a line of a log may look like, after the right word for it."""
    guessing, entries = math.log(K + 1), G * V
    names = ("contrastive_loss", "accuracy", "code_perplexity", "prob_perplexity")
    cases = [
        ("healthy", (0.6 * guessing, 0.3, 0.7 * entries, 0.72 * entries)),
        ("healthy", (0.9 * guessing, 0.08, 0.3 * entries, 0.3 * entries)),
        ("plateau", (0.999 * guessing, 0.03, 0.9 * entries, 0.91 * entries)),
        ("plateau", (1.004 * guessing, 0.03, 0.5 * entries, 0.5 * entries)),
        ("constant z", (guessing, 0.03, 0.93 * entries, 0.99999 * entries)),
        ("constant z", (1.002 * guessing, 0.03, 0.9 * entries, float(entries))),
        ("all codes equal", (0.0, 1.0, float(G), float(G))),
        ("all codes equal", (0.002, 0.9995, 1.004 * G, 1.004 * G)),
        ("not finite", (math.nan, 0.0, 0.5 * entries, 0.5 * entries)),
        ("not finite", (math.inf, 0.2, 0.5 * entries, 0.5 * entries)),
    ]
    return [(word, dict(zip(names, numbers, strict=True))) for word, numbers in cases]


@exercise("Right. You can read a chart; the cures stand in the table of section 10.")
def check_diagnose(answer: Answer) -> None:
    """diagnose(record, K, G, V) → one of five words."""
    words = sorted({word for word, _ in _cases(100, 2, 320)})
    for K, G, V in ((100, 2, 320), (50, 2, 64), (100, 1, 32)):
        for wanted, record in _cases(K, G, V):
            got = call(answer, record, K, G, V)
            if got not in words:
                raise Wrong(f"Your function returned {got!r}; one of {', '.join(words)} is wanted.")
            if got != wanted:
                case = ", ".join(f"{name} {value:.4g}" for name, value in record.items())
                raise Wrong(f"{case} (K = {K}, G = {G}, V = {V}) is “{wanted}”, not “{got}”. {_HINTS[wanted]}")


_HINTS = {
    "healthy": "It has left ln(K + 1), and it uses more than one code.",
    "plateau": "Loss near ln(K + 1), and nothing else is odd: it guesses, and that is how all runs begin.",
    "constant z": "Loss at ln(K + 1), and a prob perplexity of G·V to three digits: no run that hears is so even.",
    "all codes equal": "A loss of 0 is no triumph where the perplexity is G: every distractor equals the target.",
    "not finite": "NaN is neither above nor below anything: ask math.isfinite, and ask first.",
}
