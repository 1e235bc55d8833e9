"""Every corpus comes through one interface; a corpus that is missing or broken is named in one sentence."""

import pickle
import shutil
import tarfile
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
import soundfile
import torch
from local_server import serving
from requirements import require_data
from torch.utils.data import DataLoader

from w2v2_teach.speech import corpora, downloads
from w2v2_teach.speech import published as published_corpora
from w2v2_teach.speech.audio import AudioError
from w2v2_teach.speech.batching import JITTER, LengthBucketBatchSampler, collate
from w2v2_teach.speech.corpora import (
    Corpus,
    CorpusNotFound,
    CorpusTooShort,
    Utterance,
    librispeech,
    read_tables,
    toy_speech,
)
from w2v2_teach.speech.downloads import DownloadError
from w2v2_teach.speech.intervals import Interval, label_at
from w2v2_teach.speech.published import fsdd, librosa_excerpts

TABLES = {
    "utterances.tsv": """\
id\tspeaker\tsplit\tpath\tnum_samples\ttext
a-1\tann\ttrain\taudio/ann/a-1.opus\t16000\t"go" left
a-2\tann\ttrain\taudio/ann/a-2.opus\t8000\tstop
b-1\tbob\ttest\taudio/bob/b-1.opus\t4000\tred
""",
    "phones.tsv": """\
id\tstart\tend\tphone\tipa
a-1\t0.1\t0.2\tG\tɡ
a-1\t0.2\t0.35\tOW\təʊ
b-1\t0.0\t0.1\tR\tɹ
""",
    "words.tsv": """\
id\tstart\tend\tword
a-1\t0.1\t0.35\tgo
""",
}


