"""Recordings that sound as if by another voice, or through another microphone."""

import numpy as np
import pytest
import torch

from w2v2_teach.augmentation import SPEED, vary

RATE = 16_000
TIME = torch.arange(2 * RATE) / RATE  # s


class Choices:
    """A source of chance that has been told what to say."""

    def __init__(self, speed=1.0, tilt=0.0, snr=None, telephone=False):
        self._numbers = iter([speed, tilt, snr])
        self._coins = iter([0.0 if yes else 1.0 for yes in (snr is not None, telephone)])

    def uniform(self, low, high):
        number = next(self._numbers)
        assert low <= number <= high
        return number

    def random(self):
        return next(self._coins)

    def standard_normal(self, size, dtype):
        return np.random.default_rng(0).standard_normal(size, dtype=dtype)


def tone(hz: float) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hz * TIME)


def power(waveform: torch.Tensor, low: float, high: float) -> float:
    """Mean square of what lies between two frequencies, in Hz."""
    window = torch.hann_window(len(waveform))
    spectrum = torch.fft.rfft(waveform * window).abs() ** 2
    hz = torch.fft.rfftfreq(len(waveform), 1 / RATE)
    return float(2 * spectrum[(hz >= low) & (hz < high)].sum() / len(waveform) / (window**2).sum())


@pytest.mark.parametrize("speed", [1 - SPEED, 1.1, 1 + SPEED])
def test_speed_moves_pitch_and_length(speed):
    faster = vary(tone(1_000), Choices(speed=speed))
    assert len(faster) == pytest.approx(len(TIME) / speed, abs=1)
    assert faster.dtype == torch.float32
    assert power(faster, 1_000 * speed - 5, 1_000 * speed + 5) == pytest.approx(0.5, rel=0.01)


def test_tilt_is_a_filter_of_two_samples():
    x = torch.randn(4_000, generator=torch.Generator().manual_seed(0))
    bright, dull = vary(x.clone(), Choices(tilt=-0.5)), vary(x.clone(), Choices(tilt=0.5))
    torch.testing.assert_close(dull[1:], x[1:] + 0.5 * x[:-1], atol=1e-4, rtol=0)
    torch.testing.assert_close(bright[1:], x[1:] - 0.5 * x[:-1], atol=1e-4, rtol=0)


def test_noise_has_the_level_that_was_drawn():
    noisy = vary(tone(1_000), Choices(snr=20.0))
    assert power(noisy, 0, 900) + power(noisy, 1_100, 8_001) == pytest.approx(0.5 / 100, rel=0.05)


def test_nothing_above_4_kHz_passes_the_telephone():
    heard = vary(tone(1_000) + tone(5_000), Choices(telephone=True))
    assert power(heard, 900, 1_100) == pytest.approx(0.5, rel=0.01)
    assert power(heard, 4_100, 8_001) < 1e-6


def test_the_same_chance_gives_the_same_sound_and_leaves_the_original_alone():
    x = tone(500)
    one, again, other = (vary(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert len(one) != len(other)
    assert torch.equal(x, tone(500))


def test_what_is_promised_of_the_length_holds():
    for seed in range(50):
        length = len(vary(tone(500), np.random.default_rng(seed)))
        assert len(TIME) / (1 + SPEED) - 1 <= length <= len(TIME) / (1 - SPEED) + 1
    for length in range(440, 900):  # a crop of this length, taken with room for the highest speed
        taken = torch.zeros(int(np.ceil(length * (1 + SPEED))))
        assert len(vary(taken, Choices(speed=1 + SPEED, telephone=True))) >= length
