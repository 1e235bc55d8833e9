"""Aliasing explorer: choose a tone and a sampling rate, see the samples, and the lower tone that they look like."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from w2v2_teach.course.plots.signals import sampled
from w2v2_teach.course.widgets.explorer import Explorer
from w2v2_teach.speech.audio import alias_frequency

SECONDS = 0.0015  # what the picture shows


def explorer() -> Explorer:
    """Two sliders, the tone and the sampling rate, above the wave, its samples and its alias."""
    return Explorer(
        draw,
        tone=widgets.IntSlider(value=7_000, min=250, max=16_000, step=250, description="tone (Hz)"),
        sample_rate=widgets.IntSlider(value=8_000, min=2_000, max=16_000, step=500, description="sampling rate (Hz)"),
    )


def draw(tone: int, sample_rate: int) -> tuple[Figure, str]:
    """The figure for one setting, and what it shows in words."""
    alias = alias_frequency(tone, sample_rate)
    times = np.arange(0, SECONDS, 1 / 400_000)  # dense enough to look continuous
    sample_times = np.arange(0, SECONDS, 1 / sample_rate)
    waves = {f"the tone, {tone:,} Hz": _cosine(tone, times)}
    if alias != tone:
        waves[f"its alias, {alias:,} Hz"] = _cosine(alias, times)
    return sampled(times, waves, sample_times, _cosine(tone, sample_times)), sentence(tone, sample_rate, alias)


def sentence(tone: int, sample_rate: int, alias: float) -> str:
    """What happens to the tone, in words."""
    half = sample_rate / 2
    setting = f"A tone of {tone:,} Hz, sampled {sample_rate:,} times a second: "
    if tone < half:
        return (
            setting + f"it is below half the rate ({half:,.0f} Hz), so its samples can be no lower tone's. It is kept."
        )
    if tone == half:
        return setting + "exactly half the rate, two samples a period. Started at a zero, all of them would be zero."
    if alias == 0:
        return setting + "each sample falls on the same point of the wave, and a constant is all that is left: 0 Hz."
    return setting + f"the same samples belong to a tone of {alias:,.0f} Hz, and that is what one hears."


def _cosine(frequency: float, times: np.ndarray) -> np.ndarray:
    return np.cos(2 * np.pi * frequency * times)
