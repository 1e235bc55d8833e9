"""What the tests of all exercises share: right answers pass, plausible wrong ones get a message that helps."""

from collections.abc import Callable
from typing import Any

from w2v2_teach.course.exercises import Outcome


def assert_refused(check: Callable[[Any], Outcome], answer: Callable[..., Any], fragment: str) -> None:
    """`check(answer)` says "wrong", and its message contains `fragment`."""
    outcome = check(answer)
    assert outcome.state == "wrong", f"{check.__name__} let a wrong answer through: {outcome}"
    assert fragment in outcome.message, outcome.message


class AnswerTests:
    """Tests of one notebook's checks; what they are called with comes from the lists that a subclass has."""

    SOLUTIONS: list[tuple[Callable, Callable]]  # a check, and the solution that the notebook prints
    WRONG: list[tuple[Callable, Callable, str]]  # a check, a mistake, and a part of what it is told

    def test_solutions_pass(self, check, solution):
        outcome = check(solution)
        assert outcome.state == "passed", outcome

    def test_wrong_answers_are_refused_with_a_message_that_helps(self, refusing, answer, fragment):
        assert_refused(refusing, answer, fragment)

    def test_a_blank_answer_and_one_that_raises_are_reported(self, any_check):
        assert any_check(lambda *_: None).state == "not attempted"
        assert_refused(any_check, lambda *_: 1 / 0, "ZeroDivisionError")
