"""What all exercises share: three outcomes, none of them an exception."""

import pytest
import torch

from w2v2_teach.course.exercises import Exercise, Mistake

check_double = Exercise(
    solution=lambda x: 2 * x,
    cases=lambda: [(2.0,), (-2.5,), (torch.tensor([1.0, 2.0]),), (torch.arange(6.0),)],
    passed="Right: twice the number.",
    hint="Have you multiplied by two?",
    mistakes={
        "You squared it.": lambda x: x * x,
        "The sign is wrong.": Mistake(lambda x: -x, lambda got, x: isinstance(got, float) and got * x < 0),
    },
)


def test_a_right_answer_passes():
    assert repr(check_double(lambda x: x + x)) == "✓ Right: twice the number."


def test_a_stub_is_not_attempted():
    def double(x): ...

    assert repr(check_double(double)) == "○ double returns nothing yet: write it and run the cell again."


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x + 1, "Your result is 3; it should be 4. Have you multiplied by two? The case was x = 2.0."),
        (lambda x: x * x, "You squared it. The case was x = -2.5."),  # 2 · 2 is 2²: the first case cannot tell
        (lambda x: -3 * x, "The sign is wrong. The case was x = 2.0."),
        (lambda x: 2 * x if isinstance(x, float) else x.sum(), "Your result has shape (); it should be (2,)."),
        (lambda x: 2 * x if isinstance(x, float) or len(x) < 3 else x, "Your result is 5 at [5]; it should be 10."),
        (lambda x: 2 * x if isinstance(x, float) else x + 1, "Your result is [2, 3]; it should be [2, 4]."),
        (lambda _: "two", "Your function returned str; a number or a tensor is wanted."),
        (lambda x: x / 0, "<lambda>(2.0) raised ZeroDivisionError: float division by zero"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong_and_where(answer, message):
    outcome = check_double(answer)
    assert outcome.state == "wrong"
    assert message in outcome.message


def test_an_answer_cannot_change_the_case():
    assert check_double(lambda x: x.mul_(2) if isinstance(x, torch.Tensor) else 2 * x).state == "passed"


def test_a_mistake_that_is_right_on_a_case_is_not_held_against_it():
    both = Exercise(solution=abs, cases=lambda: [(1,), (2,)], passed="Right.", mistakes={"Do not copy.": lambda x: x})
    assert both(abs).state == "passed"


def test_what_is_drawn_next_does_not_depend_on_the_answer():
    check = Exercise(solution=abs, cases=lambda: torch.randn(5, 1), passed="Right.", mistakes={})
    state = torch.get_rng_state()
    for answer in (abs, lambda _: None, lambda x: x + torch.randn(())):
        check(answer)
        assert torch.equal(torch.get_rng_state(), state)
