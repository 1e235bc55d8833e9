"""`w2v2-teach transcribe` writes transcripts and nothing else, and names what it cannot read."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from command_line import invoke
from tones import VOCABULARY, random_text, recognizer, speak

from w2v2_teach.cli import transcribe
from w2v2_teach.heads import Wav2Vec2ForCTC

LONG = random_text(50, seed=3)


@pytest.fixture
def tones(monkeypatch):
    """The command hears tones, whatever model it is given."""
    given = []

    def load(name, language_model=None):
        given.append((name, language_model))
        return replace(recognizer(), language_model=language_model)

    monkeypatch.setattr(transcribe.Recognizer, "from_pretrained", load)
    return given


@pytest.fixture
def folder(tmp_path):
    """Files that say "abc ee", "fad" and nothing, a long one, and two that are no sound."""
    soundfile.write(tmp_path / "one.wav", speak("abc ee"), 16_000)
    soundfile.write(tmp_path / "zwei größe 声.flac", np.stack([speak("fad", 44_100)] * 2, axis=1), 44_100)
    soundfile.write(tmp_path / "silence.ogg", np.zeros(30_000), 16_000)
    soundfile.write(tmp_path / "long.mp3", speak(LONG), 16_000, format="MP3")
    (tmp_path / "notes.wav").write_text("no sound at all")
    (tmp_path / "empty.wav").touch()
    return tmp_path


def run(*args):
    return invoke("transcribe", *args)


def test_one_file_one_line(tones, folder):
    result = run(folder / "one.wav")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "abc ee\n", "")
    assert tones == [("tiny-asr", None)]


def test_several_files_in_their_order_the_same_one_twice(tones, folder):
    result = run(*(folder / name for name in ("zwei größe 声.flac", "one.wav", "silence.ogg", "long.mp3", "one.wav")))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split("\n") == ["fad", "abc ee", "", LONG, "abc ee", ""]
    assert len(tones) == 1, "one model for all"


@pytest.mark.usefixtures("tones")
def test_a_bad_file_is_named_and_the_others_are_written(folder):
    result = run(*(folder / name for name in ("notes.wav", "one.wav", "nobody.wav", "empty.wav", "zwei größe 声.flac")))
    assert result.exit_code == 1
    assert result.stdout == "abc ee\nfad\n"
    complaints = result.stderr.strip().split("\n")
    assert len(complaints) == 3
    for complaint, name, reason in zip(
        complaints, ("notes.wav", "nobody.wav", "empty.wav"), ("is not audio", "no such file", "is empty"), strict=True
    ):
        assert name in complaint
        assert reason in complaint


@pytest.mark.usefixtures("tones")
def test_files_whose_header_lies_are_written_as_a_whole_or_named(folder):
    """FLAC from a pipe and MP3 without a count to their end; half a file, and opposite channels, not at all."""
    piped = bytearray((folder / "zwei größe 声.flac").read_bytes())
    piped[21] &= 0xF0
    piped[22:26] = bytes(4)  # STREAMINFO's number of samples
    (folder / "piped.flac").write_bytes(piped)
    long = (folder / "long.mp3").read_bytes()
    (folder / "uncounted.mp3").write_bytes(long[long.index(long[:2], 4) :])
    (folder / "half.mp3").write_bytes(long[: len(long) // 2])
    soundfile.write(folder / "opposite.wav", np.stack([speak("fad"), -speak("fad")], axis=1), 16_000)
    names = ("piped.flac", "half.mp3", "uncounted.mp3", "opposite.wav", "one.wav")
    result = invoke("transcribe", *(folder / name for name in names))
    assert result.exit_code == 1
    assert result.stdout == f"fad\n{LONG}\nabc ee\n"
    half, opposite = result.stderr.strip().split("\n")
    assert "half.mp3 breaks off or is damaged at " in half
    assert "opposite.wav: its channels are of opposite phase" in opposite


@pytest.mark.usefixtures("tones")
def test_json_has_a_line_for_each_file(folder):
    paths = [folder / "one.wav", folder / "zwei größe 声.flac", folder / "silence.ogg"]
    result = run("--format", "json", *paths)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["file"] for record in records] == [str(path) for path in paths]
    assert [record["text"] for record in records] == ["abc ee", "fad", ""]
    first, second = records[0]["words"]
    assert (first["word"], second["word"]) == ("abc", "ee")
    assert 0 <= first["start"] < first["end"] <= second["start"] < second["end"] <= len(speak("abc ee")) / 16_000
    assert 0 < first["confidence"] <= 1
    assert records[2]["words"] == []


@pytest.mark.usefixtures("tones")
def test_subtitles_of_one_recording(folder):
    result = run("--format", "srt", folder / "one.wav")
    number, times, text = result.stdout.splitlines()
    assert (number, text) == ("1", "abc ee")
    assert " --> " in times
    assert run("--format", "srt", folder / "silence.ogg").stdout == ""
    refused = run("--format", "srt", folder / "one.wav", folder / "one.wav")
    assert refused.exit_code == 2
    assert "one FILE at a time" in refused.stderr
    assert refused.stdout == ""


def test_beam_search_asks_the_toy_corpus_words(tones, folder):
    assert run("--beam", "toy", folder / "silence.ogg").stdout == "\n"
    ((_, language_model),) = tones
    assert language_model.log_prob("the", ()) > language_model.log_prob("abc", ())


@pytest.mark.usefixtures("tones")
def test_beam_search_with_words_of_ones_own(folder):
    (folder / "words.txt").write_text("Abc, ee.\n", encoding="utf-8")
    assert run("--beam", folder / "words.txt", folder / "one.wav").stdout == "abc ee\n"
    refused = run("--beam", "tooy", folder / "one.wav")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "tooy is no word model: it must be toy, librispeech, or a text file of sentences.\n"


def test_a_model_that_is_not_there_is_one_sentence(folder):
    result = run("--model", folder / "nobody", folder / "one.wav")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "nobody" in result.stderr


@pytest.mark.slow
def test_a_model_from_a_folder(folder, base_style):
    """Random weights write something, and the same thing each time."""
    Wav2Vec2ForCTC(replace(base_style, vocab_size=len(VOCABULARY))).save_pretrained(folder / "a model")
    missing = run("--model", folder / "a model", folder / "one.wav")
    assert missing.exit_code == 1
    assert missing.stderr == f"{folder / 'a model'} has no vocab.json.\n"
    VOCABULARY.save(folder / "a model")
    results = [run("--model", folder / "a model", folder / "one.wav", folder / "long.mp3") for _ in range(2)]
    assert [result.exit_code for result in results] == [0, 0]
    assert results[0].stdout == results[1].stdout
    assert results[0].stdout.count("\n") == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.usefixtures("tones")
def test_a_name_that_is_no_text(folder):
    name = os.fsencode(folder) + b"/\xff.wav"
    os.rename(os.fsencode(folder / "one.wav"), name)
    result = run(os.fsdecode(name), folder / "zwei größe 声.flac")
    assert (result.exit_code, result.stdout) == (1, "fad\n")
    assert ".wav is not audio that libsndfile reads" in result.stderr


@pytest.mark.usefixtures("tones")
def test_windows_of_another_length(folder):
    assert run("--window", "2", folder / "long.mp3").stdout == run("--window", "60", folder / "long.mp3").stdout
    assert run("--window", "1", folder / "long.mp3").exit_code == 2


def test_nothing_to_transcribe():
    assert run().exit_code == 2
