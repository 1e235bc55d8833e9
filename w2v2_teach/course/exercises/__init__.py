"""The checks behind the exercises: one module per notebook, and here what they share.

A check takes the reader's function, tries it on cases, and says what it found: passed, not attempted yet, or wrong with
a message that helps. It never raises, so that a notebook runs through whatever its reader has written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Outcome:
    """What a check found; a notebook shows it as one line."""

    state: str  # "passed", "wrong" or "not attempted"
    message: str

    def __repr__(self) -> str:
        mark = {"passed": "✓", "wrong": "✗", "not attempted": "○"}[self.state]
        return f"{mark} {self.message}"


class NotAttempted(Exception):
    """The reader's function returned nothing."""


class Wrong(Exception):
    """The reader's function gave a wrong answer; the message says what is wrong and where to look."""


def exercise(passed: str) -> Callable[[Callable[[Answer], None]], Callable[[Answer], Outcome]]:
    """Turn a function that raises `Wrong` into a check that returns an `Outcome`; `passed` is its praise."""

    def decorate(check: Callable[[Answer], None]) -> Callable[[Answer], Outcome]:
        @functools.wraps(check)
        def run(answer: Answer) -> Outcome:
            try:
                check(answer)
            except NotAttempted:
                return Outcome(
                    "not attempted", f"{answer.__name__} returns nothing yet: write it and run the cell again."
                )
            except Wrong as problem:
                return Outcome("wrong", str(problem))
            return Outcome("passed", passed)

        return run

    return decorate


def call(answer: Answer, *args: Any) -> Any:
    """The answer's result on one case, on copies of its tensors so that a careless answer cannot change the case."""
    copies = [a.clone() if isinstance(a, torch.Tensor) else a for a in args]
    try:
        result = answer(*copies)
    except Exception as error:  # whatever the reader's code raises is theirs to see
        raise Wrong(f"{answer.__name__}{shown(args)} raised {type(error).__name__}: {error}") from error
    if result is None or result is Ellipsis:
        raise NotAttempted
    return result


def expect(got: Any, wanted: Any, hint: str, atol: float = 1e-5) -> None:
    """Compare an answer with the right one.

    Raises:
        Wrong: another type, shape or value; `hint` says what to think about.
    """
    wanted_tensor = torch.as_tensor(wanted)
    try:
        tensor = torch.as_tensor(got)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"Your function returned {type(got).__name__}; a number or a tensor is wanted.") from error
    if tensor.shape != wanted_tensor.shape:
        raise Wrong(f"Your result has shape {tuple(tensor.shape)}, wanted is {tuple(wanted_tensor.shape)}. {hint}")
    if not torch.allclose(tensor.double(), wanted_tensor.double(), atol=atol, rtol=1e-4):
        raise Wrong(f"Your result is {_brief(tensor)}, wanted is {_brief(wanted_tensor)}. {hint}")


def recognize(got: Any, wanted: Any, mistakes: Mapping[str, Any]) -> None:
    """Name a well-known mistake where the answer is what it gives, and the case tells it from the right answer.

    Args:
        got: the reader's answer, of any kind.
        wanted: the right one.
        mistakes: message → what that mistake gives.

    Raises:
        Wrong: with the message of the first mistake that was made.
    """
    for message, result in mistakes.items():
        if _same(got, result) and not _same(result, wanted):
            raise Wrong(message)


def _same(a: Any, b: Any) -> bool:
    try:
        a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    except (TypeError, ValueError, RuntimeError):
        return False  # not even numbers: `expect` says what is wanted
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5, rtol=1e-4)


def shown(args: tuple[Any, ...]) -> str:
    """The arguments of a call as a reader would write them, tensors by their shape."""
    return f"({', '.join(f'tensor{tuple(a.shape)}' if isinstance(a, torch.Tensor) else repr(a) for a in args)})"


def _brief(tensor: torch.Tensor) -> str:
    if tensor.ndim == 0:
        return f"{tensor.item():.4g}"
    values = ", ".join(f"{v:.4g}" for v in tensor.flatten()[:4].tolist())
    return f"[{values}{', …' if tensor.numel() > 4 else ''}]"
