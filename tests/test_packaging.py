"""pyproject.toml, constraints.txt and environment.yml agree; set-up fails with one sentence."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import w2v2_teach

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
CONDA_NAMES = {  # conda-forge's name → PyPI's
    "matplotlib-base": "matplotlib",
    "seaborn-base": "seaborn",
    "pysoundfile": "soundfile",
    "soxr-python": "soxr",
    "pytorch": "torch",
    "playwright-python": "playwright",
}


def specifiers(lines) -> dict[str, str]:
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in requirements}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def ranges(project) -> dict[str, str]:
    return specifiers(project["dependencies"] + project["optional-dependencies"]["dev"])


@pytest.fixture(scope="module")
def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_conda_has_the_same_packages_and_ranges(project, ranges):
    lines = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = specifiers(line for line in lines if isinstance(line, str))
    assert SpecifierSet(conda.pop("python")) == SpecifierSet(project["requires-python"])
    conda.pop("pip")
    assert {CONDA_NAMES.get(name, name).replace("_", "-"): spec for name, spec in conda.items()} == ranges


@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_is_pinned_inside_its_range(ranges, pins, python):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    valid = [pin for pin in pins if pin.marker is None or Marker(str(pin.marker)).evaluate(environment)]
    names = [canonicalize_name(pin.name) for pin in valid]
    assert len(names) == len(set(names)), "a package is pinned twice for one Python"
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in valid}
    for name, specifier in ranges.items():
        assert Requirement(f"{name}{specifier}").specifier.contains(versions[name]), (name, specifier, versions[name])


def test_torch_is_pinned_to_what_was_tested(pins):
    assert [str(pin.specifier) for pin in pins if pin.name == "torch"] == ["==2.13.0"]


def install(*python: str, cwd: Path) -> str:
    """What tools/install.py says, run by `python` in an empty folder; it must fail with one sentence."""
    run = subprocess.run([*python, ROOT / "tools" / "install.py"], cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    return run.stderr


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ("sys.version_info = (3, 9, 1)", "this is Python 3.9, and it needs 3.10 to 3.13"),
        ("sys.modules['venv'] = None", "this Python has no venv module"),
        ("import shutil; shutil.disk_usage = lambda _: shutil._ntuple_diskusage(9, 8, 2**30)", "only 1.0 GiB are free"),
        ("import subprocess; subprocess.call = lambda _: 1", "making .venv failed, see above"),
    ],
)
def test_set_up_fails_with_one_sentence(tmp_path, patch, sentence):
    code = f"import sys, runpy; {patch}; runpy.run_path(sys.argv[1], run_name='__main__')"
    assert sentence in install(sys.executable, "-c", code, cwd=tmp_path)


def test_make_without_python_says_so(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "install.py").touch()
    run = subprocess.run(
        ["make", "lab", "PYTHON=python9"], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert run.returncode == 2
    assert "there is no python9; install Python 3.10 to 3.13." in run.stdout


def test_make_lab_serves_the_first_notebook_to_this_machine_alone():
    make = ["make", "-n", "lab", "ARGS=--no-browser"]
    command = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "jupyter lab --ip=127.0.0.1" in command.stdout
    assert "notebooks/00_welcome.ipynb" in command.stdout
    assert "--no-browser" in command.stdout


def test_make_help_has_a_line_for_every_target():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    lines = dict(re.findall(r"^make ([\w-]+) +(\S.*)$", text, re.MULTILINE))
    assert sorted(lines) == sorted(targets[1].split())


def test_the_public_ci_runs_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == list(PYTHONS)


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_have_what_github_asks_for(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert content["name"]
    assert content["description"]
    assert any(part["type"] != "markdown" for part in content["body"])


def test_the_readme_names_both_licences_and_both_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for word in ("MIT", "CC BY 4.0", "make lab", "make test"):
        assert word in readme
    assert re.search(r"MIT License", (ROOT / "LICENSE").read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_files_that_a_document_names_are_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    paths = re.findall(r"\b(?:tests|notebooks|benchmarks|data|tools)/[\w/.-]*\w\.\w+\b", text)
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == w2v2_teach.__version__ == metadata.version("w2v2_teach")
    assert re.findall(r"^## \[(\d.*?)\]", changes, re.MULTILINE)[0] == w2v2_teach.__version__
