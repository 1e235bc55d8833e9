"""Exercises of notebook 00: frames, chance, the contrastive game, bits, shapes."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.config import BASE, TINY, Wav2Vec2Config
from w2v2_teach.course.exercises import Exercise, Mistake, tuples, whole


def count_frames(seconds: float) -> int:
    """The frames that BASE makes of so much audio."""
    return BASE.frame_lengths(round(16_000 * seconds))


check_count_frames = Exercise(
    solution=count_frames,
    cases=lambda: [(s,) for s in (1.0, 0.025, 0.0225, 0.045, *(torch.randint(1, 240, (8,)) / 8).tolist())], atol=0,
    passed="Right for a second, for the shortest sounds and for long ones: the last window has to fit, too.",
    hint="A new frame starts every 320 samples, as long as 400 samples still fit.",
    mistakes={
        "Audio that does not fill one window of 400 samples gives 0 frames, not 1.": lambda s: max(count_frames(s), 1),
        "You counted a frame every 10 ms; the strides multiply to 320 samples, 20 ms.": lambda s: 100 * s,
        "You counted windows of 20 ms, one every 10 ms; they are 400 samples wide and 320 apart.":
            lambda s: (round(16_000 * s) - 320) // 160 + 1,
        "Your windows do not overlap: they are 400 samples wide, but 320 apart.": lambda s: round(16_000 * s) // 400,
        "50 frames a second is the rate; the last window has to fit as well.": lambda s: 50 * s,
    },
)  # fmt: skip

check_chance_accuracy = Exercise(
    solution=lambda num_distractors: 1 / (num_distractors + 1),
    cases=lambda: [(k,) for k in (3, TINY.num_negatives, BASE.num_negatives, *torch.randint(1, 1000, (5,)).tolist())],
    atol=1e-9,
    passed="Right: one true answer among K + 1 candidates.",
    hint="How many candidates are there in all?",
    mistakes={
        "You gave 1/K. The true one is a candidate, too: there are K + 1 candidates.": lambda k: 1 / k,
        "You gave K/(K+1), which is how often a guess is wrong.": lambda k: k / (k + 1),
    },
)  # fmt: skip


def _cosines(guess: Tensor, candidates: Tensor) -> Tensor:
    return F.cosine_similarity(guess[None], candidates, dim=1)


check_best_candidate = Exercise(
    solution=lambda guess, candidates: _cosines(guess, candidates).argmax(),
    cases=lambda: [
        (torch.tensor([1.0, 1.0]), torch.tensor([[9.0, 0.0], [0.1, 0.1], [-1.0, -1.0]])),
        *((torch.randn(d), 10 * torch.rand(40, 1) * torch.randn(40, d)) for d in (2, 3, 5, 8, 12, 19)),
    ],
    passed="Right: the direction decides, not the length.",
    hint="Return one index, a whole number: which candidate points where the guess does?",
    mistakes={
        "You chose a long vector that points elsewhere: divide by both lengths.":
            lambda guess, candidates: (candidates @ guess).argmax(),
        "You chose the opposite direction, cosine -1: look for the largest.": lambda *case: _cosines(*case).argmin(),
        "These are the cosines. Return one index, a whole number: where is the largest of them?": _cosines,
        "This is the largest cosine. Return its index, a whole number.": lambda *case: _cosines(*case).max(),
    },
)  # fmt: skip

check_code_bit_rate = Exercise(
    solution=lambda groups, entries: 50 * groups * math.log2(entries),
    cases=lambda: [(BASE.num_codevector_groups, 1024), (2, 64), (1, 2), (4, 16), (2, 320)],
    passed="Right: and now compare it with the 256,000 bits a second of 16-bit sound.",
    hint="Each codebook's choice takes log2(V) bits, 50 times a second.",
    mistakes={
        "These are the bits of one frame; a second has 50 of them.": lambda G, V: G * math.log2(V),
        "There is a frame every 20 ms, which makes 50 a second, not 100.": lambda G, V: 100 * G * math.log2(V),
        "You took the natural logarithm; bits want log2.": lambda G, V: 50 * G * math.log(V),
        "That is one codebook of G·V entries; here G codebooks choose.": lambda G, V: 50 * math.log2(G * V),
        "You counted entries. To name one of V entries takes log2(V) bits.": lambda G, V: 50 * G * V,
        "That is one codebook; there are G of them.": lambda _, V: 50 * math.log2(V),
    },
)  # fmt: skip

THREE_SHAPES = "Return three shapes, each a tuple such as (B, T, C): of z, of c, and of the code logits."
Shape = tuple[int, ...]
Shapes = tuple[Shape, Shape, Shape]


def shapes(config: Wav2Vec2Config, batch: int, samples: int) -> Shapes:
    """The shapes of z, of c and of the code logits."""
    T, G, V = config.frame_lengths(samples), config.num_codevector_groups, config.num_codevectors_per_group
    return (batch, T, config.conv_dim[-1]), (batch, T, config.hidden_size), (batch, T, G, V)


def _spoiled(change: Callable[..., Any], sign: Callable[[Shape, Shape], bool]) -> Mistake:
    """A change of the right shapes, given the case as well; `sign` sees it in one shape beside the right one."""
    return Mistake(
        lambda *case: change(*shapes(*case), *case),
        lambda got, *case: any(s != right and sign(s, right) for s, right in zip(got, shapes(*case), strict=True)),
    )


check_shapes = Exercise(
    solution=shapes, cases=lambda: [(config, whole(1, 9), whole(400, 80_000)) for config in (BASE, TINY)],
    run=tuples(3, THREE_SHAPES),
    passed="Right: you can read the shape comments of the whole course.",
    hint="Look the symbols up in the table above.",
    mistakes={
        THREE_SHAPES: lambda *case: shapes(*case)[:2],
        "z and c have 3 dimensions, the code logits have 4.": _spoiled(
            lambda z, c, logits, *_: (z, c, (*logits[:2], logits[2] * logits[3])),
            lambda s, right: len(s) != len(right),
        ),
        "The numbers are right, but the order in this course is (batch, time, features).": _spoiled(
            lambda z, c, logits, *_: ((z[0], z[2], z[1]), c, logits), lambda s, right: sorted(s) == sorted(right),
        ),
        "Time is counted in frames here, config.frame_lengths(samples), not in samples.": _spoiled(
            lambda z, c, logits, _, batch, samples: ((batch, samples, z[2]), c, logits),
            lambda s, right: s[1] > right[1] + 1,
        ),
        "z has the encoder's width C, c the Transformer's width D.":
            _spoiled(lambda z, c, logits, *_: (c, z, logits), lambda s, right: s[:2] == right[:2] and len(s) == 3),
    },
)  # fmt: skip
