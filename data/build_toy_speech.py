"""Make the toy speech corpus: 24 synthetic speakers, exact phone and word times, the same bytes at every run.

    python data/build_toy_speech.py [--out DIR]

Needs libespeak-ng 1.51 and opusenc (Debian: espeak-ng, opus-tools). The corpus is described in its card,
`data/toy_speech/README.md`, whose tables of figures this script writes.
"""

import argparse
import csv
import io
import multiprocessing
import re
import shutil
import subprocess
import tempfile
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
import soundfile
import soxr
from espeak_ng import PAUSE, PHONE_OF_IPA, Espeak, Phone
from espeak_ng import SAMPLE_RATE as ESPEAK_RATE
from toy_card import write_card
from toy_grammar import plain_text, sentences
from tqdm import tqdm

CORPUS = Path(__file__).parent / "toy_speech"
SAMPLE_RATE = 16_000
SEED = 2006_11477
UTTERANCES_PER_SPEAKER = 40
KILOBITS_PER_SECOND = 22
OPUS_TOOLS = "opus-tools 0.2"


class Speaker(NamedTuple):
    """A row of `speakers.tsv`; pitch (0-99, 50 is the variant's own) and rate (words a minute) as espeak-ng counts."""

    speaker: str
    split: str
    language: str
    variant: str
    pitch: int
    rate: int
    description: str


SPEAKERS = [
    Speaker("s01", "train", "en-us", "m1", 40, 140, "man, American, low"),
    Speaker("s02", "train", "en-us", "Annie", 35, 155, "woman, American, bright"),
    Speaker("s03", "train", "en-us", "edward", 70, 130, "man, American, dark, Klatt synthesis"),
    Speaker("s04", "train", "en", "m3", 60, 160, "man, British"),
    Speaker("s05", "train", "en", "shelby", 60, 145, "youth, British, bright"),
    Speaker("s06", "train", "en", "Nguyen", 45, 170, "man, British, high"),
    Speaker("s07", "train", "en-gb-x-rp", "Alex", 65, 150, "man, Received Pronunciation, even"),
    Speaker("s08", "train", "en-gb-x-rp", "grandma", 45, 130, "old woman, Received Pronunciation, trembling"),
    Speaker("s09", "train", "en-gb-scotland", "ed", 50, 160, "man, Scottish"),
    Speaker("s10", "train", "en-gb-scotland", "aunty", 55, 140, "woman, Scottish, low"),
    Speaker("s11", "train", "en-gb-x-gbclan", "benjamin", 45, 150, "man, Lancashire, Klatt synthesis"),
    Speaker("s12", "train", "en-gb-x-gbclan", "zac", 15, 135, "child, Lancashire"),
    Speaker("s13", "train", "en-029", "Gene", 55, 165, "man, Caribbean"),
    Speaker("s14", "train", "en-029", "steph", 50, 140, "woman, Caribbean, dark"),
    Speaker("s15", "train", "en-us-nyc", "m8", 50, 150, "old man, New York, very low"),
    Speaker("s16", "train", "en-us-nyc", "anika", 30, 130, "woman, New York, dark"),
    Speaker("s17", "dev", "en", "robert", 60, 160, "man, British, low"),
    Speaker("s18", "dev", "en-us", "Andrea", 40, 130, "woman, American"),
    Speaker("s19", "dev", "en-gb-x-gbclan", "klatt2", 35, 140, "man, Lancashire, low, Klatt synthesis"),
    Speaker("s20", "dev", "en-us-nyc", "belinda", 50, 150, "woman, New York"),
    Speaker("s21", "test", "en-us", "sandro", 50, 150, "man, American, breathy"),
    Speaker("s22", "test", "en", "linda", 40, 140, "woman, British, bright"),
    Speaker("s23", "test", "en-gb-scotland", "f1", 50, 160, "woman, Scottish, low"),
    Speaker("s24", "test", "en-029", "m4", 60, 145, "man, Caribbean, low"),
]


class Interval(NamedTuple):
    """A phone: a row of `phones.tsv` but for the utterance's id. Times in seconds."""

    start: float
    end: float
    phone: str
    ipa: str


class Utterance(NamedTuple):
    """A row of `utterances.tsv` with its rows of `phones.tsv` and of `words.tsv`."""

    row: tuple[str, str, str, str, int, str]  # id, speaker, split, path, num_samples, text
    phones: list[tuple[str, str, str, str, str]]  # id, start, end, phone, ipa
    words: list[tuple[str, str, str, str]]  # id, start, end, word


TABLES = {
    "speakers.tsv": Speaker._fields,
    "utterances.tsv": ("id", "speaker", "split", "path", "num_samples", "text"),
    "phones.tsv": ("id", "start", "end", "phone", "ipa"),
    "words.tsv": ("id", "start", "end", "word"),
}


