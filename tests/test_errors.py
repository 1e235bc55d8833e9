"""Whatever a reader can cause is a CourseError, so that the command line knows it from a fault of the course."""

import inspect
import pkgutil
from importlib import import_module

import w2v2_teach
from w2v2_teach.errors import CourseError

NOTEBOOKS_ONLY = "w2v2_teach.course."


def test_every_exception_of_the_package_is_a_course_error():
    modules = pkgutil.walk_packages(w2v2_teach.__path__, "w2v2_teach.")
    names = [m.name for m in modules if not m.name.startswith(NOTEBOOKS_ONLY) and not m.name.endswith("__main__")]
    found = {
        thing
        for name in names
        for _, thing in inspect.getmembers(import_module(name), inspect.isclass)
        if issubclass(thing, Exception) and thing.__module__.startswith("w2v2_teach")
    }
    assert {"AudioError", "CheckpointError", "RunError", "SettingsError"} <= {error.__name__ for error in found}
    assert [error.__name__ for error in found if not issubclass(error, CourseError)] == []
