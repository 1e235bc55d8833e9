"""The environment check finds what is here, says what is not, and tells how to get it."""

import shutil
from collections import namedtuple
from importlib import metadata

import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from w2v2_teach.course import environment
from w2v2_teach.course.environment import Item, Report, check_environment
from w2v2_teach.speech import corpora
from w2v2_teach.speech.downloads import DownloadError


def test_this_machine_has_what_it_needs_but_perhaps_for_the_corpus(monkeypatch):
    monkeypatch.setattr(corpora, "toy_speech", lambda: corpora.Corpus("toy_speech", []))
    report = check_environment()
    assert report.missing == []
    assert report["torch"].found == metadata.version("torch")
    assert report["GPU"].need == "optional"
    assert all(item.found or item.advice for item in report)


def test_a_row_says_what_to_do_where_a_corpus_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("W2V2_TEACH_DATA", str(tmp_path))
    monkeypatch.setenv("LIBROSA_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("w2v2_teach.speech.downloads.cache_folder", lambda: tmp_path / "cache")
    shutil.copytree(corpora.DATA / "fsdd", tmp_path / "fsdd")  # the checksums
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    report = check_environment()
    assert report.missing == [report["toy_speech"]]
    assert "build_toy_speech.py" in report["toy_speech"].advice
    assert "fsdd(download=True)" in report["FSDD"].advice
    assert "librosa_excerpts(download=True)" in report["librosa's excerpts"].advice
    assert (report["FSDD"].mark, report["toy_speech"].mark) == ("○ missing", "✗ missing")


def test_a_damaged_corpus_is_not_called_present():
    def load():
        raise DownloadError("7_jackson_0.wav is not what was published")

    item = environment._corpus("FSDD", "optional", load)
    assert item.found == ""
    assert "7_jackson_0.wav" in item.advice


@pytest.mark.parametrize(
    ("requirement", "fragment"),
    [("torch<1", "the course needs <1"), ("no-such-library>=2", "not installed: get it with `pip install 'no-such")],
)
def test_a_library_that_is_old_or_absent_is_missing(requirement, fragment):
    item = environment._library(Requirement(requirement))
    assert item.found == ""
    assert fragment in item.advice


def test_one_row_names_the_libraries_that_are_wrong():
    right, wrong = Item("a", "needed", "1.0", ""), Item("b", "needed", "", "not installed.")
    assert environment._together("libraries", [right, right]).found == "all 2"
    item = environment._together("libraries", [right, wrong])
    assert item.found == ""
    assert item.advice == "b: not installed."


def test_another_python_is_refused():
    assert environment._python(SpecifierSet(">=3.10")).found
    assert "needs <3" in environment._python(SpecifierSet("<3")).advice


def test_too_little_memory_or_disk_is_missing(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0.3e9))
    item = environment._disk()
    assert item.found == ""
    assert item.advice == "0.3 GB is here, the course wants 2 GB: make room for it."
    monkeypatch.setattr("os.sysconf", lambda _: 4096)
    assert environment._memory().found == ""


def test_a_gpu_is_named_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    assert environment._gpu() == Item("GPU", "optional", "A GPU", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment._gpu().mark == "○ missing"


def test_the_report_reads_as_text_and_as_a_table():
    report = Report((Item("torch", "needed", "2.6", ""), Item("GPU", "optional", "", "not needed here.")))
    assert "torch" in repr(report).splitlines()[0]
    assert "✓ present" in repr(report).splitlines()[0]
    assert "| GPU | optional | ○&nbsp;missing |  | not needed here. |" in report._repr_markdown_()
