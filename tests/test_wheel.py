"""Installed from a wheel, without the repository, the course finds its speech and its checkpoints."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The course as one file, built here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_data_and_not_what_made_them(wheel):
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / "data").rglob("*") if path.is_file()}
    wanted = {f"w2v2_teach/{name}" for name in data if not name.endswith((".py", ".pyc"))}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("w2v2_teach/data/")}
    assert names == wanted
    assert "w2v2_teach/py.typed" in zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of programs of a fresh environment: the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", programs / "python"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", wheel], check=True)
    site_packages = next(folder.rglob("site-packages"))
    (site_packages / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return programs


@pytest.fixture
def run_installed(installed, tmp_path):
    """Call it with a program and its arguments: it runs in an empty folder, and every download is refused at once."""
    private = ("PYTHONPATH", "W2V2_TEACH_DATA", "LIBROSA_DATA_DIR", "HF_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in private}
    home = installed.parent / "home"
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "HTTPS_PROXY": "http://127.0.0.1:9"}

    def run_installed(program: str, *arguments: str) -> subprocess.CompletedProcess:
        command = [installed / program, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run_installed


def test_the_wheel_checks_its_machine(run_installed):
    run = run_installed("w2v2-teach", "check")
    assert run.returncode == 0, run.stderr
    assert "960 utterances, 24 speakers" in run.stdout


def test_the_wheel_says_in_one_sentence_that_there_is_no_network(run_installed):
    run = run_installed("w2v2-teach", "download", "fsdd")
    assert run.returncode == 1
    assert "cannot be reached" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_wheel_transcribes_its_own_speech(run_installed, installed):
    recording = next(installed.parent.rglob("s01-001.opus"))
    run = run_installed("w2v2-teach", "transcribe", recording)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()


LOAD = """
import sys
from w2v2_teach.speech.corpora import toy_speech
from w2v2_teach.model import Wav2Vec2Model

print(len(toy_speech()[0].waveform()))
for name in sys.argv[1:]:
    print(Wav2Vec2Model.from_pretrained(name).config.hidden_size)
"""


def test_the_wheel_loads_its_speech_and_every_checkpoint(run_installed):
    names = [path.name for path in (ROOT / "data" / "checkpoints").iterdir()]
    run = run_installed("python", "-c", LOAD, *names)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.split()) == 1 + len(names)
