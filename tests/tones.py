"""A recognizer without weights: each letter is a tone, so that what a file says is known exactly."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from w2v2_teach.config import TINY
from w2v2_teach.decoding.transcription import Recognizer
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.heads import CTCOutput

VOCABULARY = Vocabulary(["<pad>", "|", "a", "b", "c", "d", "e", "f"])
FIELD = receptive_field(TINY)[-1]
TONE, SILENCE = 0.07, 0.05  # s
HERTZ = {letter: 400 * i for i, letter in enumerate(" abcdef", start=1)}  # whole periods in a frame; fits 8 kHz


class Tones(nn.Module):
    """Scores the letters of a frame by the strength of their tones, and hears nothing outside the frame."""

    config = replace(TINY, vocab_size=len(VOCABULARY))

    def __init__(self) -> None:
        super().__init__()
        self.device = nn.Parameter(torch.zeros(()))  # as every model, this one is somewhere

    def forward(self, input_values: torch.Tensor) -> CTCOutput:
        """(B, L) → (B, T, V)"""
        frames = input_values.unfold(1, FIELD.samples, FIELD.hop)  # (B, T, samples)
        bins = [hz * FIELD.samples // 16_000 for hz in HERTZ.values()]
        strengths = torch.fft.rfft(frames).abs()[:, :, bins] / FIELD.samples  # (B, T, V - 1)
        blank = torch.full_like(strengths[:, :, :1], 0.3)
        return CTCOutput(40 * torch.cat([blank, strengths], dim=2), None)


def recognizer() -> Recognizer:
    return Recognizer(Tones().eval(), VOCABULARY)


def speak(text: str, rate: int = 16_000) -> np.ndarray:
    """(L,) the tones of a text; those of a space say that a word ends."""
    pause = np.zeros(round(SILENCE * rate))
    time = np.arange(round(TONE * rate)) / rate
    sounds = [pause]
    for letter in text:
        sounds += [0.3 * np.sin(2 * np.pi * HERTZ[letter] * time), pause]
    return np.concatenate(sounds).astype(np.float32)


def random_text(words: int, seed: int = 0) -> str:
    """Words of one to six letters, double letters among them."""
    generator = np.random.default_rng(seed)
    return " ".join("".join(generator.choice(list("abcdef"), generator.integers(1, 7))) for _ in range(words))
