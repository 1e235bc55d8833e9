"""Word models by name: of a text file, and of transcripts that are read once."""

from dataclasses import replace

import pytest
from little_run import little_corpus

from w2v2_teach.decoding import word_models
from w2v2_teach.decoding.word_models import word_model
from w2v2_teach.errors import CourseError
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.downloads import CorpusNotFound


def test_a_text_file_of_ones_own(tmp_path):
    (tmp_path / "mine.txt").write_text("“Don't stop”, I said; 3 times.\n\nTwenty-one ÉTÉS!\n", encoding="utf-8")
    model = word_model(str(tmp_path / "mine.txt"))
    assert set(model.words) == {"</s>", "<unk>", "don't", "stop", "i", "said", "times", "twenty", "one", "étés"}
    assert model.log_prob("said", ["don't", "stop", "i"]) > model.log_prob("stop", ["don't", "stop", "i"])


def test_what_is_no_word_model_is_named(tmp_path):
    with pytest.raises(CorpusNotFound, match="no-name is no word model: it must be toy, librispeech, or a text file"):
        word_model("no-name")
    (tmp_path / "sound.wav").write_bytes(b"RIFF\xff\xfe\x80")
    with pytest.raises(CourseError, match=r"sound\.wav, line 1: .* is not UTF-8"):
        word_model(str(tmp_path / "sound.wav"))


def test_librispeech_is_read_once(tmp_path, monkeypatch):
    speech = little_corpus(tmp_path / "corpus").train
    said = Corpus("human", [replace(speech[0], text="o'er the sea"), replace(speech[1], split="test", text="no")])
    monkeypatch.setattr(word_models, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(word_models, "mini_librispeech", lambda: said)
    first = word_model("librispeech")
    assert set(first.words) == {"</s>", "<unk>", "o'er", "the", "sea"}, "the test speakers' words are not known"
    monkeypatch.setattr(word_models, "mini_librispeech", lambda: pytest.fail("it is read again"))
    assert word_model("librispeech").words == first.words
