"""What all checks share: three outcomes, none of them an exception."""

import torch
from answers import assert_refused

from w2v2_teach.course.exercises import call, exercise, expect


@exercise(passed="Right: twice the number.")
def check_double(double):
    for x in (1.0, -2.5):
        expect(call(double, x), 2 * x, "Have you multiplied by two?")
    tensor = torch.tensor([1.0, 2.0])
    expect(call(double, tensor), 2 * tensor, "It should work on tensors, too.")


def test_a_right_answer_passes():
    outcome = check_double(lambda x: x + x)
    assert repr(outcome) == "✓ Right: twice the number."


def test_a_stub_is_not_attempted():
    def double(x): ...

    assert repr(check_double(double)) == "○ double returns nothing yet: write it and run the cell again."
    assert check_double(lambda _: ...).state == "not attempted"


def test_a_wrong_answer_is_told_value_and_hint():
    assert_refused(check_double, lambda x: x * x, "Your result is 1, wanted is 2. Have you multiplied by two?")
    assert_refused(check_double, lambda x: 2.0 * x if isinstance(x, float) else x.sum(), "shape (), wanted is (2,)")
    assert_refused(check_double, lambda _: "two", "Your function returned str")


def test_an_answer_that_raises_is_told_on_what():
    assert_refused(check_double, lambda x: x / 0, "<lambda>(1.0) raised ZeroDivisionError")


def test_an_answer_cannot_change_the_case():
    def careless(x):
        if isinstance(x, torch.Tensor):
            return x.mul_(2)
        return 2 * x

    assert check_double(careless).state == "passed"
