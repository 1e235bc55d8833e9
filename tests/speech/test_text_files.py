"""Transcripts and tables as people write them: the harmless is accepted, the rest is named by file and line."""

import re

import numpy as np
import pytest
import soundfile

from w2v2_teach.speech.by_name import train_and_dev
from w2v2_teach.speech.corpora import librispeech, read_tables
from w2v2_teach.speech.downloads import CorpusNotFound
from w2v2_teach.speech.text_files import CorpusError

IDS = ("84-1-0000", "84-1-0001", "84-1-0002")
PLAIN = "84-1-0000 GO ON\n84-1-0001 HE'S HERE\n84-1-0002 YES\n"
HEADER = "id\tspeaker\tsplit\tpath\tnum_samples\ttext\n"


def recording(path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(800), 16_000)


@pytest.fixture
def chapter(tmp_path):
    """A chapter in LibriSpeech's layout: three recordings, and no transcript yet."""
    for name in IDS:
        recording(tmp_path / "speech/train/84/1" / f"{name}.flac")
    return tmp_path / "speech/train/84/1"


@pytest.fixture
def write(chapter):
    """Bytes → the corpus whose only transcript they are."""

    def transcript(content: bytes):
        (chapter / "84-1.trans.txt").write_bytes(content)
        return librispeech(chapter.parents[2])

    return transcript


def texts(corpus) -> list[str]:
    return [corpus[name].text for name in IDS]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + PLAIN,
        PLAIN.replace("\n84-1-0001", "\n\ufeff84-1-0001"),
        "\n" + PLAIN.replace("\n", "\n\n \t\n") + "\n\n",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        re.sub(r"(000\d) ", r"\1\t", PLAIN),
        re.sub(r"(000\d) ", r"\1   ", PLAIN).replace("GO ON", "GO   ON  "),
        PLAIN.replace("GO ON", "GO\u2028ON"),
        PLAIN.replace("GO ON", "GO\x85ON\u2029"),
        PLAIN.replace("GO ON", "GO\u00a0ON\x0b"),
        PLAIN.replace("GO ON", "GO\tON"),
    ],
    ids=[
        "byte order mark",
        "joined files",
        "blank lines",
        "windows",
        "old mac",
        "no last line end",
        "tab after the id",
        "spaces",
        "line separator",
        "next line",
        "no-break space",
        "tab in the text",
    ],
)
def test_what_is_harmless_changes_nothing(write, content):
    assert texts(write(content.encode())) == ["go on", "he's here", "yes"]


def test_an_empty_text_is_one(write):
    assert texts(write(b"84-1-0000\n84-1-0001 \t\n84-1-0002 YES\n")) == ["", "", "yes"]


def test_letters_are_composed(write):
    decomposed = "84-1-0000 CAFE\u0301\n84-1-0001 CAFÉ\n84-1-0002 É"
    assert texts(write(decomposed.encode())) == ["café", "café", "é"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (PLAIN.encode("utf-16"), r"84-1\.trans\.txt, line 1: the file is UTF-16"),
        (PLAIN.encode("utf-16-le"), r"84-1\.trans\.txt, line 1: a zero byte, as in UTF-16"),
        (PLAIN.replace("YES", "CAFÉ").encode("latin-1"), r"line 3: byte 0xc9 after '84-1-0002 CAF' is not UTF-8; save"),
        (PLAIN.replace("HE'S", "HE’S").encode("cp1252"), r"line 2: byte 0x92 after '84-1-0001 HE' is not UTF-8"),
        ((PLAIN + "84-1-0001 AGAIN\n").encode(), r"line 4: 84-1-0001 stands in .*84-1\.trans\.txt, line 2 already"),
        (PLAIN.replace("GO ON", "GO|ON").encode(), r"84-1\.trans\.txt, line 1: '\|' stands for the space"),
        (
            (PLAIN + "84-1-0009 WHO\n").encode(),
            r"line 4: it names 84-1-0009, but there is no 84-1-0009\.flac beside it",
        ),
    ],
    ids=["utf-16", "utf-16 without mark", "latin-1", "cp1252", "id twice", "delimiter", "no recording"],
)
def test_what_is_not_is_named_by_file_and_line(write, content, complaint):
    with pytest.raises(CorpusError, match=complaint):
        write(content)


def test_an_id_in_two_chapters(write, chapter):
    other = chapter.parent / "2"
    recording(other / f"{IDS[0]}.flac")
    (other / "84-2.trans.txt").write_text(f"{IDS[0]} GO\n")
    with pytest.raises(CorpusError, match=r"84-2\.trans\.txt, line 1: 84-1-0000 stands in .*84-1\.trans\.txt, line 1"):
        write(PLAIN.encode())


def test_companions_that_macos_leaves_are_no_part_of_a_corpus(write, chapter):
    companion = b"\0\5\x16\7\0\2\0\0Mac OS X        \xff\xfe"
    for name in ("._84-1.trans.txt", f"._{IDS[0]}.flac", "._other.flac"):
        (chapter / name).write_bytes(companion)
    assert texts(write(PLAIN.encode())) == ["go on", "he's here", "yes"]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tables(tmp_path):
    """Bytes → the corpus whose `utterances.tsv` they are."""
    recording(tmp_path / "a.wav")
    (tmp_path / "words.tsv").write_text("id\tstart\tend\tword\na\t0\t0.05\tgo\n")
    (tmp_path / "phones.tsv").write_text("id\tstart\tend\tphone\n")

    def write(content: bytes):
        (tmp_path / "utterances.tsv").write_bytes(content)
        return read_tables(tmp_path)

    return write


ROW = "a\tann\ttrain\ta.wav\t800\tGO ON\n"


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + HEADER + ROW,
        HEADER + "\n" + ROW + "\n\t\t\t\t\t\n",
        (HEADER + ROW).replace("\n", "\r\n"),
        HEADER + ROW.replace("GO ON", " GO\u2028ON"),
        HEADER.replace("\t", " \t ") + ROW,
    ],
    ids=["byte order mark", "blank lines", "windows", "line separator", "spaces in the header"],
)
def test_tables_as_people_write_them(tables, content):
    corpus = tables(content.encode())
    assert (corpus["a"].text, corpus["a"].words[0].label) == ("go on", "go")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ((HEADER + ROW).encode("utf-16"), r"utterances\.tsv, line 1: the file is UTF-16"),
        ((HEADER + ROW.replace("GO", "É")).encode("latin-1"), r"utterances\.tsv, line 2: byte 0xc9 after"),
        (HEADER.encode() + b"a\tann\ttrain\ta.wav\t800\tGO\0\n", r"utterances\.tsv, line 2: a zero byte"),
        (b"", "lacks the column id, num_samples, path, speaker, split, text"),
    ],
    ids=["utf-16", "latin-1", "zero byte", "empty"],
)
def test_tables_in_other_encodings_are_named(tables, content, complaint):
    with pytest.raises(CorpusError, match=complaint):
        tables(content)


def test_a_missing_table_is_named(tables, tmp_path):
    (tmp_path / "phones.tsv").unlink()
    with pytest.raises(CorpusNotFound, match=r"phones\.tsv is missing"):
        tables((HEADER + ROW).encode())
    with pytest.raises(CorpusNotFound, match=r"phones\.tsv is missing"):
        train_and_dev(str(tmp_path))
