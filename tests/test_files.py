"""A file appears whole or not at all."""

import subprocess
import sys

import pytest
from little_run import file_size_limit

from w2v2_teach.files import replacing


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.json"


def names(path) -> list[str]:
    return [file.name for file in path.parent.iterdir()]


def test_the_file_takes_its_name_when_the_block_ends(path):
    with replacing(path) as partial:
        partial.write_text("new")
        assert partial.parent == path.parent, "else it could not take the name in one step"
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path) == ["results.json"]


def test_the_file_before_it_stays_until_then(path):
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [["results.json"], []])
def test_an_error_changes_nothing(path, error, old):
    for name in old:
        (path.parent / name).write_text("old")

    def fail():
        with replacing(path) as partial:
            partial.write_text("half of the ne")
            raise error

    with pytest.raises(error):
        fail()
    assert names(path) == old
    assert [path.read_text() for _ in old] == ["old" for _ in old]


def test_a_full_disk_changes_nothing(path):
    path.write_text("old")
    with file_size_limit(1_000), pytest.raises(OSError, match="too large"), replacing(path) as partial:
        partial.write_text("new" * 1_000)
    assert path.read_text() == "old"
    assert names(path) == ["results.json"]


def test_two_processes_that_write_the_same_file_do_not_meet(path):
    """As two that train together do, which both decode the corpus."""
    theirs = f"""
from pathlib import Path
from w2v2_teach.files import replacing
with replacing(Path({str(path)!r})) as partial:
    partial.write_text("theirs")
"""
    with replacing(path) as partial:
        partial.write_text("ours")
        subprocess.run([sys.executable, "-c", theirs], check=True)
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours"
    assert names(path) == ["results.json"]


def test_a_block_that_writes_nothing_is_an_error(path):
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"