def sounding_phones(waveform: np.ndarray, phones: list[Phone]) -> list[Phone]:
    """Return the phones with the closure of a stop given to the stop, and without those that do not sound.

    espeak-ng reports a phone after the exact zeros it puts before it: 20-50 ms before a [t], 10 ms before a first [s].
    Left there, they would lengthen the phone before. After a pause they stay with the pause. Now and then it
    melts an [l] or [r] into the vowel before, and reports it with no length of its own.
    """
    moved = phones[:1]
    for before, phone in pairwise(phones):
        start = phone.start
        if PAUSE not in (before.ipa, phone.ipa):
            sounding = np.flatnonzero(waveform[before.start : start])
            start = before.start + int(sounding[-1]) + 1 if len(sounding) else start
        moved.append(phone._replace(start=start))
    millisecond = ESPEAK_RATE // 1000
    return [p for p, after in pairwise(moved) if after.start - p.start > millisecond] + moved[-1:]


def phone_intervals(phones: list[Phone], lead: float, duration: float) -> tuple[list[Interval], list[int]]:
    """Return the intervals that tile [0, duration], and the text position of each one's word (-1 for a pause).

    `lead` is the length of the silence put before the utterance; all times in seconds.
    """
    starts, sounds, positions = [0.0], [PAUSE], [-1]
    for phone in phones:
        if phone.ipa == PAUSE == sounds[-1]:
            continue  # espeak-ng reports some pauses twice
        starts.append(lead + phone.start / ESPEAK_RATE)
        sounds.append(phone.ipa)
        positions.append(-1 if phone.ipa == PAUSE else phone.position)
    ends = [*starts[1:], duration]
    intervals = [
        Interval(start, end, PHONE_OF_IPA[ipa], ipa) for start, end, ipa in zip(starts, ends, sounds, strict=True)
    ]
    return intervals, positions


def word_phones(sentence: str, positions: list[int]) -> list[list[int]]:
    """Return for each word of the sentence the indices of its phones.

    espeak-ng speaks "of the", "on the" and "in the" as one word: there the last two phones are those of "the".

    Raises:
        RuntimeError: a word has no phones of its own.
    """
    words = list(re.finditer(r"[^ ,]+", sentence))
    phones = [[i for i, position in enumerate(positions) if position == word.start()] for word in words]
    for k, word in enumerate(words):
        if not phones[k] and word.group() == "the" and k > 0 and len(phones[k - 1]) > 2:
            phones[k - 1], phones[k] = phones[k - 1][:-2], phones[k - 1][-2:]
    silent = [word.group() for word, own in zip(words, phones, strict=True) if not own]
    if silent or sum(map(len, phones)) != sum(position >= 0 for position in positions):
        raise RuntimeError(f"cannot tell the phones of {silent or 'each word'} in {sentence!r}")
    return phones


def in_a_room(speech: np.ndarray, before: int, after: int, generator: np.random.Generator) -> np.ndarray:
    """Return the speech with silence before and after, at a level of -34 to -24 dBFS, in noise 20-40 dB below it.

    The noise is white or pink, one utterance in two.
    """
    level, snr = generator.uniform(-34, -24), generator.uniform(20, 40)
    waveform = np.pad(speech / np.sqrt(np.mean(speech**2)), (before, after))
    spectrum = np.fft.rfft(generator.standard_normal(len(waveform)))
    if generator.random() < 0.5:  # pink: the power falls as 1/f
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, len(waveform))
    noise *= 10 ** (-snr / 20) / np.sqrt(np.mean(noise**2))
    return 10 ** (level / 20) * (waveform + noise)


