"""The checks of notebook 00 pass right answers, and tell plausible wrong ones what is wrong."""

import math

import pytest
import torch
from answers import assert_refused
from torch.nn import functional as F

from w2v2_teach.course.exercises import welcome

CHECKS = [check for name, check in vars(welcome).items() if name.startswith("check_")]


def frames(seconds):
    return max((round(16_000 * seconds) - 400) // 320 + 1, 0)


def chance(num_distractors):
    return 1 / (num_distractors + 1)


def candidate(guess, candidates):
    return F.cosine_similarity(guess[None], candidates, dim=1).argmax()


def bits(num_groups, num_entries):
    return 50 * num_groups * math.log2(num_entries)


def shapes(config, batch, samples):
    t, groups, entries = config.frame_lengths(samples), config.num_codevector_groups, config.num_codevectors_per_group
    return (batch, t, config.conv_dim[-1]), (batch, t, config.hidden_size), (batch, t, groups, entries)


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (welcome.check_count_frames, frames),
        (welcome.check_chance_accuracy, chance),
        (welcome.check_best_candidate, candidate),
        (welcome.check_best_candidate, lambda g, c: int(candidate(g, c))),
        (welcome.check_code_bit_rate, bits),
        (welcome.check_shapes, shapes),
        (welcome.check_shapes, lambda *args: [list(shape) for shape in shapes(*args)]),
    ],
)
def test_right_answers_pass(check, answer):
    assert check(answer).state == "passed", check(answer)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda s: 50 * s, "as long as 400 samples still fit"),
        (lambda s: 100 * s, "a frame every 10 ms"),
        (lambda s: (round(16_000 * s) - 320) // 160 + 1, "a frame every 10 ms"),
        (lambda s: round(16_000 * s) // 400, "windows do not overlap"),
        (lambda s: math.ceil((16_000 * s - 400) / 320) + 1 if s < 1 else frames(s), "0 frames, not 1"),
        (lambda _: "49", "a number or a tensor is wanted"),
    ],
)
def test_count_frames_names_the_mistake(answer, fragment):
    assert_refused(welcome.check_count_frames, answer, fragment)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda k: 1 / k, "K + 1 candidates"),
        (lambda k: k / (k + 1), "how often a guess is wrong"),
        (lambda k: math.log(k + 1), "how many candidates are there in all"),
    ],
)
def test_chance_accuracy_names_the_mistake(answer, fragment):
    assert_refused(welcome.check_chance_accuracy, answer, fragment)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda g, c: (c @ g).argmax(), "divide by both lengths"),
        (lambda g, c: F.cosine_similarity(g[None], c, dim=1).argmin(), "look for the largest"),
        (lambda g, c: F.cosine_similarity(g[None], c, dim=1), "Return one index"),
        (lambda *_: 1, "wanted is"),
    ],
)
def test_best_candidate_names_the_mistake(answer, fragment):
    assert_refused(welcome.check_best_candidate, answer, fragment)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda g, v: g * math.log2(v), "a second has 50 of them"),
        (lambda g, v: 100 * g * math.log2(v), "50 a second, not 100"),
        (lambda g, v: 50 * g * math.log(v), "natural logarithm"),
        (lambda g, v: 50 * math.log2(g * v), "here G codebooks choose"),
        (lambda g, v: 50 * g * v, "counted entries"),
        (lambda _, v: 50 * math.log2(v), "each codebook's choice"),
    ],
)
def test_code_bit_rate_names_the_mistake(answer, fragment):
    assert_refused(welcome.check_code_bit_rate, answer, fragment)


def _changed(change):
    """The right shapes, spoilt by `change`, which takes them and the arguments."""
    return lambda *args: change(shapes(*args), args)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (_changed(lambda s, _: s[0]), "should be a tuple"),
        (_changed(lambda s, _: ((s[0][0], s[0][2], s[0][1]), *s[1:])), "(batch, time, features)"),
        (_changed(lambda s, _: (s[1], s[0], s[2])), "z has the encoder's width C"),
        (_changed(lambda s, args: ((args[1], args[2], s[0][2]), *s[1:])), "not in samples"),
        (_changed(lambda s, _: (s[0], s[1], (*s[2][:2], s[2][2] * s[2][3]))), "it has 4 dimensions"),
        (_changed(lambda s, _: ((s[0][0], s[0][1] + 1, s[0][2]), *s[1:])), "look the symbols up"),
        (_changed(lambda s, _: s[:2]), "Return three shapes"),
    ],
)
def test_shapes_names_the_mistake(answer, fragment):
    assert_refused(welcome.check_shapes, answer, fragment)


@pytest.mark.parametrize("check", CHECKS)
def test_a_stub_is_not_attempted_and_an_error_is_reported(check):
    def stub(*_):
        """Nothing yet."""

    def broken(*_):
        raise RuntimeError("no idea")

    assert check(stub).state == "not attempted"
    assert_refused(check, broken, "RuntimeError: no idea")


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_cases_a_right_answer_passes(seed):
    torch.manual_seed(seed)
    assert welcome.check_count_frames(frames).state == "passed"
    assert welcome.check_shapes(shapes).state == "passed"
