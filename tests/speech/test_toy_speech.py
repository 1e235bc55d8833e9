"""The bundled corpus: its tables, its sound, its card's promises, and the script that makes it."""

import csv
import ctypes.util
import hashlib
import shutil
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from requirements import require

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.speech.audio import load_audio

DATA = Path(__file__).parents[2] / "data"
CORPUS = DATA / "toy_speech"
sys.path.insert(0, str(DATA))  # for the builder's worker processes too
import build_toy_speech as builder  # noqa: E402
import espeak_ng  # noqa: E402
import toy_card  # noqa: E402
import toy_grammar  # noqa: E402

SPLITS = {"train": 16, "dev": 4, "test": 4}


def read(name):
    with (CORPUS / name).open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def speakers():
    return read("speakers.tsv")


@pytest.fixture(scope="module")
def utterances():
    return {row["id"]: row for row in read("utterances.tsv")}


def by_utterance(name):
    rows = defaultdict(list)
    for row in read(name):
        rows[row["id"]].append(row | {"start": float(row["start"]), "end": float(row["end"])})
    return rows


@pytest.fixture(scope="module")
def phones():
    return by_utterance("phones.tsv")


@pytest.fixture(scope="module")
def words():
    return by_utterance("words.tsv")


@pytest.fixture(scope="module")
def sound(utterances):
    """The first two utterances of every speaker, loaded."""
    chosen = [row for name, row in utterances.items() if name.endswith(("-001", "-002"))]
    return {row["id"]: load_audio(CORPUS / row["path"]).numpy() for row in chosen}


# Tables


def test_speakers_are_split_16_4_4(speakers, utterances):
    assert Counter(row["split"] for row in speakers) == SPLITS
    split = {row["speaker"]: row["split"] for row in speakers}
    assert len(split) == 24
    assert all(row["split"] == split[row["speaker"]] for row in utterances.values())
    assert {row["speaker"] for row in utterances.values()} == set(split)
    assert len({row["variant"] for row in speakers}) == 24


def test_no_two_utterances_say_the_same_sentence(utterances):
    assert max(Counter(row["text"] for row in utterances.values()).values()) == 1


def test_lengths(utterances):
    seconds = np.array([int(row["num_samples"]) for row in utterances.values()]) / SAMPLE_RATE
    assert 30 * 60 < seconds.sum() < 60 * 60
    assert seconds.min() > 1.5
    assert seconds.max() < 5


def test_paths_and_files_agree(utterances):
    assert {row["path"] for row in utterances.values()} == {
        path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.opus")
    }
    assert all(row["path"] == f"audio/{row['speaker']}/{row['id']}.opus" for row in utterances.values())


def test_phones_tile_every_utterance(utterances, phones):
    assert phones.keys() == utterances.keys()
    for name, row in utterances.items():
        own = phones[name]
        assert own[0]["start"] == 0
        assert own[-1]["end"] == round(int(row["num_samples"]) / SAMPLE_RATE, 4)
        assert [p["end"] for p in own[:-1]] == [p["start"] for p in own[1:]], name
        assert all(p["end"] > p["start"] for p in own), name
        assert own[0]["phone"] == own[-1]["phone"] == "sil"


def test_words_are_those_of_the_text(utterances, words):
    assert words.keys() == utterances.keys()
    for name, row in utterances.items():
        assert [word["word"] for word in words[name]] == row["text"].split(), name


def test_words_begin_and_end_with_phones_and_leave_out_only_pauses(phones, words):
    for name, own in words.items():
        starts, ends = {p["start"] for p in phones[name]}, {p["end"] for p in phones[name]}
        assert all(word["start"] in starts and word["end"] in ends for word in own), name
        assert all(before["end"] <= word["start"] for before, word in pairwise(own)), name
        between = {
            p["phone"] for p in phones[name] if not any(w["start"] <= p["start"] and p["end"] <= w["end"] for w in own)
        }
        assert between == {"sil"}, name


def test_every_phone_is_its_symbol_folded(phones):
    rows = [row for own in phones.values() for row in own]
    assert {(row["ipa"], row["phone"]) for row in rows} == set(espeak_ng.PHONE_OF_IPA.items())


# What the corpus is for


def test_every_split_has_every_phone_of_english(utterances, phones):
    cmudict = set(
        "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
    )
    for split in SPLITS:
        found = Counter(p["phone"] for name, own in phones.items() if utterances[name]["split"] == split for p in own)
        assert found.keys() == cmudict | {"sil"}
        assert min(found.values()) >= 5, (split, found.most_common()[-1])


def test_vocabulary_is_large_and_known_from_train(utterances):
    of = {split: {w for r in utterances.values() if r["split"] == split for w in r["text"].split()} for split in SPLITS}
    assert of["train"] == set(toy_grammar.vocabulary())
    assert len(of["train"]) >= 200
    assert of["dev"] | of["test"] <= of["train"]


