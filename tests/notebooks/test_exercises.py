"""Each exercise as its reader meets it: the stub reports itself, and the solution passes."""

import importlib
import pkgutil
import re

import pytest
import torch
from course import NOTEBOOKS, exercises, read, setup_source

from w2v2_teach.course import exercises as package

CASES = [
    pytest.param(path, index, id=f"{path.stem}-{index + 1}")
    for path in NOTEBOOKS
    for index in range(len(exercises(read(path))))
]


@pytest.fixture(autouse=True)
def _torch_as_it_was():
    """A setup cell may switch gradients off for its notebook; the tests that follow want them."""
    gradients, threads = torch.is_grad_enabled(), torch.get_num_threads()
    yield
    torch.set_grad_enabled(gradients)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def namespaces():
    """What a notebook's setup cell defines, once a notebook."""
    made = {}

    def namespace(path):
        if path not in made:
            made[path] = {}
            exec(setup_source(read(path)), made[path])
        return dict(made[path])

    return namespace


@pytest.mark.parametrize(("path", "index"), CASES)
def test_the_stub_reports_itself_and_the_solution_passes(namespaces, path, index):
    exercise = exercises(read(path))[index]
    namespace = namespaces(path)
    exec(exercise.stub, namespace)
    outcome = eval(exercise.check, namespace)
    assert outcome.state == "not attempted", outcome
    exec(exercise.solution, namespace)
    outcome = eval(exercise.check, namespace)
    assert outcome.state == "passed", outcome


def test_every_exercise_of_the_package_is_in_a_notebook():
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    there = {name for module in modules for name, it in vars(module).items() if isinstance(it, package.Exercise)}
    cells = [exercise.check for path in NOTEBOOKS for exercise in exercises(read(path))]
    assert set(re.findall(r"check_\w+", " ".join(cells))) == there
