"""Gives the tests of `AnswerTests` the cases of each subclass."""

from answers import AnswerTests


def pytest_generate_tests(metafunc):
    if metafunc.cls is None or not issubclass(metafunc.cls, AnswerTests):
        return
    solutions, wrong = metafunc.cls.SOLUTIONS, metafunc.cls.WRONG
    for names, cases in {
        ("check", "solution"): solutions,
        ("refusing", "answer", "fragment"): wrong,
        ("any_check",): sorted({(check,) for check, _ in solutions}, key=lambda case: case[0].__name__),
    }.items():
        if set(names) <= set(metafunc.fixturenames):
            metafunc.parametrize(names, cases)