@pytest.mark.parametrize(
    ("keywords", "at_least"),
    [(toy_grammar.DIGITS, 10), (toy_grammar.COMMANDS, 8), (toy_grammar.COLORS, 4)],
    ids=["digits", "commands", "colors"],
)
def test_every_split_has_every_keyword(utterances, keywords, at_least):
    for split in SPLITS:
        count = Counter(w for r in utterances.values() if r["split"] == split for w in r["text"].split())
        assert min(count[word] for word in keywords) >= at_least, split


def test_no_two_words_are_spelt_apart_and_spoken_alike(phones, words):
    """By the symbols of espeak-ng, in the commonest pronunciation, within a speaker."""
    spoken = defaultdict(Counter)  # (speaker, word) → how often it is said in which way
    for name, own in words.items():
        for word in own:
            inside = [p["ipa"] for p in phones[name] if word["start"] <= p["start"] and p["end"] <= word["end"]]
            spoken[name[:3], word["word"]][" ".join(inside)] += 1
    said = [(speaker, ways.most_common(1)[0][0]) for (speaker, _), ways in spoken.items()]
    assert [twice for twice, count in Counter(said).items() if count > 1] == []


# Sound


def test_files_are_as_long_as_the_table_says(utterances, sound):
    assert all(len(waveform) == int(utterances[name]["num_samples"]) for name, waveform in sound.items())


def test_levels_vary_and_nothing_clips(sound):
    level = [20 * np.log10(np.sqrt(np.mean(waveform**2))) for waveform in sound.values()]
    assert np.ptp(level) > 5
    assert max(np.abs(waveform).max() for waveform in sound.values()) < 1


def test_times_point_at_the_sound(phones, sound):
    """In every utterance the silence before and after is far below the vowels; a word's sound is above both."""
    for name, waveform in sound.items():

        def power(intervals, waveform=waveform):
            pieces = [waveform[round(p["start"] * SAMPLE_RATE) : round(p["end"] * SAMPLE_RATE)] for p in intervals]
            return 10 * np.log10(np.mean(np.concatenate(pieces) ** 2))

        own = phones[name]
        vowels = [p for p in own if p["phone"][0] in "AEIOU"]
        assert power(vowels) - max(power(own[:1]), power(own[-1:])) > 14, name


def test_boundaries_are_sharp(phones, sound):
    """The first 10 ms of the speech are louder than the last 10 ms before it, the last 10 ms than those after it."""
    gains = []
    n = SAMPLE_RATE // 100
    for name, waveform in sound.items():
        start, end = round(phones[name][1]["start"] * SAMPLE_RATE), round(phones[name][-1]["start"] * SAMPLE_RATE)
        for quiet, loud in ((start - n, start), (end, end - n)):
            gains.append(np.sum(waveform[loud : loud + n] ** 2) / np.sum(waveform[quiet : quiet + n] ** 2))
    assert 10 * np.log10(np.median(gains)) > 10


# Card and checksums


