"""Find the phone and word times of Mini LibriSpeech: `data/mini_librispeech/alignments.tsv.gz`.

    python data/align_mini_librispeech.py FOLDER [--out FILE]     # FOLDER is train-clean-5, with FLAC or Opus

Needs pocketsphinx 5.1.1 (`pip install '.[align]'`) and, for words that its dictionary lacks, libespeak-ng 1.51 (Debian:
espeak-ng). About a quarter of an hour on one core.
"""

import argparse
import gzip
from pathlib import Path
from typing import NamedTuple

import soundfile
from espeak_ng import PAUSE, PHONE_OF_IPA, Espeak
from pocketsphinx import Decoder
from tqdm import tqdm

from w2v2_teach.speech.corpora import librispeech
from w2v2_teach.speech.mini_librispeech import TABLES

SILENCES = {"SIL", "+NSN+", "+SPN+"}  # pocketsphinx' phones for what is no speech


class Phone(NamedTuple):
    """A phone or pause of an utterance."""

    label: str  # ARPAbet, or "sil"
    steps: int  # of 10 ms


class Word(NamedTuple):
    """A word of an utterance."""

    start: int  # steps of 10 ms
    end: int


class Aligner:
    """Puts words and phones of a text in time; words unknown to the dictionary are pronounced by espeak-ng."""

    def __init__(self) -> None:
        self.decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")
        self.espeak = Espeak()

    def align(self, samples: bytes, text: str) -> tuple[list[Phone], list[Word]]:
        """16-bit samples at 16 kHz and lower-case words → phones from the first step to the last, and words.

        Two passes: the first finds the words' times, the second the phones'.

        Raises:
            ValueError: the text does not fit the sound.
        """
        for word in sorted(set(text.split())):
            if self.decoder.lookup_word(word) is None:
                self.decoder.add_word(word, " ".join(self.pronounce(word)), True)
        self.decoder.set_align_text(text)
        self._hear(samples)
        if self.decoder.hyp() is None:
            raise ValueError("the text does not fit the sound")
        self.decoder.set_alignment()
        self._hear(samples)  # do not ask for hyp() after this pass: it crashes

        phones, words = [], []
        for word in self.decoder.get_alignment():
            if word.name not in ("<s>", "</s>", "<sil>", "[NOISE]", "[SPEECH]"):
                words.append(Word(word.start, word.start + word.duration))
            for phone in word:
                label = "sil" if phone.name in SILENCES else phone.name
                phones.append(Phone(label, phone.duration))
        return phones, words

    def pronounce(self, word: str) -> list[str]:
        """ARPAbet phones without stress, as espeak-ng's American voice says the word."""
        spoken = self.espeak.say(word, "en-us", "m1", rate=150, pitch=50)[1]
        return [PHONE_OF_IPA[phone.ipa] for phone in spoken if phone.ipa != PAUSE]

    def _hear(self, samples: bytes) -> None:
        self.decoder.start_utt()
        self.decoder.process_raw(samples, full_utt=True)
        self.decoder.end_utt()


def line(utterance: str, phones: list[Phone], words: list[Word], steps: int) -> str:
    """A row of the table; neighboring pauses are joined, and what is left to the last of `steps` is a pause."""
    tiled: list[list] = []
    for label, length in [*phones, Phone("sil", steps - sum(phone.steps for phone in phones))]:
        if tiled and tiled[-1][0] == label == "sil":
            tiled[-1][1] += length
        elif length:
            tiled.append([label, length])
    times = (f"{label} {length}" for label, length in tiled)
    return f"{utterance}\t{' '.join(times)}\t{' '.join(f'{word.start} {word.end}' for word in words)}\n"


def main() -> None:
    """Align every utterance of the folder; those that cannot be are named."""
    parser = argparse.ArgumentParser(description="Find the phone and word times of Mini LibriSpeech.")
    parser.add_argument("folder", type=Path, help="train-clean-5")
    parser.add_argument("--out", type=Path, default=TABLES / "alignments.tsv.gz")
    options = parser.parse_args()
    aligner, rows = Aligner(), ["id\tphones\twords\n"]
    for utterance in tqdm(sorted(librispeech(options.folder), key=lambda utterance: utterance.id)):
        samples, _ = soundfile.read(utterance.path, dtype="int16")
        try:
            phones, words = aligner.align(samples.tobytes(), utterance.text)
        except ValueError as error:
            print(f"{utterance.id}: {error}")
            continue
        rows.append(line(utterance.id, phones, words, round(100 * utterance.duration)))
    with options.out.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as table:
        table.write("".join(rows).encode())


if __name__ == "__main__":
    main()
