"""Exercises of notebook 10: the collapse, how many paths there are, one step of the lattice, the shortest path."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Exercise, Mistake, not_finite
from w2v2_teach.ctc import LOG_ZERO, arrivals, collapse, extended_labels, frames_needed, skip_costs


def _merged(tokens: Sequence[int]) -> list[int]:
    return [token for token, _ in groupby(tokens)]


def _without_blanks(tokens: Iterable[int]) -> list[int]:
    return [token for token in tokens if token != 0]


check_collapse = Exercise(
    solution=collapse,
    cases=lambda: [([3, 3, 0, 1],), ([1, 2, 0, 1],), ([1, 0, 1, 1, 2, 2, 0],), ([0, 0, 0],), ([2, 1, 2, 0, 0, 2, 2],),
                   ([4],), ([0, 1, 0, 0, 1, 0],)],
    passed="Right: equal neighbors first, blanks second; so a blank between two equal letters keeps both.",
    hint="A list of tokens is wanted.",
    mistakes={
        "Blanks went first: then letters that a blank had kept apart are neighbors, and become one.":
            lambda path: _merged(_without_blanks(path)),
        "The blanks are still there: drop them after merging.": _merged,
        "Equal neighbors are still there: a letter that lasts three frames is one letter.": _without_blanks,
        "You kept each token once in the whole text; only neighbors become one.":
            lambda path: _without_blanks(list(dict.fromkeys(path))),
        "The path has come back as it was.": lambda path: path,
    },
)  # fmt: skip


Skip = Callable[[Sequence[int], int], bool]  # (states, s) → whether a path may come to s from s - 2


def _may_skip(states: Sequence[int], s: int) -> bool:
    return states[s] != 0 and states[s] != states[s - 2]


def _counting(skip: Skip = _may_skip, starts: int = 2, ends: int = 2) -> Answer:
    """A count of paths over the lattice: which arrows it has, how many states it may begin and end in."""

    def count_paths(target: Sequence[int], T: int) -> int:
        states = extended_labels(torch.tensor(target)).tolist()
        counts = [int(s < starts) for s in range(len(states))]
        for _ in range(T - 1):
            counts = [
                counts[s] + (counts[s - 1] if s >= 1 else 0) + (counts[s - 2] if s >= 2 and skip(states, s) else 0)
                for s in range(len(states))
            ]
        return sum(counts[-ends:])

    return count_paths


check_count_paths = Exercise(
    solution=_counting(),
    cases=lambda: [([1], 4), ([1, 2], 4), ([1, 1], 4), ([1, 2, 1], 6), ([2, 2, 1], 7), ([3, 1, 1, 2], 25)], atol=0.1,
    passed="Right: without repeats it is (T + U) over 2 U, and a doubled letter costs paths.",
    mistakes={
        "You let a path step over the blank between two equal letters; they would become one.":
            _counting(skip=lambda states, s: states[s] != 0),
        "The blank between two different letters may be left out: a state can be reached from two before.":
            _counting(skip=lambda *_: False),
        "You let a path step over letters: from one blank to the next, something must be written.":
            _counting(skip=lambda states, s: states[s] == 0 or states[s] != states[s - 2]),
        "A path may begin, and may end, with a letter as well as with a blank.": _counting(ends=1),
        "A path may end with a blank, too, not only with its last letter.":
            lambda target, T: _counting()(target, T) - _counting(ends=1)(target, T),
    },
)  # fmt: skip


def forward_step(alpha: Tensor, states: Tensor, log_probs: Tensor) -> Tensor:
    """One frame of the forward algorithm: alpha (S,), states (S,), log_probs (V,) → (S,), all in logarithms."""
    return arrivals(alpha, skip_costs(states)).logsumexp(0) + log_probs[states]


def _stepping(costs: Callable[[Tensor], Tensor] = skip_costs, rows: slice = slice(None)) -> Answer:
    """A forward step with other costs of the way from s - 2, or with some of the three ways (stay, next, skip)."""
    return lambda alpha, states, log_probs: arrivals(alpha, costs(states))[rows].logsumexp(0) + log_probs[states]


def _no_costs(states: Tensor) -> Tensor:
    return torch.where(torch.arange(len(states)) < 2, LOG_ZERO, 0.0)  # there is no state before the first


check_forward_step = Exercise(
    solution=forward_step,
    cases=lambda: [
        (torch.randn(2 * len(target) + 1) - 3, extended_labels(torch.tensor(target)), torch.randn(4).log_softmax(0))
        for target in ([1, 2], [1, 1, 2], [2, 1, 2, 2])
    ],
    atol=1e-4,
    passed="Right: three arrows at most lead to a state, and the step costs the same for any number of paths.",
    mistakes={
        "There is a NaN: -inf minus -inf is none. Take torch.logsumexp, or a large negative number.":
            Mistake(lambda alpha, *_: alpha - math.inf + math.inf, not_finite),
        "The probability of this frame's token is missing: add log_probs[states].":
            lambda alpha, states, log_probs: forward_step(alpha, states, 0 * log_probs),
        "You took the best way in (that is Viterbi); the sum over all ways is wanted: logsumexp.":
            lambda alpha, states, log_probs: arrivals(alpha, skip_costs(states)).amax(0) + log_probs[states],
        "You left out the step over a blank, from s - 2 to s.": _stepping(rows=slice(2)),
        "You let every state be reached from s - 2; blanks cannot, nor the second of two equal letters.":
            _stepping(_no_costs),
        "You let a letter be reached from the same letter at s - 2: the blank between them must stay.":
            _stepping(lambda states: torch.where(states == 0, LOG_ZERO, _no_costs(states))),
        "A path may stay in its state: alpha[s] itself is missing.": _stepping(rows=slice(1, None)),
        "These are probabilities; their logarithms are wanted.": lambda *case: forward_step(*case).exp(),
    },
)  # fmt: skip


def fewest_frames(target: Sequence[int]) -> int:
    """The number of frames of the shortest path that collapses to the target."""
    return int(frames_needed(torch.tensor([target], dtype=torch.long), torch.tensor([len(target)])))


check_fewest_frames = Exercise(
    solution=fewest_frames,
    cases=lambda: [(target,) for target in ([1, 2, 3], [1, 1, 2], [2, 1, 2], [3, 3, 3, 1, 1], [], [5])],
    passed="Right: one frame for each letter, and one for each blank that keeps equal neighbors apart.",
    mistakes={
        "That is the number of letters; two equal neighbors need a blank between them.": len,
        "Those are the states of the lattice; most blanks can be left out.": lambda target: 2 * len(target) + 1,
        "Only neighbors count: the two of [2, 1, 2] stand apart anyway.":
            lambda target: 2 * len(target) - len(set(target)),
        "That is the number of blanks that must stay; the letters need frames, too.":
            lambda target: fewest_frames(target) - len(target),
        "A repeated letter does not vanish from the text: it needs a frame more, not one less.":
            lambda target: 2 * len(target) - fewest_frames(target),
    },
)  # fmt: skip