def test_checksums_match_and_cover_every_file():
    listed = dict(reversed(line.split("  ")) for line in (CORPUS / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(CORPUS).as_posix(): path for path in CORPUS.rglob("*") if path.is_file()}
    assert files.keys() - {"README.md", "SHA256SUMS"} == listed.keys()
    assert [
        name for name, digest in listed.items() if digest != hashlib.sha256(files[name].read_bytes()).hexdigest()
    ] == []


def test_the_corpus_is_under_20_megabytes():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 20e6


def test_the_card_gives_the_figures_of_the_tables(utterances, phones, tmp_path):
    card = (CORPUS / "README.md").read_text(encoding="utf8")
    assert toy_card.figures(CORPUS) in card
    for split, speakers in SPLITS.items():
        rows = [row for row in utterances.values() if row["split"] == split]
        minutes = sum(int(row["num_samples"]) for row in rows) / SAMPLE_RATE / 60
        count = sum(len(row["text"].split()) for row in rows)
        assert f"| {split} | {speakers} | {len(rows)} | {minutes:.1f} | {count} |" in card
    sil = Counter(utterances[name]["split"] for name, own in phones.items() for p in own if p["phone"] == "sil")
    assert f"| sil | (.) | {sil['train']} | {sil['dev']} | {sil['test']} |" in card

    (tmp_path / "README.md").write_text("no place for figures")
    with pytest.raises(RuntimeError, match="restore it from the repository"):
        toy_card.write_card(tmp_path / "README.md", tmp_path)


# The builder


@pytest.fixture
def _tools():
    require(ctypes.util.find_library("espeak-ng"), "libespeak-ng 1.51 (Debian: espeak-ng)")
    require(shutil.which("opusenc"), "opusenc (Debian: opus-tools)")


@pytest.mark.usefixtures("_tools")
def test_two_builds_give_the_same_bytes_and_the_committed_rows(tmp_path):
    lines = builder.script()
    some = [builder.SPEAKERS[2], builder.SPEAKERS[22]]  # Klatt and formant synthesis
    runs = []
    for folder in (tmp_path / "once", tmp_path / "twice"):
        runs.append(builder.make_speakers([(speaker, lines[speaker.speaker][:3], folder) for speaker in some]))
    files = sorted(path.relative_to(tmp_path / "once") for path in (tmp_path / "once").rglob("*.opus"))
    assert len(files) == 6
    assert all((tmp_path / "once" / f).read_bytes() == (tmp_path / "twice" / f).read_bytes() for f in files)
    assert runs[0] == runs[1]

    names = {utterance.row[0] for utterance in runs[0]}
    for table, rows in (
        ("utterances.tsv", [tuple(map(str, u.row)) for u in runs[0]]),
        ("phones.tsv", [row for u in runs[0] for row in u.phones]),
        ("words.tsv", [row for u in runs[0] for row in u.words]),
    ):
        assert rows == [tuple(row.values()) for row in read(table) if row["id"] in names]


@pytest.mark.usefixtures("_tools")
def test_opus_does_not_move_the_sound(tmp_path, monkeypatch):
    clean = {}
    encode = builder.encode
    monkeypatch.setattr(builder, "encode", lambda x, path, serial: (clean.update({path: x}), encode(x, path, serial)))
    sentence = "turn the light off, and then stop"
    builder.make_speaker((builder.SPEAKERS[0], [sentence], tmp_path))
    ((path, before),) = clean.items()
    after = load_audio(path).numpy()
    assert len(after) == len(before)
    lags = range(-40, 41)
    likeness = [np.dot(before[40:-40], np.roll(after, lag)[40:-40]) for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0


@pytest.mark.usefixtures("_tools")
@pytest.mark.parametrize("interrupted", ["make_speakers", "rename"])
def test_an_interrupted_build_leaves_the_old_corpus_whole(tmp_path, monkeypatch, interrupted):
    old = tmp_path / "corpus"
    old.mkdir()
    (old / "utterances.tsv").write_text("old")
    rename = Path.rename

    def speak(_tasks):
        if interrupted == "make_speakers":
            raise KeyboardInterrupt
        return []

    def move(path, target):
        if path.name == "new":  # the old corpus has been moved away, the new one not yet in
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(builder, "make_speakers", speak)
    monkeypatch.setattr(builder, "write_card", lambda _template, _folder: None)
    monkeypatch.setattr(Path, "rename", move)
    with pytest.raises(KeyboardInterrupt):
        builder.build(old)
    assert (old / "utterances.tsv").read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.usefixtures("_tools")
def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RuntimeError, match="is no toy speech corpus"):
        builder.build(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.usefixtures("_tools")
@pytest.mark.parametrize(("language", "variant"), [("en-us", "nobody"), ("xx", "m1")])
def test_an_unknown_voice_is_refused(language, variant):
    with pytest.raises(ValueError, match=f"espeak-ng has no .*{'xx' if language == 'xx' else 'nobody'}"):
        espeak_ng.Espeak().say("yes", language, variant, 150, 50)


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(espeak_ng, "LIBRARY", "libespeak-ng-of-nowhere.so")
    with pytest.raises(RuntimeError, match=r"of-nowhere.so is missing: install espeak-ng 1\.51"):
        espeak_ng.Espeak()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"opusenc is missing: install opus-tools 0\.2"):
        builder.check_opusenc()


def test_joined_words_are_parted_and_lost_ones_refused():
    """ "on the left" with "on the" spoken as one word: phones of "on" AA N, of "the" DH AH."""
    assert builder.word_phones("on the left", [-1, 0, 0, 0, 0, 7, 7, 7, 7, -1]) == [[1, 2], [3, 4], [5, 6, 7, 8]]
    with pytest.raises(RuntimeError, match="left"):
        builder.word_phones("on the left", [-1, 0, 0, 3, 3, -1])


def test_a_closure_goes_to_its_stop_and_silent_phones_go():
    """ "at": a vowel to sample 100, a closure to 500, then [t]; an [l] of no length at 100 is dropped."""
    waveform = np.ones(800, dtype=np.int16)
    waveform[100:500] = 0
    phones = [espeak_ng.Phone(0, "æ", 0), espeak_ng.Phone(500, "t", 0), espeak_ng.Phone(800, espeak_ng.PAUSE, 0)]
    assert [p.start for p in builder.sounding_phones(waveform, phones)] == [0, 100, 800]
    melted = [phones[0], espeak_ng.Phone(790, "l", 0), phones[2]]
    assert [p.ipa for p in builder.sounding_phones(np.ones(800), melted)] == ["æ", espeak_ng.PAUSE]


def test_a_deck_deals_every_card_equally_often():
    deck = toy_grammar.Deck(list("abc"), np.random.default_rng(0))
    assert Counter(deck.draw() for _ in range(12)) == {"a": 4, "b": 4, "c": 4}
