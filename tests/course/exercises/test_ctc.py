"""The checks of notebook 10 refuse plausible mistakes, each with its own words, and pass what is right."""

import itertools

import pytest
import torch
from answers import AnswerTests

from w2v2_teach import ctc
from w2v2_teach.course.exercises import ctc as checks


def collapse(path):
    merged = [token for token, _ in itertools.groupby(path)]
    return [token for token in merged if token != 0]


def blanks_first(path):
    return [token for token, _ in itertools.groupby(token for token in path if token)]


def lattice_of_ones(may_skip, starts=2, ends=2):
    """count_paths with other arrows, or other places to begin and to end."""

    def count_paths(target, T):
        states = [0]
        for token in target:
            states += [token, 0]
        counts = [1 if s < starts else 0 for s in range(len(states))]
        for _ in range(T - 1):
            new = []
            for s in range(len(states)):
                ways = counts[s] + (counts[s - 1] if s > 0 else 0)
                if s > 1 and may_skip(states, s):
                    ways += counts[s - 2]
                new.append(ways)
            counts = new
        return sum(counts[-ends:])

    return count_paths


def may_skip(states, s):
    return states[s] != 0 and states[s] != states[s - 2]


def forward_step(alpha, states, log_probs):
    new = torch.empty(len(states))
    for s in range(len(states)):
        ways = [alpha[s]]
        if s > 0:
            ways.append(alpha[s - 1])
        if s > 1 and states[s] != 0 and states[s] != states[s - 2]:
            ways.append(alpha[s - 2])
        new[s] = torch.stack(ways).logsumexp(0) + log_probs[states[s]]
    return new


def stepping(may_skip, join=torch.logsumexp):
    def step(alpha, states, log_probs):
        new = []
        for s in range(len(states)):
            ways = [
                alpha[s],
                *([alpha[s - 1]] if s else []),
                *([alpha[s - 2]] if s > 1 and may_skip(states, s) else []),
            ]
            new.append(join(torch.stack(ways), 0) + log_probs[states[s]])
        return torch.stack(new)

    return step


def moving_on(alpha, states, log_probs):
    """A path may not stay."""
    return ctc.arrivals(alpha, ctc.skip_costs(states))[1:].logsumexp(0) + log_probs[states]


def fewest_frames(target):
    return len(target) + sum(a == b for a, b in itertools.pairwise(target))


SOLUTIONS = [
    (checks.check_collapse, collapse),
    (checks.check_collapse, ctc.collapse),
    (checks.check_count_paths, lattice_of_ones(may_skip)),
    (checks.check_forward_step, forward_step),
    (checks.check_fewest_frames, fewest_frames),
]

WRONG = [
    (checks.check_collapse, blanks_first, "Blanks went first"),
    (checks.check_collapse, lambda path: [t for t, _ in itertools.groupby(path)], "still there: drop them"),
    (checks.check_collapse, lambda path: [t for t in path if t], "Equal neighbors are still there"),
    (checks.check_collapse, lambda path: [t for t in dict.fromkeys(path) if t], "each token once"),
    (checks.check_collapse, lambda path: path, "as it was"),
    (checks.check_collapse, lambda path: collapse(path)[::-1], "wanted is"),
    (checks.check_collapse, lambda path: len(collapse(path)), "a list of tokens"),
    (checks.check_count_paths, lattice_of_ones(lambda states, s: states[s] != 0), "between two equal letters"),
    (checks.check_count_paths, lattice_of_ones(lambda *_: False), "may be left out"),
    (checks.check_count_paths, lattice_of_ones(lambda x, s: x[s] == 0 or x[s] != x[s - 2]), "step over letters"),
    (checks.check_count_paths, lattice_of_ones(may_skip, ends=1), "may begin, and may end"),
    (
        checks.check_count_paths,
        lambda target, T: lattice_of_ones(may_skip)(target, T) - lattice_of_ones(may_skip, ends=1)(target, T),
        "end with a blank",
    ),
    (checks.check_count_paths, lattice_of_ones(may_skip, starts=1), "with a letter"),
    (checks.check_count_paths, lambda target, T: 1000 + T + len(target), "wanted is"),
    (checks.check_forward_step, lambda a, s, _: forward_step(a, s, torch.zeros(4)), "this frame's token is missing"),
    (checks.check_forward_step, stepping(may_skip, torch.amax), "Viterbi"),
    (checks.check_forward_step, stepping(lambda *_: False), "left out the step"),
    (checks.check_forward_step, stepping(lambda *_: True), "every state"),
    (checks.check_forward_step, stepping(lambda x, s: x[s] != 0), "blank between them must stay"),
    (checks.check_forward_step, moving_on, "may stay in its state"),
    (checks.check_forward_step, lambda *args: forward_step(*args).exp(), "logarithms are wanted"),
    (checks.check_forward_step, lambda *args: forward_step(*args) * torch.nan, "NaN"),
    (checks.check_forward_step, lambda *args: forward_step(*args).sum(), "shape"),
    (checks.check_fewest_frames, len, "number of letters"),
    (checks.check_fewest_frames, lambda target: 2 * len(target) + 1, "states of the lattice"),
    (checks.check_fewest_frames, lambda target: 2 * len(target) - len(set(target)), "Only neighbors"),
    (checks.check_fewest_frames, lambda target: fewest_frames(target) - len(target), "blanks that must stay"),
    (checks.check_fewest_frames, lambda target: 2 * len(target) - fewest_frames(target), "does not vanish"),
    (checks.check_fewest_frames, lambda target: 1.5 * len(target), "wanted is"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


@pytest.mark.parametrize("target", [[1], [2, 1], [1, 1], [2, 1, 1]], ids=str)
def test_paths_are_counted_as_they_are(target):
    paths = itertools.product(range(3), repeat=6)
    assert lattice_of_ones(may_skip)(target, 6) == sum(ctc.collapse(path) == target for path in paths)
