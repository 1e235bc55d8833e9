"""A long corpus is decoded once into a file; what is read from there is what was recorded."""

import os

import numpy as np
import pytest
import torch
from little_run import little_corpus

from w2v2_teach.speech import waveforms
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.waveforms import map_waveforms


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setattr(waveforms, "cache_folder", lambda: tmp_path / "cache")
    return little_corpus(tmp_path / "corpus").train


def test_every_utterance_comes_back_in_half_precision(train, tmp_path):
    mapped = map_waveforms(train)
    for utterance, sound in zip(train, mapped, strict=True):
        assert sound.dtype == np.float16
        expected = normalize(utterance.waveform())
        torch.testing.assert_close(torch.from_numpy(sound.astype(np.float32)), expected, rtol=2**-11, atol=1e-7)
    (file,) = (tmp_path / "cache/waveforms").iterdir()
    assert file.stat().st_size == 2 * sum(utterance.num_samples for utterance in train)


def test_it_is_decoded_once_unless_a_recording_changes(train, tmp_path, monkeypatch):
    map_waveforms(train)
    with monkeypatch.context() as blind:
        blind.setattr(type(train[0]), "waveform", lambda _: pytest.fail("it was decoded again"))
        map_waveforms(train)
    os.utime(train[0].path, ns=(0, 0))
    map_waveforms(train)
    assert len(list((tmp_path / "cache/waveforms").iterdir())) == 2
