"""Mini LibriSpeech: fetched, verified, divided by speaker, and with times for what its transcripts say."""

import gzip
import io
import shutil
import tarfile
from http.server import SimpleHTTPRequestHandler
from itertools import pairwise

import numpy as np
import pooch
import pytest
import requests
import soundfile
from local_server import serving
from requirements import require_data

from w2v2_teach.speech import downloads, mini_librispeech
from w2v2_teach.speech.corpora import CorpusNotFound
from w2v2_teach.speech.downloads import DownloadError
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.speech.mini_librispeech import read_alignments, read_splits

FIRST, SECOND = "1088-134315-0000", "1867-154075-0000"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A publisher with a small train-clean-5, and a machine without corpora but with its times."""
    monkeypatch.delenv("W2V2_TEACH_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "speakers.tsv").write_text("speaker\tsplit\n1088\ttrain\n1867\ttest\n")
    with gzip.open(tables / "alignments.tsv.gz", "wt") as file:
        file.write(f"id\tphones\twords\n{FIRST}\tsil 10 Y 15 EH 15 S 10\t10 50\n")
    monkeypatch.setattr(mini_librispeech, "TABLES", tables)

    folder = tmp_path / "published"
    for utterance, text in ((FIRST, "YES"), (SECOND, "GO ON")):
        speaker, chapter, _ = utterance.split("-")
        place = folder / "LibriSpeech/train-clean-5" / speaker / chapter
        place.mkdir(parents=True)
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, 8_000)
        soundfile.write(place / f"{utterance}.flac", noise, 16_000)
        (place / f"{speaker}-{chapter}.trans.txt").write_text(f"{utterance} {text}\n")
    with tarfile.open(folder / "train-clean-5.tar.gz", "w:gz") as tar:
        tar.add(folder / "LibriSpeech", arcname="LibriSpeech")
    shutil.rmtree(folder / "LibriSpeech")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *args):
            pass

    with serving(Handler) as server:
        monkeypatch.setattr(mini_librispeech, "URL", server.url)
        monkeypatch.setattr(mini_librispeech, "MD5", pooch.file_hash(folder / "train-clean-5.tar.gz", alg="md5"))
        yield


@pytest.mark.usefixtures("published")
def test_it_is_fetched_verified_and_kept(tmp_path, monkeypatch):
    corpus = mini_librispeech.mini_librispeech(download=True)
    assert {utterance.id: utterance.split for utterance in corpus} == {FIRST: "train", SECOND: "test"}
    yes = corpus[FIRST]
    assert (yes.speaker, yes.text, yes.num_samples) == ("1088", "yes", 8_000)
    assert yes.waveform().shape == (8_000,)
    labels = [("sil", 0.0, 0.1), ("Y", 0.1, 0.25), ("EH", 0.25, 0.4), ("S", 0.4, 0.5)]
    assert yes.phones == tuple(Interval(start, end, label) for label, start, end in labels)
    assert yes.words == (Interval(0.1, 0.5, "yes"),)
    assert corpus[SECOND].phones == corpus[SECOND].words == (), "this one has no times"
    assert [path.name for path in (tmp_path / "cache/LibriSpeech").iterdir()] == ["train-clean-5"], "no archive left"

    monkeypatch.setattr(requests, "get", lambda *_, **__: pytest.fail("the network was touched"))
    assert list(mini_librispeech.mini_librispeech()) == list(corpus)


@pytest.mark.usefixtures("published")
def test_opus_counts_a_missing_recording_is_named_and_dev_clean_2_is_a_test_set(tmp_path):
    corpus = mini_librispeech.mini_librispeech(download=True)
    flac = corpus[FIRST].path
    further = tmp_path / "cache/LibriSpeech/dev-clean-2/1088/134315"
    further.mkdir(parents=True)
    shutil.copy(flac, further / "84-1-0000.flac")
    (further / "84-1.trans.txt").write_text("84-1-0000 NO\n")
    soundfile.write(flac.with_suffix(".opus"), np.zeros(8_000), 16_000, format="OGG", subtype="OPUS")
    flac.unlink()
    corpus = mini_librispeech.mini_librispeech()
    assert corpus[FIRST].path.suffix == ".opus"
    assert corpus["84-1-0000"].split == "dev-clean-2"
    corpus[FIRST].path.unlink()
    with pytest.raises(ValueError, match=rf"names {FIRST}, but there is no"):
        mini_librispeech.mini_librispeech()


@pytest.mark.usefixtures("published")
def test_what_is_not_what_was_published_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_librispeech, "MD5", "0" * 32)
    with pytest.raises(DownloadError, match=r"train-clean-5\.tar\.gz is corrupted"):
        mini_librispeech.mini_librispeech(download=True)
    assert not (tmp_path / "cache/LibriSpeech/train-clean-5").exists()


@pytest.mark.usefixtures("published")
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, monkeypatch):
    archive = tmp_path / "published/train-clean-5.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("LibriSpeech/../../../evil")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    monkeypatch.setattr(mini_librispeech, "MD5", pooch.file_hash(archive, alg="md5"))
    with pytest.raises(DownloadError, match="lies outside the folder"):
        mini_librispeech.mini_librispeech(download=True)
    assert not (tmp_path / "cache/LibriSpeech/train-clean-5").exists()


@pytest.mark.usefixtures("published")
def test_without_data_one_sentence_names_both_ways():
    with pytest.raises(CorpusNotFound, match=r"mini_librispeech\(download=True\).*\$W2V2_TEACH_DATA"):
        mini_librispeech.mini_librispeech()


def test_the_bundled_times_are_those_of_its_28_speakers():
    split_of = read_splits(mini_librispeech.TABLES / "speakers.tsv")
    speakers = {split: {s for s, where in split_of.items() if where == split} for split in ("train", "dev", "test")}
    assert len(speakers["train"]) == 20
    assert speakers["dev"] == {"332", "669", "3664", "3947"}
    assert speakers["test"] == {"1737", "1867", "4680", "7312"}
    times = read_alignments(mini_librispeech.TABLES / "alignments.tsv.gz")
    assert len(times) == 1518
    assert {utterance.split("-")[0] for utterance in times} == set(split_of)
    for phones, words in times.values():
        edges = [edge for start, end in words for edge in (start, end)]
        assert edges == sorted(edges)
        assert set(edges) <= {edge for phone in phones for edge in phone[:2]}, "words begin and end with phones"
        assert all(one.end == other.start for one, other in pairwise(phones)), "no gap"


def test_the_times_fit_the_recordings():
    folder = require_data() / "LibriSpeech/train-clean-5"
    if not folder.is_dir():
        pytest.skip("$W2V2_TEACH_DATA holds no LibriSpeech/train-clean-5")
    corpus = mini_librispeech.mini_librispeech()
    assert len(corpus) == 1519
    assert [utterance.id for utterance in corpus if not utterance.phones] == ["2136-5147-0014"]
    assert all(abs(u.phones[-1].end - u.duration) < 0.01 for u in corpus if u.phones)
    assert sum(split in ("train", "dev", "test") for split in (u.split for u in corpus)) == 1519
