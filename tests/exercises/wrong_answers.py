"""What the tests of all exercises share: a plausible wrong answer must be refused with a message that helps."""

from collections.abc import Callable
from typing import Any

from w2v2_teach.exercises import Outcome


def assert_refused(check: Callable[[Any], Outcome], answer: Callable[..., Any], fragment: str) -> None:
    """`check(answer)` says "wrong", and its message contains `fragment`."""
    outcome = check(answer)
    assert outcome.state == "wrong", f"{check.__name__} let a wrong answer through: {outcome}"
    assert fragment in outcome.message, outcome.message
