"""Each exercise as its reader meets it: the stub reports itself, and the solution passes."""

import pytest
import torch
from course import NOTEBOOKS, exercises, read, setup_source

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
