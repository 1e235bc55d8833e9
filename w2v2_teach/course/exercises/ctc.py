"""Checks of notebook 10: the collapse, how many paths there are, one step of the lattice, the shortest path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize
from w2v2_teach.ctc import LOG_ZERO, arrivals, collapse, extended_labels, frames_needed, skip_costs


@exercise("Right: equal neighbors first, blanks second; so a blank between two equal letters keeps both.")
def check_collapse(answer: Answer) -> None:
    """collapse(path) → list of tokens; the blank is 0."""
    for path in (
        [3, 3, 0, 1],
        [1, 2, 0, 1],
        [1, 0, 1, 1, 2, 2, 0],
        [0, 0, 0],
        [2, 1, 2, 0, 0, 2, 2],
        [4],
        [0, 1, 0, 0, 1, 0],
    ):
        wanted = collapse(path)
        got = call(answer, list(path))
        if not isinstance(got, (list, tuple)):
            raise Wrong(f"Your function returned {type(got).__name__}; a list of tokens is wanted.")
        merged = [token for token, _ in groupby(path)]
        _recognize_list(
            list(got),
            wanted,
            {
                "Blanks went first: then letters that a blank had kept apart are neighbors, and become one.": [
                    token for token, _ in groupby(token for token in path if token != 0)
                ],
                "The blanks are still there: drop them after merging.": merged,
                "Equal neighbors are still there: a letter that lasts three frames is one letter.": [
                    token for token in path if token != 0
                ],
                "You kept each token once in the whole text; only neighbors become one.": [
                    token for token in dict.fromkeys(path) if token != 0
                ],
                "The path has come back as it was.": list(path),
            },
            f"The case was the path {path}.",
        )


def _recognize_list(got: list, wanted: list, mistakes: dict[str, list], hint: str) -> None:
    for message, result in mistakes.items():
        if got == result != wanted:
            raise Wrong(message)
    if got != wanted:
        raise Wrong(f"Your result is {got}, wanted is {wanted}. {hint}")


@exercise("Right: without repeats it is (T + U) over 2 U, and a doubled letter costs paths.")
def check_count_paths(answer: Answer) -> None:
    """count_paths(target, T) → how many paths of T frames collapse to it; the blank is 0."""
    for target, T in (([1], 4), ([1, 2], 4), ([1, 1], 4), ([1, 2, 1], 6), ([2, 2, 1], 7), ([3, 1, 1, 2], 25)):
        wanted = _count(target, T)
        got = call(answer, list(target), T)
        recognize(
            got,
            wanted,
            {
                "You let a path step over the blank between two equal letters; they would become one.": _count(
                    target, T, skip=lambda states, s: states[s] != 0
                ),
                "The blank between two different letters may be left out: a state can be reached from two before.": (
                    _count(target, T, skip=lambda *_: False)
                ),
                "You let a path step over letters: from one blank to the next, something must be written.": _count(
                    target, T, skip=lambda states, s: states[s] == 0 or states[s] != states[s - 2]
                ),
                "A path may begin, and may end, with a letter as well as with a blank.": _count(target, T, ends=1),
                "A path may end with a blank, too, not only with its last letter.": (
                    _count(target, T) - _count(target, T, ends=1)
                ),
                "A path may begin with a letter, too, not only with a blank.": _count(target, T, starts=1),
            },
        )
        expect(got, wanted, f"The case was the target {target} in T = {T} frames.", atol=0.1)


def _may_skip(states: Sequence[int], s: int) -> bool:
    return states[s] != 0 and states[s] != states[s - 2]


def _count(
    target: Sequence[int],
    T: int,
    *,
    skip: Callable[[Sequence[int], int], bool] = _may_skip,
    starts: int = 2,
    ends: int = 2,
) -> int:
    """The lattice with whole numbers: each path counts one."""
    states = extended_labels(torch.tensor(target)).tolist()
    counts = [int(s < starts) for s in range(len(states))]
    for _ in range(T - 1):
        counts = [sum(_sources(counts, states, s, skip)) for s in range(len(states))]
    return sum(counts[-ends:])


def _sources(
    counts: Sequence[int], states: Sequence[int], s: int, skip: Callable[[Sequence[int], int], bool]
) -> Iterator[int]:
    yield counts[s]
    if s >= 1:
        yield counts[s - 1]
    if s >= 2 and skip(states, s):
        yield counts[s - 2]


@exercise("Right: three arrows at most lead to a state, and the step costs the same for any number of paths.")
def check_forward_step(answer: Answer) -> None:
    """forward_step(alpha (S,), states (S,), log_probs (V,)) → (S,), all in logarithms."""
    for target in ([1, 2], [1, 1, 2], [2, 1, 2, 2]):
        states = extended_labels(torch.tensor(target))  # (S,)
        alpha = torch.randn(len(states)) - 3
        log_probs = torch.randn(4).log_softmax(0)
        emission = log_probs[states]  # (S,)
        sources = arrivals(alpha, skip_costs(states))  # (3, S)
        wanted = sources.logsumexp(0) + emission
        everywhere = torch.zeros(len(states))
        everywhere[:2] = LOG_ZERO
        letters = torch.where(states == 0, LOG_ZERO, everywhere)
        got = call(answer, alpha, states, log_probs)
        if isinstance(got, Tensor) and got.isnan().any():
            raise Wrong("There is a NaN: -inf minus -inf is none. Take torch.logsumexp, or a large negative number.")
        recognize(
            got,
            wanted,
            {
                "The probability of this frame's token is missing: add log_probs[states].": sources.logsumexp(0),
                "You took the best way in (that is Viterbi); the sum over all ways is wanted: logsumexp.": (
                    sources.amax(0) + emission
                ),
                "You left out the step over a blank, from s - 2 to s.": sources[:2].logsumexp(0) + emission,
                "You let every state be reached from s - 2; blanks cannot, nor the second of two equal letters.": (
                    arrivals(alpha, everywhere).logsumexp(0) + emission
                ),
                "You let a letter be reached from the same letter at s - 2: the blank between them must stay.": (
                    arrivals(alpha, letters).logsumexp(0) + emission
                ),
                "A path may stay in its state: alpha[s] itself is missing.": sources[1:].logsumexp(0) + emission,
                "These are probabilities; their logarithms are wanted.": wanted.exp(),
            },
        )
        expect(got, wanted, f"The case had the states {states.tolist()}.", atol=1e-4)


@exercise("Right: one frame for each letter, and one for each blank that keeps equal neighbors apart.")
def check_fewest_frames(answer: Answer) -> None:
    """fewest_frames(target) → a whole number."""
    for target in ([1, 2, 3], [1, 1, 2], [2, 1, 2], [3, 3, 3, 1, 1], [], [5]):
        wanted = int(frames_needed(torch.tensor([target], dtype=torch.long), torch.tensor([len(target)])))
        got = call(answer, list(target))
        recognize(
            got,
            wanted,
            {
                "That is the number of letters; two equal neighbors need a blank between them.": len(target),
                "Those are the states of the lattice; most blanks can be left out.": 2 * len(target) + 1,
                "Only neighbors count: the two of [2, 1, 2] stand apart anyway.": (
                    len(target) + len(target) - len(set(target))
                ),
                "That is the number of blanks that must stay; the letters need frames, too.": wanted - len(target),
                "A repeated letter does not vanish from the text: it needs a frame more, not one less.": (
                    2 * len(target) - wanted
                ),
            },
        )
        expect(got, wanted, f"The case was the target {target}.")
