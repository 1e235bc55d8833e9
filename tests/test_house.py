"""The package stays small: the model is read in an evening, and no module takes more than a few screens."""

from pathlib import Path

import pytest

import w2v2_teach

PACKAGE = Path(w2v2_teach.__file__).parent
MODEL = """config feature_encoder context_network masking quantizer losses model heads ctc objectives""".split()
LONGEST = 300  # lines of a module
LIMITS = {  # lines of a part of the package; the last may only become smaller, its aim is 6,000
    "model": 1_780,
    "course": 7_000,
    "everything but the course": 8_640,
}


@pytest.fixture(scope="module")
def lines() -> dict[str, int]:
    """Lines of each module, by its path in the package."""
    modules = sorted(PACKAGE.rglob("*.py"))
    return {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in modules
    }


def tree(lines: dict[str, int]) -> str:
    """The package with its lines: each folder, and below it each module."""
    rows = []
    for folder in sorted({str(Path(module).parent) for module in lines}):
        own = {Path(module).name: n for module, n in lines.items() if str(Path(module).parent) == folder}
        rows += [f"{sum(own.values()):6,} {folder}/", *(f"{n:10,} {name}" for name, n in own.items())]
    return "\n".join(rows)


def test_no_module_is_long(lines):
    assert not {module: n for module, n in lines.items() if n > LONGEST}


@pytest.mark.parametrize("part", LIMITS)
def test_every_part_keeps_within_its_limit(lines, part):
    belongs = {
        "model": lambda module: module in {f"{name}.py" for name in MODEL},
        "course": lambda module: module.startswith("course/"),
        "everything but the course": lambda module: not module.startswith("course/"),
    }[part]
    total = sum(n for module, n in lines.items() if belongs(module))
    assert 0 < total <= LIMITS[part], f"{part}: {total:,} lines\n{tree(lines)}"
