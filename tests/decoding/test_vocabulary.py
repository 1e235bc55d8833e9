"""Texts and ids, as transformers' tokenizer has them; and what is no vocabulary, or no text for one."""

import json
import re

import pytest
from transformers import Wav2Vec2CTCTokenizer

from w2v2_teach.decoding.vocabulary import Vocabulary, VocabularyError

PUBLISHED = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]  # of facebook/wav2vec2-base-960h
TEXTS = ["hello world", "a bee", "it's all well", ""]


@pytest.fixture(params=["own", "published"])
def vocabulary(request):
    return Vocabulary.from_texts(TEXTS) if request.param == "own" else Vocabulary(PUBLISHED)


def test_from_texts_has_blank_delimiter_and_sorted_characters():
    vocabulary = Vocabulary.from_texts(["bad cab", "d'accord"])
    assert vocabulary.tokens == ("<pad>", "|", "'", "a", "b", "c", "d", "o", "r")
    assert len(vocabulary) == 9
    assert vocabulary.blank == 0


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_survives(vocabulary, text):
    assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize("text", TEXTS[:3])
def test_ids_and_texts_are_transformers(vocabulary, text, tmp_path):
    vocabulary.save(tmp_path)
    capitals = vocabulary.tokens == tuple(PUBLISHED)
    theirs = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), do_lower_case=False)
    written = text.upper() if capitals else text
    ids = vocabulary.encode(text)
    assert ids == theirs(written).input_ids
    assert vocabulary.decode(ids) == theirs.decode(ids, group_tokens=False).lower()


@pytest.mark.parametrize("texts", [["Hello World", "hello world"], ["Ab"], ["HELLO", "hello"]])
def test_letters_of_both_cases_are_told_apart(texts, tmp_path):
    Vocabulary.from_texts(texts).save(tmp_path)
    vocabulary = Vocabulary.load(tmp_path / "vocab.json")
    assert [vocabulary.decode(vocabulary.encode(text)) for text in texts] == texts
    with pytest.raises(VocabularyError, match="no token for 'X' in"):
        vocabulary.encode(f"{texts[0]}X")


def test_capitals_alone_stand_for_lower_case():
    vocabulary = Vocabulary.from_texts(["HELLO WORLD"])
    assert vocabulary.encode("HELLO WORLD") == vocabulary.encode("hello world")
    assert vocabulary.decode(vocabulary.encode("HELLO WORLD")) == "hello world"
    with pytest.raises(VocabularyError, match="no token for 'ß' in 'heß'"):  # whose capital would be two letters
        Vocabulary.from_texts(["HES"]).encode("heß")


def test_white_space_and_the_delimiter_get_no_character_of_their_own():
    vocabulary = Vocabulary.from_texts(["a\tb\n", "a\u00a0|"])
    assert vocabulary.tokens == ("<pad>", "|", "a", "b")
    assert vocabulary.decode(vocabulary.encode("a\tb\n")) == "a b"
    with pytest.raises(VocabularyError, match=r"no token for '\|' in 'a \|'"):
        vocabulary.encode("a\u00a0|")


@pytest.mark.parametrize("token", ["th", "", " ", "\t", "e\u0301", "<s", "a b"])
def test_a_token_that_no_text_can_hold_is_refused(token, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "|": 1, "<s>": 2, "[UNK]": 3, "t": 4, token: 5}))
    with pytest.raises(VocabularyError, match=r"vocab\.json is no vocabulary: a token must be one") as error:
        Vocabulary.load(tmp_path / "vocab.json")
    assert str(error.value).endswith(f"these are not: {token!r}")


def test_labels_are_not_collapsed_and_special_tokens_vanish():
    vocabulary = Vocabulary(PUBLISHED)
    l = vocabulary.encode("l")  # noqa: E741
    assert vocabulary.decode(vocabulary.encode("he") + l + l + [0, 1, 2, 3] + vocabulary.encode("o")) == "hello"


def test_spaces_are_single_both_ways():
    vocabulary = Vocabulary.from_texts(["ab"])
    assert vocabulary.encode("  a  b\n") == vocabulary.encode("a b") == [2, 1, 3]
    assert vocabulary.decode([1, 1, 2, 1, 0, 1, 3, 1]) == "a b"


@pytest.mark.parametrize("tokens", [PUBLISHED, ["<pad>", "|", *"helo"]])
def test_unknown_characters_are_named_with_the_text(tokens):
    vocabulary = Vocabulary(tokens)
    with pytest.raises(VocabularyError, match=r"no token for '5' 'é' in 'hé5llo 5'") as error:
        vocabulary.encode("hé5llo 5".upper().lower())
    assert str(error.value).count("'5'") == 1
    with pytest.raises(VocabularyError, match=re.escape("'|'")):
        vocabulary.encode("h|e")


@pytest.mark.parametrize("tokens", [["<pad>", "a"], ["|", "<pad>"], ["<pad>", "|", "a", "a"], []])
def test_tokens_that_are_no_vocabulary(tokens):
    with pytest.raises(VocabularyError):
        Vocabulary(tokens)


def test_saved_as_hugging_face_saves_it(vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    ids = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert ids == {token: i for i, token in enumerate(vocabulary.tokens)}
    assert Vocabulary.load(tmp_path / "vocab.json").tokens == vocabulary.tokens


def test_loaded_in_the_order_of_the_ids(tmp_path):
    (tmp_path / "vocab.json").write_text('{"é": 2, "|": 1, "<pad>": 0}', encoding="utf-8-sig")  # as Windows editors do
    assert Vocabulary.load(tmp_path / "vocab.json").tokens == ("<pad>", "|", "é")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "[1, 2]",
        '{"<pad>": 0, "|": 2}',
        '{"<pad>": 0, "|": "1"}',
        '{"eng": {"<pad>": 0}}',
        '{"a": 0, "|": 1}',
        None,
    ],
)
def test_a_bad_file_is_named(tmp_path, content):
    path = tmp_path / "vocab.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(VocabularyError, match=re.escape(str(path))):
        Vocabulary.load(path)
