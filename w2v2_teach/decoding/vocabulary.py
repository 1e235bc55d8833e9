"""Text ↔ token ids: the characters that a recognizer writes, the blank of CTC, and a token for the space."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from w2v2_teach.errors import CourseError
from w2v2_teach.files import replacing
from w2v2_teach.speech.text_files import WORD_DELIMITER

BLANK, DELIMITER = "<pad>", WORD_DELIMITER  # as Hugging Face writes them; the blank has id 0
SPECIAL = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")  # tokens that are no characters
FILE = "vocab.json"


class VocabularyError(CourseError, ValueError):
    """A text with a character that has no token, or tokens that are no vocabulary; the message says which."""


class Vocabulary:
    """The tokens of a recognizer: the blank, a delimiter between words, and single characters.

    Published vocabularies also hold special tokens (<s>, </s>, <unk>): these never come out of a text, and vanish from
    one. Where all letters are capitals, texts are in lower case nevertheless; a vocabulary with letters of both cases
    tells them apart, in texts too.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        """Give the tokens in the order of their ids, "<pad>" first and "|" anywhere.

        Raises:
            VocabularyError: a token that occurs twice, another first one, no "|", or a token that is neither special
                nor one visible character.
        """
        self.tokens = tuple(tokens)
        self.blank = 0
        if len(set(self.tokens)) < len(self.tokens):
            raise VocabularyError(f"two tokens are the same: {' '.join(self.tokens)}")
        if self.tokens[:1] != (BLANK,) or DELIMITER not in self.tokens:
            raise VocabularyError(f"needed are {BLANK!r} with id 0 and {DELIMITER!r}: {' '.join(self.tokens)}")
        if bad := [t for t in self.tokens if not SPECIAL.fullmatch(t) and (len(t) != 1 or t.isspace())]:
            raise VocabularyError(
                f"a token must be one visible character, or a special one such as <s> or [UNK]; these are not: "
                f"{', '.join(map(repr, bad))}"
            )
        characters = [token for token in self.tokens if len(token) == 1]
        self._capitals = any(c.isupper() for c in characters) and not any(c.islower() for c in characters)
        # what each token is in a text: the space, a character, or nothing
        self._written = [" " if t == DELIMITER else self._fold(t) if len(t) == 1 else "" for t in self.tokens]
        self._ids = {character: i for i, character in enumerate(self._written) if character}

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Vocabulary:
        """The blank, the delimiter, and every visible character of the texts, sorted.

        A "|" in a text gets no character of its own: `encode` refuses that text.
        """
        characters = {character for text in texts for character in text if not character.isspace()}
        return cls([BLANK, DELIMITER, *sorted(characters - {DELIMITER})])

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a `vocab.json` of Hugging Face: token → id.

        Raises:
            VocabularyError: the file cannot be read, or is something else; names it.
        """
        try:
            ids = json.loads(Path(path).read_text(encoding="utf-8-sig"))
            if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(ids))):
                raise VocabularyError("it does not give the ids 0, 1, 2, … to tokens")
            return cls(sorted(ids, key=ids.__getitem__))
        except (OSError, TypeError, ValueError) as error:  # ids that are no numbers cannot be sorted
            raise VocabularyError(f"{path} is no vocabulary: {error}") from error

    def save(self, folder: str | Path) -> None:
        """Write `vocab.json` into an existing folder."""
        ids = {token: i for i, token in enumerate(self.tokens)}
        with replacing(Path(folder) / FILE) as path:
            path.write_text(json.dumps(ids, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Text → ids of its characters, with one delimiter between words.

        Raises:
            VocabularyError: a character without a token; names all of them, and the text.
        """
        text = self._fold(" ".join(text.split()))
        if unknown := sorted(set(text).difference(self._ids)):
            raise VocabularyError(f"no token for {' '.join(map(repr, unknown))} in {text!r}")
        return [self._ids[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """Ids → text, one character each: repeats stay, for these are labels and not frames (see `greedy_decode`).

        Spaces at the ends, and second ones in a row, are dropped.
        """
        return " ".join("".join(self._written[i] for i in ids).split())

    def _fold(self, text: str) -> str:
        return text.lower() if self._capitals else text
