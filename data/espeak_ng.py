"""libespeak-ng through ctypes: a sentence in, the waveform and the exact times of its phones out."""

import ctypes
from pathlib import Path
from typing import NamedTuple

import numpy as np

LIBRARY = "libespeak-ng.so.1"
VERSION = "1.51"  # other versions pronounce and time differently
SAMPLE_RATE = 22_050
VOLUME = 45  # 0-200; some variants clip at 70

# Constants of espeak-ng/speak_lib.h
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DO_NOT_EXIT = 2, 1, 2, 0x8000
_LIST_END, _PHONEME = 0, 7
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CHARACTERS_UTF8 = 1

# The 39 phones of CMUdict, and the symbols espeak-ng's English voices use for each. A symbol goes where it stands most
# often: [e] is Scottish "honey", [ɛə] New York "bag", [əɪ] New York "bird", [t̪] Caribbean "three". A vowel that has
# swallowed its r ("near", "four") goes to the vowel, a stressed or unstressed "er" to ER.
ARPABET: dict[str, list[str]] = {
    "AA": "ɑː ɒ a: aː aa ɑːɹ ɑə".split(),
    "AE": "æ a ɛə".split(),
    "AH": "ʌ ə ɐ".split(),
    "AO": "ɔː ɔ o ɔːɹ oːɹ oə ɔə".split(),
    "AW": "aʊ æʊ ʌʉ".split(),
    "AY": "aɪ aɪə".split(),
    "B": ["b"],
    "CH": ["tʃ"],
    "D": ["d"],
    "DH": ["ð"],
    "EH": "ɛ ɛɹ eə".split(),
    "ER": "ɜː ɜ ɚ əɪ ʌɹ əɹ".split(),
    "EY": "eɪ eː".split(),
    "F": ["f"],
    "G": ["ɡ"],
    "HH": ["h"],
    "IH": "ɪ ᵻ ɪɹ iə".split(),
    "IY": "iː i e".split(),
    "JH": ["dʒ"],
    "K": ["k"],
    "L": "l əl".split(),
    "M": ["m"],
    "N": ["n"],
    "NG": ["ŋ"],
    "OW": "oʊ əʊ oː".split(),
    "OY": ["ɔɪ"],
    "P": ["p"],
    "R": "ɹ r".split(),
    "S": ["s"],
    "SH": ["ʃ"],
    "T": "t ɾ".split(),
    "TH": "θ t̪".split(),
    "UH": "ʊ ʊɹ ʊə ʉ ʉɹ".split(),
    "UW": "uː ʉː".split(),
    "V": ["v"],
    "W": "w ʍ".split(),
    "Y": "j ʲ".split(),
    "Z": ["z"],
    "ZH": ["ʒ"],
}
PAUSE = "(.)"  # the sign for a pause in the extensions to the IPA; espeak-ng itself reports an empty string
PHONE_OF_IPA = {ipa: phone for phone, symbols in ARPABET.items() for ipa in symbols} | {PAUSE: "sil"}


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # where its word starts, counted from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("phone", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Phone(NamedTuple):
    """A phone or pause; it lasts until the next one starts."""

    start: int  # sample at 22,050 Hz
    ipa: str  # `PAUSE` for a pause
    position: int  # where its word starts in the text, counted from 0


class Espeak:
    """The library, loaded and checked."""

    def __init__(self):
        """Load libespeak-ng.

        Raises:
            RuntimeError: the library is missing or is not version 1.51.
        """
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise RuntimeError(f"{LIBRARY} is missing: install espeak-ng {VERSION} (Debian: espeak-ng)") from error
        self._library.espeak_Info.restype = ctypes.c_char_p
        folder = ctypes.c_char_p()
        self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEME_IPA | _DO_NOT_EXIT)
        version = self._library.espeak_Info(ctypes.byref(folder)).decode()
        if version.split()[0] != VERSION:
            raise RuntimeError(f"espeak-ng is version {version}; the corpus is made with {VERSION}")
        self._variants = Path(folder.value.decode()) / "voices" / "!v"

    def say(self, text: str, language: str, variant: str, rate: int, pitch: int) -> tuple[np.ndarray, list[Phone]]:
        """Speak ASCII `text`; a comma makes a pause.

        Args:
            rate: words a minute, 80-450.
            pitch: 0-99, 50 is the variant's own.

        Returns:
            The waveform, int16 at 22,050 Hz, shape (samples,), and its phones in order; the last is a pause.

        Raises:
            ValueError: there is no such language or variant.
        """
        if not (self._variants / variant).is_file():  # the library would fall back to the plain voice in silence
            raise ValueError(f"espeak-ng has no variant {variant!r}")
        if self._library.espeak_SetVoiceByName(f"{language}+{variant}".encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {language!r}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_VOLUME, VOLUME)):
            self._library.espeak_SetParameter(parameter, value, 0)

        chunks, phones = [], []

        def collect(samples, count, events):
            if samples and count > 0:
                chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            i = 0
            while events[i].type != _LIST_END:
                if events[i].type == _PHONEME:
                    ipa = events[i].phone.decode() or PAUSE
                    phones.append(Phone(events[i].sample, ipa, events[i].text_position - 1))
                i += 1
            return 0

        callback = _Callback(collect)  # kept alive until the sentence is over
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode("ascii")
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARACTERS_UTF8, None, None)
        return np.concatenate(chunks), phones
