"""The journey explorer shows the right samples, sounds and codes wherever its controls stand."""

import html
from pathlib import Path

import pytest
import soundfile
import torch

from w2v2_teach.config import TINY
from w2v2_teach.course.widgets.journey import describe, journey
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.speech.corpora import Utterance
from w2v2_teach.speech.intervals import Interval

FIELD = receptive_field(TINY)[-1]
LENGTHS = {("ann", 1): 2_000, ("ann", 2): 1_400, ("bob", 1): 1_700, ("bob", 2): 2_300}


def make(folder: Path, speaker: str, sentence: int, samples: int) -> Utterance:
    path = folder / f"{speaker}{sentence}.wav"
    soundfile.write(path, 0.1 * torch.randn(samples).numpy(), 16_000)
    end = samples / 16_000
    phones = (Interval(0, 0.03, "sil"), Interval(0.03, 0.06, "AY"), Interval(0.06, end, "sil"))
    words = (Interval(0.03, 0.06, "i"),)
    return Utterance(f"{speaker}{sentence}", speaker, "test", path, "i", samples, phones, words)


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journey")
    return [make(folder, *key, samples) for key, samples in LENGTHS.items()]


@pytest.fixture(scope="module")
def codes(utterances):
    frames = [TINY.frame_lengths(u.num_samples) for u in utterances]
    return [torch.arange(2 * n).reshape(n, 2) % 64 for n in frames]  # (T, G)


def test_describe_by_hand(utterances, codes):
    lines = describe(utterances[0], codes[0], 1, FIELD)  # samples 320 … 719: 0.02 s to 0.045 s, its middle at 0.0325 s
    assert lines == [
        "frame 1 of 0 … 5",
        "samples 320 … 719",
        "0.0200 s to 0.0450 s",
        "sounds in this window: sil, AY",
        "in the word “i”",
        "codes 2 and 3",
    ]
    assert "between words" in describe(utterances[0], codes[0], 0, FIELD)


@pytest.mark.slow
def test_every_setting_changes_the_picture_and_says_the_right_thing(utterances, codes):
    explorer = journey(utterances, codes, FIELD)
    speaker, sentence, frame = (explorer.controls[name] for name in ("speaker", "sentence", "frame"))
    pictures = set()
    for own, key in zip(codes, LENGTHS, strict=True):
        speaker.value, sentence.value = key
        assert frame.max == len(own) - 1
        for t in range(len(own)):
            frame.value = t
            assert explorer.alt.startswith(f"{key[0]} says “i”. frame {t} of 0 … {len(own) - 1}; samples {320 * t:,} …")
            assert f"codes {own[t, 0]} and {own[t, 1]}" in explorer.alt
            assert html.escape(explorer.alt) in explorer.view.value
            pictures.add(explorer.png)
    assert len(pictures) == sum(TINY.frame_lengths(u.num_samples) for u in utterances)


def test_a_shorter_sentence_pulls_the_cursor_back(utterances, codes):
    explorer = journey(utterances, codes, FIELD)
    explorer.controls["frame"].value = 5
    explorer.controls["sentence"].value = 2
    assert explorer.controls["frame"].value == len(codes[1]) - 1 < 5
    assert f"frame {len(codes[1]) - 1} of" in explorer.alt