def write_audio(path, samples: int, rate: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(samples).uniform(-0.3, 0.3, samples)
    soundfile.write(path, noise, rate, **({"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}))


@pytest.fixture
def folder(tmp_path):
    """A folder in the layout of data/toy_speech."""
    folder = tmp_path / "little"
    folder.mkdir()
    for name, text in TABLES.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path, samples in (("ann/a-1", 16_000), ("ann/a-2", 8_000), ("bob/b-1", 4_000)):
        write_audio(folder / "audio" / f"{path}.opus", samples)
    return folder


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """A machine without corpora, and where any use of the network fails the test."""
    monkeypatch.delenv("W2V2_TEACH_DATA", raising=False)
    monkeypatch.setenv("LIBROSA_DATA_DIR", str(tmp_path / "librosa"))
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(requests, "get", lambda *_, **__: pytest.fail("the network was touched"))


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A publisher: what lies in its `folder` is served at its `url`. The machine itself has no corpora."""
    monkeypatch.delenv("W2V2_TEACH_DATA", raising=False)
    monkeypatch.setenv("LIBROSA_DATA_DIR", str(tmp_path / "librosa"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    folder = tmp_path / "published"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *args):
            pass

    with serving(Handler) as server:
        server.folder = folder
        yield server


# --- one interface ---------------------------------------------------------------------------------------------------


def test_tables_become_utterances(folder):
    corpus = read_tables(folder)
    assert [utterance.id for utterance in corpus] == ["a-1", "a-2", "b-1"]
    first = corpus["a-1"]
    assert first is corpus[0]
    assert (first.speaker, first.split, first.text, first.num_samples) == ("ann", "train", '"go" left', 16_000)
    assert first.phones == (Interval(0.1, 0.2, "G"), Interval(0.2, 0.35, "OW"))
    assert first.words == (Interval(0.1, 0.35, "go"),)
    assert corpus["a-2"].phones == ()
    assert first.duration == 1.0
    for utterance in corpus:
        assert utterance.waveform().shape == (utterance.num_samples,)


def test_label_at_by_hand():
    intervals = [Interval(0.1, 0.2, "a"), Interval(0.2, 0.3, "b")]
    assert [label_at(intervals, t) for t in (0.05, 0.1, 0.2, 0.3)] == ["", "a", "b", ""]


def test_a_corpus_counts_and_splits(folder):
    corpus = read_tables(folder)
    assert len(corpus) == 3
    assert corpus.speakers == ("ann", "bob")
    assert corpus.hours == pytest.approx(28_000 / 16_000 / 3600)
    train = corpus.split("train")
    assert (train.name, len(train), train.speakers) == ("little/train", 2, ("ann",))
    assert repr(train) == "little/train: 2 utterances, 1 speakers, 0.0 min"
    with pytest.raises(ValueError, match="no split 'dev': it has test, train"):
        corpus.split("dev")
    with pytest.raises(KeyError):
        corpus["nobody"]
    with pytest.raises(IndexError):
        corpus[3]
    with pytest.raises(ValueError, match="share an id, such as a-1"):
        corpora.Corpus("twice", [corpus[0], corpus[0]])


def test_minutes_are_drawn_by_seed_and_a_smaller_draw_is_part_of_a_larger_one():
    corpus = Corpus("many", (Utterance(f"u{i:02}", "s", "train", Path(), "", 16_000 * (1 + i % 3)) for i in range(60)))
    half, quarter, other = corpus.minutes(1.0), corpus.minutes(0.5), corpus.minutes(0.5, seed=1)
    assert {u.id for u in quarter} < {u.id for u in half} < {u.id for u in corpus}
    assert {u.id for u in quarter} != {u.id for u in other}
    for drawn, wanted in ((half, 60), (quarter, 30), (other, 30)):
        seconds = 3600 * drawn.hours
        assert wanted <= seconds < wanted + 3, "the last one may go beyond"
        assert [u.id for u in drawn] == sorted(u.id for u in drawn), "in the corpus' order"
    assert [u.id for u in corpus.minutes(2.0)] == [u.id for u in corpus], "all of it"
    with pytest.raises(CorpusTooShort, match=r"many lasts 2\.0 minutes; 3 are wanted"):
        corpus.minutes(3)
    for nothing in (0, -1, float("nan")):
        with pytest.raises(CorpusTooShort, match=f"{nothing:g} are wanted"):
            corpus.minutes(nothing)


@pytest.mark.parametrize(
    ("table", "old", "new", "complaint"),
    [
        ("utterances.tsv", "num_samples", "samples", "utterances.tsv lacks the column num_samples"),
        ("utterances.tsv", "8000", "many", "utterances.tsv, line 3: .*many"),
        ("utterances.tsv", "\tstop", "", "utterances.tsv, line 3: it needs 6 values"),
        ("utterances.tsv", "8000", "399", "utterances.tsv, line 3: num_samples must be 400 or more, not 399"),
        ("utterances.tsv", "ann/a-2.opus", "ann/a-9.opus", "utterances.tsv, line 3: there is no .*a-9.opus"),
        ("utterances.tsv", "a-2\tann", "a-1\tann", "utterances.tsv, line 3: a-1 stands in .*tsv, line 2 already"),
        ("utterances.tsv", "stop", "st|op", "utterances.tsv, line 3: '\\|' stands for the space"),
        ("words.tsv", "\tgo", "\tgo\textra", "words.tsv, line 2: it needs 4 values"),
        ("phones.tsv", "b-1", "c-1", "phones.tsv, line 4: it names c-1, which is not in utterances.tsv"),
    ],
)
def test_a_broken_table_is_named(folder, table, old, new, complaint):
    text = (folder / table).read_text(encoding="utf-8")
    (folder / table).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        read_tables(folder)


def test_a_table_that_tells_another_length_than_the_recording(folder):
    table = folder / "utterances.tsv"
    table.write_text(table.read_text(encoding="utf-8").replace("8000", "8001"), encoding="utf-8")
    with pytest.raises(AudioError, match=r"a-2\.opus has 8000 samples at 16 kHz; the corpus says 8001"):
        read_tables(folder)["a-2"].waveform()


def test_toy_speech_reads_the_bundled_folder(folder, monkeypatch):
    monkeypatch.setattr(corpora, "DATA", folder.parent)
    with pytest.raises(CorpusNotFound, match=r"missing from .*toy_speech.*`python data/build_toy_speech.py`"):
        toy_speech()
    folder.rename(folder.with_name("toy_speech"))
    assert len(toy_speech()) == 3


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_corpus_is_the_dataset_of_a_data_loader(folder):
    corpus = read_tables(folder)
    lengths = [utterance.num_samples for utterance in corpus]
    sampler = LengthBucketBatchSampler(lengths, batch_size=2, shuffle=False)
    small, large = DataLoader(corpus, batch_sampler=sampler, collate_fn=collate)
    assert [utterance.id for utterance in small.utterances] == ["b-1", "a-2"]
    assert small.input_values.shape == small.attention_mask.shape == (2, 8_000)
    assert small.attention_mask.sum(dim=1).tolist() == [4_000, 8_000]
    assert large.input_values.shape == (1, 16_000)
    x = corpus["a-1"].waveform()
    torch.testing.assert_close(large.input_values[0], (x - x.mean()) / x.std(correction=0), atol=1e-4, rtol=0)
    assert [*pickle.loads(pickle.dumps(corpus))] == [*corpus], "so that worker processes can have it"


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("count", "batch_size"), [(103, 8), (96, 8), (3, 8), (0, 8), (5, 1)])
def test_every_utterance_once_per_epoch(count, batch_size, shuffle):
    lengths = np.random.default_rng(0).integers(400, 100_000, count)
    sampler = LengthBucketBatchSampler(lengths, batch_size, shuffle=shuffle)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert max(map(len, batches), default=0) <= batch_size
        assert sorted(index for batch in batches for index in batch) == list(range(count))


def test_batches_follow_from_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(400, 100_000, 200).tolist()

    def batches(seed, epoch):
        sampler = LengthBucketBatchSampler(lengths, 8, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert batches(0, 1) == batches(0, 1)
    assert batches(0, 1) != batches(1, 1)
    first, second = batches(0, 0), batches(0, 1)
    assert first != second
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}, "other members, too"


def test_neighbors_in_a_batch_are_of_similar_length():
    lengths = np.repeat([1_000, 2_000, 4_000, 8_000], 16)  # further apart than the jitter can bridge
    batches = list(LengthBucketBatchSampler(np.random.default_rng(0).permutation(lengths), 8, seed=3))
    shuffled = np.random.default_rng(0).permutation(lengths)
    longest = [shuffled[batch].max() for batch in batches]
    assert all(len(set(shuffled[batch])) == 1 for batch in batches)
    assert longest != sorted(longest), "the order of the batches is random"
    assert (1 + JITTER) / (1 - JITTER) < 2


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="batch_size must be 1 or more, not 0"):
        LengthBucketBatchSampler([1_000], 0)


# --- LibriSpeech's layout --------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path):
    for chapter, lines in (("dev-clean-2/84/121123", ["GO ON", "HE'S HERE"]), ("train-clean-5/1088/134315", ["YES"])):
        speaker, number = chapter.split("/")[1:]
        for index, _ in enumerate(lines):
            write_audio(tmp_path / chapter / f"{speaker}-{number}-{index:04}.flac", 8_000 + index)
        text = "".join(f"{speaker}-{number}-{index:04} {line}\n" for index, line in enumerate(lines))
        (tmp_path / chapter / f"{speaker}-{number}.trans.txt").write_text(text)
    return tmp_path


def test_librispeech_by_split_or_as_a_whole(published):
    corpus = librispeech(published)
    assert [utterance.id for utterance in corpus] == ["84-121123-0000", "84-121123-0001", "1088-134315-0000"]
    second = corpus["84-121123-0001"]
    assert (second.speaker, second.split, second.text, second.num_samples) == ("84", "dev-clean-2", "he's here", 8_001)
    assert second.waveform().shape == (8_001,)
    assert corpus.split("train-clean-5").speakers == ("1088",)
    assert list(librispeech(str(published / "dev-clean-2"))) == list(corpus.split("dev-clean-2"))


def test_librispeech_that_is_not_whole(published):
    chapter = published / "dev-clean-2/84/121123"
    (chapter / "84-121123-0001.flac").rename(chapter / "84-121123-0002.flac")
    with pytest.raises(ValueError, match=r"trans\.txt, line 2: it names 84-121123-0001, but there is no .*0001\.flac"):
        librispeech(published)
    write_audio(chapter / "84-121123-0001.flac", 8_000)
    with pytest.raises(ValueError, match=r"1 recordings have no transcript, first 84-121123-0002"):
        librispeech(published)


def test_librispeech_that_is_not_there(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorpusNotFound, match=r"holds no speaker/chapter/\*\.trans\.txt"):
            librispeech(folder)


# --- corpora that are downloaded -------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [fsdd, librosa_excerpts])
@pytest.mark.usefixtures("nothing_here")
def test_without_data_and_network_one_sentence_names_both_ways(load):
    with pytest.raises(CorpusNotFound) as caught:
        load()
    assert f"{load.__name__}(download=True)" in str(caught.value)
    assert "$W2V2_TEACH_DATA" in str(caught.value)


@pytest.mark.parametrize("load", [fsdd, librosa_excerpts])
@pytest.mark.parametrize("download", [False, True])
@pytest.mark.usefixtures("nothing_here")
def test_a_data_folder_that_does_not_exist_is_named_at_once(load, download, monkeypatch, tmp_path):
    monkeypatch.setenv("W2V2_TEACH_DATA", str(tmp_path / "typo"))
    with pytest.raises(CorpusNotFound, match=r"\$W2V2_TEACH_DATA is \S+typo, and there is no such folder: set it"):
        load(download)


@pytest.fixture
def release(server, tmp_path, monkeypatch):
    """Four recordings in the layout of the FSDD release, published on the server: the file of its checksums."""
    top = server.folder / published_corpora.FSDD_ARCHIVE_ROOT
    for name in ("7_ann_4", "7_ann_5", "0_bob_49", "3_bob_0"):
        write_audio(top / "recordings" / f"{name}.wav", 4_000, rate=8_000)
    (top / "README.md").write_text("what the release holds beside the recordings")
    with tarfile.open(server.folder / "v1.tar.gz", "w:gz") as tar:
        tar.add(top, arcname=top.name)
    checksums = tmp_path / "SHA256SUMS"
    lines = [f"{pooch.file_hash(path)}  {path.name}\n" for path in (top / "recordings").iterdir()]
    checksums.write_text("".join(lines))
    monkeypatch.setattr(published_corpora, "FSDD_URL", server.url + "v1.tar.gz")
    monkeypatch.setattr(published_corpora, "FSDD_CHECKSUMS", checksums)
    return checksums


@pytest.mark.usefixtures("release")
def test_fsdd_is_fetched_verified_and_kept(server, tmp_path):
    corpus = fsdd(download=True)
    expected = {"0_bob_49": "train", "3_bob_0": "test", "7_ann_4": "test", "7_ann_5": "train"}
    assert {utterance.id: utterance.split for utterance in corpus} == expected
    seven = corpus["7_ann_5"]
    assert (seven.speaker, seven.text, seven.num_samples) == ("ann", "seven", 8_000)
    assert seven.waveform().shape == (8_000,)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["free-spoken-digit-dataset"], "no archive left"

    shutil.rmtree(server.folder)  # from now on it comes from the cache
    assert list(fsdd()) == list(corpus)
    seven.path.write_bytes(b"changed")
    with pytest.raises(DownloadError, match=r"1 with a wrong checksum \(7_ann_5\.wav\)"):
        fsdd()


def test_fsdd_that_is_not_what_was_published_is_not_kept(release, tmp_path):
    release.write_text(f"{release.read_text()}{'0' * 64}  8_eve_0.wav\n")
    with pytest.raises(DownloadError, match=r"1 missing \(8_eve_0\.wav\)"):
        fsdd(download=True)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("release")
def test_a_cache_that_holds_something_else_is_named(tmp_path):
    (tmp_path / "cache" / "free-spoken-digit-dataset").mkdir(parents=True)
    (tmp_path / "cache" / "free-spoken-digit-dataset" / "mine.txt").write_text("keep this")
    with pytest.raises(DownloadError, match=r"free-spoken-digit-dataset cannot be written: .*not empty"):
        fsdd(download=True)
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["free-spoken-digit-dataset", "mine.txt"]


def test_librosa_excerpts_are_compared_with_librosas_checksums(server, tmp_path, monkeypatch):
    monkeypatch.setattr(published_corpora, "LIBROSA_URL", server.url)
    for name in published_corpora.LIBROSA_EXCERPTS:
        (server.folder / f"{name}.ogg").write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"5703-47212-0000\.ogg is corrupted"):
        librosa_excerpts(download=True)
    assert list((tmp_path / "librosa").iterdir()) == []


# --- the real recordings ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return require_data()


@pytest.mark.usefixtures("data")
def test_fsdd_as_published():
    corpus = fsdd()
    assert (len(corpus), len(corpus.speakers)) == (3_000, 6)
    assert (len(corpus.split("train")), len(corpus.split("test"))) == (2_700, 300)
    assert corpus.hours * 60 == pytest.approx(21.9, abs=0.05)
    shortest = min(corpus, key=lambda utterance: utterance.num_samples)
    assert shortest.waveform().shape == (2_296,)


def test_librosa_excerpts_as_published(data, server, monkeypatch):
    monkeypatch.setattr(published_corpora, "LIBROSA_URL", server.url)
    for name in published_corpora.LIBROSA_EXCERPTS:
        shutil.copyfile(data / "librosa" / f"{name}.ogg", server.folder / f"{name}.ogg")
    corpus = librosa_excerpts(download=True)
    assert corpus.speakers == ("198", "3436", "5703")
    for utterance in corpus:
        assert utterance.waveform().shape == (utterance.num_samples,)
    shutil.rmtree(server.folder)
    assert list(librosa_excerpts()) == list(corpus), "they are where librosa keeps its examples"
