"""Text files as people write them: what is harmless is accepted, and what is not is named by file and line."""

import codecs
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from w2v2_teach.errors import CourseError
from w2v2_teach.speech.downloads import CorpusNotFound
from w2v2_teach.speech.intervals import Interval

WORD_DELIMITER = "|"  # as vocabularies write the space


class CorpusError(CourseError, ValueError):
    """A corpus contradicts itself or cannot be read; the message names the file, and the line where there is one."""


def visible_files(folder: Path, pattern: str) -> Iterator[Path]:
    """The files of a folder, at any depth, without the `._` companions that macOS puts beside them."""
    return (path for path in folder.rglob(pattern) if not path.name.startswith("._"))


def read_lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a text file that are not blank, each after its place: "file, line 7".

    A byte order mark and the line endings of any system are harmless. No other character ends a line.

    Raises:
        CorpusError: the file is not UTF-8.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorpusError(f"{path}, line 1: the file is UTF-16 and not UTF-8; save it as UTF-8")
    lines = []
    for number, line in enumerate(re.split(rb"\r\n|\r|\n", content), start=1):
        place = f"{path}, line {number}"
        try:
            text = line.decode("utf-8-sig")  # the mark stands inside the file where several have been joined
        except UnicodeDecodeError as error:
            wrong = f"byte 0x{line[error.start]:02x} after {line[: error.start].decode('utf-8-sig')[-20:]!r}"
            raise CorpusError(f"{place}: {wrong} is not UTF-8; save the file as UTF-8") from error
        if "\0" in text:
            raise CorpusError(f"{place}: a zero byte, as in UTF-16; save the file as UTF-8")
        if text.strip():
            lines.append((place, text))
    return lines


def read_table(path: Path, columns: Mapping[str, Callable[[str], object]]) -> Iterator[tuple[str, tuple]]:
    """The place of each row, and its named columns in the order of `columns`, each value read by its function.

    The table is tab-separated, and its first line names the columns.

    Raises:
        CorpusNotFound: there is no such file.
        CorpusError: a missing column, a row of another length, or a value that its function refuses.
    """
    if not path.is_file():
        raise CorpusNotFound(f"{path} is missing: a corpus in tables needs it")
    (_, header), *rows = read_lines(path) or [("", "")]
    names = [name.strip() for name in header.split("\t")]
    if missing := columns.keys() - set(names):
        raise CorpusError(f"{path} lacks the column {', '.join(sorted(missing))}")
    for place, line in rows:
        values = [value.strip() for value in line.split("\t")]
        if len(values) != len(names):
            raise CorpusError(f"{place}: it needs {len(names)} values, and has {len(values)}")
        row = dict(zip(names, values, strict=True))
        try:
            yield place, tuple(read(row[name]) for name, read in columns.items())
        except ValueError as error:
            raise CorpusError(f"{place}: {error}") from error


def read_intervals(folder: Path, label: str) -> dict[str, list[tuple[str, Interval]]]:
    """The intervals of each utterance, each after its place, from `phones.tsv` or `words.tsv`."""
    intervals = defaultdict(list)
    columns = {"id": str, "start": float, "end": float, label: str}
    for place, (key, *interval) in read_table(folder / f"{label}s.tsv", columns):
        intervals[key].append((place, Interval(*interval)))
    return intervals


def transcript_of(text: str, place: str) -> str:
    """A transcript in lower case, with composed letters (NFC) and one space between words, whatever stood there.

    Raises:
        CorpusError: it holds "|"; the message begins with `place`.
    """
    if WORD_DELIMITER in text:
        raise CorpusError(
            f"{place}: {WORD_DELIMITER!r} stands for the space in a vocabulary, so no transcript can hold it; remove it"
        )
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def require_new(key: str, place: str, places: dict[str, str]) -> None:
    """Note where a key stands; raises CorpusError, naming both places, where it has been noted before."""
    if key in places:
        raise CorpusError(f"{place}: {key} stands in {places[key]} already; an id must be unique")
    places[key] = place
