"""Yardsticks describe the frames that the encoder describes."""

import numpy as np
import pytest

from w2v2_teach.analysis.yardsticks import log_mel, log_mel_in_context, mfcc, yardstick_outputs
from w2v2_teach.config import TINY
from w2v2_teach.feature_encoder import frame_times


@pytest.mark.parametrize("samples", [400, 719, 720, 4_000, 16_001])
def test_as_many_frames_as_the_encoder_makes(samples):
    waveform = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    T = TINY.frame_lengths(samples)
    assert log_mel(waveform).shape == (T, 40)
    assert mfcc(waveform).shape == (T, 39)
    assert log_mel_in_context(waveform).shape == (T, 440)


def test_a_click_is_in_the_frames_that_hear_it():
    waveform = np.zeros(16_000, dtype=np.float32)
    waveform[3_400] = 1.0  # frames 10 (3200 to 3600) only: frame 9 ends at 3280, frame 11 begins at 3520
    loud = np.flatnonzero(log_mel(waveform).max(axis=1) > -10)
    assert loud.tolist() == [10]


def test_context_stands_in_order():
    waveform = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    alone, joined = log_mel(waveform), log_mel_in_context(waveform)
    np.testing.assert_array_equal(joined[20].reshape(40, 11).T, alone[15:26])
    np.testing.assert_array_equal(joined[0].reshape(40, 11).T[:6], np.repeat(alone[:1], 6, axis=0))


def test_times_are_those_of_the_encoders_frames(corpus):
    for utterance, output in zip(corpus, yardstick_outputs(corpus), strict=True):
        T = len(output.layers["log-mel"])
        np.testing.assert_allclose(output.times, frame_times(TINY, T))
        assert output.utterance is utterance
