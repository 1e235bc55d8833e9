"""The command line says what the functions behind it say, and its exit status tells success from failure."""

import re

import pytest
from command_line import invoke

from w2v2_teach.cli.download import CORPORA
from w2v2_teach.speech.downloads import DownloadError


def test_check_prints_the_environment():
    result = invoke("check")
    assert result.exit_code == 0
    assert "torch" in result.stdout


@pytest.mark.parametrize("name", CORPORA)
def test_download_fetches_and_reports(monkeypatch, name):
    monkeypatch.setitem(CORPORA, name, lambda download: f"{name}: {download}")
    assert invoke("download", name) == (0, f"{name}: True\n", "")


def test_a_failed_download_is_one_sentence_and_a_status(monkeypatch):
    def fail(download):
        assert download
        raise DownloadError("There is no network.")

    monkeypatch.setitem(CORPORA, "fsdd", fail)
    result = invoke("download", "fsdd")
    assert result.exit_code == 1
    assert result.stderr == "There is no network.\n"


def test_a_data_folder_that_does_not_exist_is_one_sentence_and_a_status(monkeypatch, tmp_path):
    monkeypatch.setenv("W2V2_TEACH_DATA", str(tmp_path / "typo"))
    for arguments in (("download", "fsdd"), ("evaluate", "tiny-keyword")):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert re.fullmatch(r"\$W2V2_TEACH_DATA is \S+typo, and there is no such folder.*\n", result.stderr)


def test_an_unknown_name_is_refused_with_what_there_is():
    result = invoke("download", "timit")
    assert result.exit_code == 2
    assert "fsdd" in result.stderr
    assert "librosa" in result.stderr