def encode(waveform: np.ndarray, path: Path, serial: int) -> None:
    """Write the 16 kHz waveform as Ogg Opus; the serial number is given, for opusenc would draw one."""
    wav = io.BytesIO()
    soundfile.write(wav, waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    options = ["--quiet", "--bitrate", str(KILOBITS_PER_SECOND), "--serial", str(serial), "--padding", "0"]
    subprocess.run(["opusenc", *options, "-", path], input=wav.getvalue(), check=True)


def make_utterance(
    espeak: Espeak, speaker: Speaker, number: int, sentence: str, folder: Path | None = None
) -> Utterance:
    """Speak one sentence and return its rows; its sound goes into `folder`, where one is given.

    Raises:
        RuntimeError: the waveform leaves [-1, 1], or the words cannot be told apart.
    """
    name = f"{speaker.speaker}-{number:03d}"
    speaker_number = int(speaker.speaker[1:])
    generator = np.random.default_rng([SEED, speaker_number, number])
    rate = round(speaker.rate * generator.uniform(0.94, 1.06))
    pitch = speaker.pitch + int(generator.integers(-3, 4))
    spoken, phones = espeak.say(sentence, speaker.language, speaker.variant, rate, pitch)
    spoken = spoken[: phones[-1].start]  # up to the last pause: the silence after it is ours
    phones = sounding_phones(spoken, phones)

    speech = soxr.resample(spoken / 32768, ESPEAK_RATE, SAMPLE_RATE)  # (L,)
    before, after = (int(n) for n in generator.integers(SAMPLE_RATE // 10, SAMPLE_RATE * 4 // 10, size=2))
    waveform = in_a_room(speech, before, after, generator)
    if np.abs(waveform).max() >= 1:
        raise RuntimeError(f"{name} clips: lower the level")
    path = f"audio/{speaker.speaker}/{name}.opus"
    if folder is not None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        encode(waveform, folder / path, serial=1000 * speaker_number + number)

    intervals, positions = phone_intervals(phones, before / SAMPLE_RATE, len(waveform) / SAMPLE_RATE)
    words = plain_text(sentence).split()
    own = word_phones(sentence, positions)
    return Utterance(
        (name, speaker.speaker, speaker.split, path, len(waveform), " ".join(words)),
        [(name, f"{i.start:.4f}", f"{i.end:.4f}", i.phone, i.ipa) for i in intervals],
        [
            (name, f"{intervals[p[0]].start:.4f}", f"{intervals[p[-1]].end:.4f}", word)
            for word, p in zip(words, own, strict=True)
        ],
    )


def make_speaker(task: tuple[Speaker, list[str], Path | None]) -> list[Utterance]:
    """Return the utterances of (speaker, sentences, folder), spoken in this order."""
    speaker, lines, folder = task
    espeak = Espeak()
    return [make_utterance(espeak, speaker, number, line, folder) for number, line in enumerate(lines, start=1)]


def make_speakers(tasks: list[tuple[Speaker, list[str], Path | None]]) -> list[Utterance]:
    """Return the utterances of all speakers, each made in a process of its own.

    espeak-ng's oscillators run on from sentence to sentence and shift its times by a few samples, so that only a fresh
    process makes the same speaker twice.
    """
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        done = list(tqdm(pool.imap(make_speaker, tasks, chunksize=1), total=len(tasks), desc="speakers"))
    return [utterance for utterances in done for utterance in utterances]


def script() -> dict[str, list[str]]:
    """Return speaker → the sentences to say, commas included; no two utterances say the same."""
    taken: set[str] = set()
    lines = {}
    for number, split in enumerate(("train", "dev", "test")):
        stream = sentences(np.random.default_rng([SEED, number]), taken)
        for speaker in SPEAKERS:
            if speaker.split == split:
                lines[speaker.speaker] = list(islice(stream, UTTERANCES_PER_SPEAKER))
    return lines


def write_tables(utterances: list[Utterance], folder: Path) -> None:
    """Write the four tables into the folder."""
    rows = {
        "speakers.tsv": SPEAKERS,
        "utterances.tsv": [utterance.row for utterance in utterances],
        "phones.tsv": [row for utterance in utterances for row in utterance.phones],
        "words.tsv": [row for utterance in utterances for row in utterance.words],
    }
    for name, header in TABLES.items():
        with (folder / name).open("w", encoding="utf8", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *rows[name]])


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS, in the format of sha256sum, over the audio and the tables."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".opus", ".tsv"})
    lines = [f"{pooch.file_hash(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf8")


def check_opusenc() -> None:
    """Raise RuntimeError where opusenc is missing or not the one the corpus is made with."""
    if shutil.which("opusenc") is None:
        raise RuntimeError(f"opusenc is missing: install {OPUS_TOOLS} (Debian: opus-tools)")
    version = subprocess.run(["opusenc", "--version"], capture_output=True, text=True, check=True).stdout
    if OPUS_TOOLS not in version:
        raise RuntimeError(f"the corpus is made with {OPUS_TOOLS}; this is {version.splitlines()[0]}")


def build(out: Path) -> None:
    """Make the corpus in a folder beside `out`, then put it in the place of `out`.

    Raises:
        RuntimeError: libespeak-ng or opusenc is missing or of another version, or `out` holds something else.
    """
    check_opusenc()
    Espeak()
    out = out.resolve()
    if out != CORPUS.resolve() and out.exists() and not (out / "utterances.tsv").is_file():
        raise RuntimeError(f"{out} exists and is no toy speech corpus: name a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".toy_speech-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        lines = script()
        utterances = make_speakers([(speaker, lines[speaker.speaker], new) for speaker in SPEAKERS])
        write_tables(utterances, new)
        write_checksums(new)
        write_card(CORPUS / "README.md", new)
        old = Path(scratch) / "old"
        try:
            if out.exists():
                out.rename(old)
            new.rename(out)
        finally:
            if old.exists() and not out.exists():  # interrupted between the two
                old.rename(out)


def main() -> None:
    """Make the toy speech corpus."""
    parser = argparse.ArgumentParser(description="Make the toy speech corpus.")
    parser.add_argument("--out", type=Path, default=CORPUS, help="the folder to write; what is there is replaced")
    try:
        build(parser.parse_args().out)
    except RuntimeError as error:
        raise SystemExit(f"build_toy_speech: {error}") from error


if __name__ == "__main__":
    main()
