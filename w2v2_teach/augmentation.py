"""One recording as many: other voices, microphones and rooms, so that a small corpus sounds like a larger one.

The paper needs none of this, with 960 hours by 2,338 people. TINY hears half an hour by sixteen.
"""

from __future__ import annotations

import numpy as np
import soxr
import torch
from torch import Tensor

from w2v2_teach.audio import SAMPLE_RATE

SPEED = 0.15  # most that a recording is sped up or slowed down by, as a share
TILT = 0.6  # most that is added of the sample before, or taken away: a duller or a brighter microphone
SNR = 10.0, 40.0  # loudest and softest noise, in dB below the speech
TELEPHONE = 8_000  # Hz, the sample rate of a telephone line: nothing is left above half of it
CHANCE = 0.25  # of noise, and of the telephone


def vary(waveform: Tensor, chance: np.random.Generator) -> Tensor:
    """Play a recording at another speed, on another microphone, perhaps with noise and over the telephone.

    Speed moves pitch and resonances along, as a shorter or longer vocal tract does.

    Args:
        waveform: (L,) at 16 kHz.
        chance: source of the random numbers.

    Returns:
        (L',), with L / 1.15 ≤ L' ≤ L / 0.85 up to rounding.
    """
    samples = waveform.numpy()
    samples = soxr.resample(samples, SAMPLE_RATE * chance.uniform(1 - SPEED, 1 + SPEED), SAMPLE_RATE)
    samples[1:] += chance.uniform(-TILT, TILT) * samples[:-1]
    if chance.random() < CHANCE:
        level = samples.std() * 10 ** (-chance.uniform(*SNR) / 20)
        samples = samples + level * chance.standard_normal(len(samples), dtype=np.float32)
    if chance.random() < CHANCE:
        narrow = soxr.resample(samples, SAMPLE_RATE, TELEPHONE)
        samples = soxr.resample(narrow, TELEPHONE, SAMPLE_RATE)
    return torch.from_numpy(samples)
