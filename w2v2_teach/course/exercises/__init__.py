"""The exercises that check themselves: one module per notebook, and here what they share.

An exercise holds the right answer, the cases that an answer is tried on, and a table of mistakes: the message under
which a mistake is known, and the wrong answer that a student would write. Called with a reader's function, it says
what it found: passed, not attempted yet, or wrong with a message that helps. It never raises, so that a notebook runs
to its end whatever its reader has written.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Answer = Callable[..., Any]
Case = tuple[Any, ...]  # the arguments of one call


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


def call(answer: Answer, *args: Any) -> Any:
    """The answer's result on one case, on copies of its tensors so that a careless answer cannot change the case.

    Raises:
        NotAttempted: the answer returned nothing.
        Wrong: the answer raised an exception.
    """
    copies = [a.clone() if isinstance(a, Tensor) else a for a in args]
    try:
        result = answer(*copies)
    except Exception as error:  # whatever the reader's code raises is theirs to see
        case = ", ".join(map(_shown, args))
        raise Wrong(f"{answer.__name__}({case}) raised {type(error).__name__}: {error}") from error
    if result is None or result is Ellipsis:
        raise NotAttempted
    return result


@dataclass(frozen=True)
class Mistake:
    """A mistake that shows in more results than one: an answer that makes it, and the sign by which it is known."""

    answer: Answer
    sign: Callable[..., bool]  # (result, *arguments of the case) → whether the mistake was made


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Exercise:
    """The check of one exercise: call it with a reader's function.

    A mistake in the table is a wrong answer, recognized where the reader's function returns what the wrong answer
    returns and the right one does not; or a `Mistake`, recognized by its sign.
    """

    solution: Answer
    cases: Callable[[], Iterable[Case]]  # random ones are drawn from torch's global generator
    mistakes: Mapping[str, Answer | Mistake]  # message → wrong answer; the first that was made is named
    passed: str  # what a right answer is told
    hint: str = ""  # what a wrong result is told that no mistake in the table explains
    run: Callable[..., Any] = call  # (answer, *arguments) → the result that is looked at
    atol: float = 1e-5
    one_result: bool = True  # False: right answers differ, and only the signs of mistakes are looked for

    def __call__(self, answer: Answer) -> Outcome:
        try:
            with torch.random.fork_rng(devices=[]):  # what a notebook draws next does not depend on its reader's answer
                for case in self.cases():
                    self._judge(answer, case)
        except NotAttempted:
            return Outcome("not attempted", f"{answer.__name__} returns nothing yet: write it and run the cell again.")
        except Wrong as problem:
            return Outcome("wrong", str(problem))
        return Outcome("passed", self.passed)

    def _judge(self, answer: Answer, case: Case) -> None:
        got, wanted = self.run(answer, *case), self.run(self.solution, *case)
        arguments = zip(inspect.signature(self.solution).parameters, map(_shown, case), strict=False)
        where = f"The case was {', '.join(f'{name} = {value}' for name, value in arguments)}." if case else ""
        for message, mistake in self.mistakes.items():
            if self._made(mistake, got, wanted, case):
                raise Wrong(f"{message} {where}".strip())
        if self.one_result:
            expect(got, wanted, f"{self.hint} {where}".strip(), self.atol)

    def _made(self, mistake: Answer | Mistake, got: Any, wanted: Any, case: Case) -> bool:
        if isinstance(mistake, Mistake):
            return mistake.sign(got, *case)
        try:
            result = self.run(mistake, *case)
        except Wrong:
            return False  # `run` refuses this mistake itself, and would have refused the reader's answer
        return same(got, result, self.atol) and not same(result, wanted, self.atol)


def rounds(case: Callable[[], Case], times: int = 4) -> Callable[[], list[Case]]:
    """Cases for an exercise: a random one, drawn several times."""
    return lambda: [case() for _ in range(times)]


def tuples(number: int, wanted: str) -> Callable[..., list[tuple[Any, ...]]]:
    """How to run an answer that returns so many tuples or lists; the message `wanted` refuses anything else."""

    def run(answer: Answer, *case: Any) -> list[tuple[Any, ...]]:
        got = call(answer, *case)
        if not isinstance(got, tuple | list) or len(got) != number or not all(isinstance(p, tuple | list) for p in got):
            raise Wrong(wanted)
        return [tuple(part) for part in got]

    return run


def whole(low: int, high: int) -> int:
    """A random whole number from `low` to `high` - 1."""
    return int(torch.randint(low, high, ()))


def same(a: Any, b: Any, atol: float = 1e-5) -> bool:
    """Whether two results agree: numbers within the tolerance, sequences part by part, anything else exactly."""
    a, b = _numbers(a), _numbers(b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.allclose(a, b, atol=atol, rtol=1e-4, equal_nan=True)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(*parts, atol) for parts in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def not_finite(got: Any, *_case: Any) -> bool:
    """The sign of a result with NaN or an infinity in it."""
    numbers = _numbers(got)
    return isinstance(numbers, Tensor) and not numbers.isfinite().all()


def not_a_tensor_of(dtype: torch.dtype) -> Callable[..., bool]:
    """The sign of a result of another type."""
    return lambda got, *_case: not isinstance(got, Tensor) or got.dtype != dtype


def expect(got: Any, wanted: Any, hint: str, atol: float = 1e-5) -> None:
    """Compare a result with the right one.

    Raises:
        Wrong: another type, shape or value; `hint` says what to think about.
    """
    got, wanted = _numbers(got), _numbers(wanted)
    if isinstance(got, tuple) and isinstance(wanted, tuple) and len(got) == len(wanted):
        for parts in zip(got, wanted, strict=True):
            expect(*parts, hint, atol)
    elif not isinstance(got, Tensor) or not isinstance(wanted, Tensor):
        if not same(got, wanted):
            kind = "a number or a tensor" if isinstance(wanted, Tensor) else type(wanted).__name__
            raise Wrong(f"Your function returned {type(got).__name__}; {kind} is wanted. {hint}")
    elif got.shape != wanted.shape:
        raise Wrong(f"Your result has shape {tuple(got.shape)}; it should be {tuple(wanted.shape)}. {hint}")
    elif not same(got, wanted, atol):
        raise Wrong(f"Your result is {_difference(got, wanted)}. {hint}")


def _numbers(result: Any) -> Any:
    """A result as one tensor of float64; as a tuple of its parts where they do not fit into one; else as it is."""
    try:
        return torch.as_tensor(result).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return tuple(map(_numbers, result)) if isinstance(result, tuple | list) else result


def _difference(got: Tensor, wanted: Tensor) -> str:
    """What two tensors of one shape hold: all of it if it is little, else the numbers farthest apart."""
    if got.ndim == 0:
        return f"{got.item():.4g}; it should be {wanted.item():.4g}"
    if got.numel() <= 4:
        return "; it should be ".join(f"[{', '.join(f'{n:.4g}' for n in x.flatten().tolist())}]" for x in (got, wanted))
    place = tuple(int(i) for i in torch.unravel_index((got - wanted).abs().argmax(), got.shape))
    return f"{got[place].item():.4g} at {list(place)}; it should be {wanted[place].item():.4g}"


def _shown(argument: Any) -> str:
    """An argument as a reader would write it; what is long by its shape or its type."""
    if isinstance(argument, Tensor):
        short = argument.ndim <= 1 and argument.numel() <= (12 if argument.is_floating_point() else 40)
        return _shown((argument + 0).tolist()) if short else f"tensor{tuple(argument.shape)}"
    if isinstance(argument, float):
        return repr(float(f"{argument:.4g}"))
    if isinstance(argument, dict):
        return f"{{{', '.join(f'{key!r}: {_shown(value)}' for key, value in argument.items())}}}"
    if isinstance(argument, list | tuple):
        return f"[{', '.join(map(_shown, argument))}]"
    return repr(argument) if isinstance(argument, int | str) else type(argument).__name__
