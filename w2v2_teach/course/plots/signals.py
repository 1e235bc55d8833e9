"""Waveforms as numbers: samples and aliases, spectra and spectrograms, levels, batches and their padding."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.speech import STEPS, draw_intervals, draw_spectrogram, draw_waveform
from w2v2_teach.course.plots.style import COLORS, Arrays, subplots, titled
from w2v2_teach.speech.corpora import Utterance

# Not the course's LINES: here "lit" is the color of samples.
LINES = [(COLORS["c"], "-"), (COLORS["z"], "--"), (COLORS["q"], ":"), (COLORS["loss"], "-.")]


def sampled(times: np.ndarray, waves: Arrays, sample_times: np.ndarray, samples: np.ndarray) -> Figure:
    """Up to four waves over `times` (seconds), one line style each, and the samples that they share as dots."""
    figure, ax = subplots(10, 3.6)
    for (label, wave), (color, dash) in zip(waves.items(), LINES, strict=False):
        ax.plot(1000 * times, wave, dash, color=color, linewidth=2.5, label=label)
    ax.plot(1000 * sample_times, samples, "o", color=COLORS["lit"], markersize=10, label="samples", zorder=3)
    ax.axhline(0, color=COLORS["muted"], linewidth=0.8, zorder=0)
    ax.set(xlabel="time (ms)", ylabel="amplitude", ylim=(-1.15, 1.15), xlim=(1000 * times[0], 1000 * times[-1]))
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def folding(tones: np.ndarray, heard: Mapping[int, np.ndarray]) -> Figure:
    """Frequency that the samples show against frequency of the tone, in Hz; `heard` has one curve per sampling rate."""
    figure, ax = subplots(10, 3.8)
    for (rate, frequencies), (color, dash) in zip(heard.items(), LINES, strict=False):
        label = f"sampled at {rate / 1000:g} kHz"
        ax.plot(tones / 1000, frequencies / 1000, dash, color=color, linewidth=3, label=label)
        ax.plot(rate / 2000, rate / 2000, "o", color=color, markersize=11)
        ax.text(rate / 2000 + 0.6, rate / 2000, "half the rate", va="center", fontsize=13)
    ax.set(xlabel="frequency of the tone (kHz)", ylabel="frequency heard (kHz)", xlim=(0, tones[-1] / 1000))
    ax.set_ylim(0, 1.15 * max(f.max() for f in heard.values()) / 1000)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def spectrograms(panels: Mapping[str, tuple[np.ndarray, float, float]], columns: int = 2) -> Figure:
    """Spectrograms side by side: title → (dB (frequencies, frames), duration in s, highest frequency in Hz)."""
    rows = -(-len(panels) // columns)
    figure, axes = subplots(5 * columns, 2.8 * rows, rows=rows, columns=columns, wspace=0.06)
    figure.get_layout_engine().set(hspace=0.04)
    for ax, spectrogram in titled(axes, panels):
        draw_spectrogram(ax, *spectrogram)
    return figure


def zoom(x: np.ndarray, views: Mapping[str, tuple[float, float]], stems_below: int = 80) -> Figure:
    """One waveform (L,) at several scales: title → (start, end) in seconds; samples become dots when they are few."""
    figure, axes = subplots(10, 4.5, rows=2, columns=2, wspace=0.04)
    figure.get_layout_engine().set(hspace=0.04)
    for ax, (start, end) in titled(axes, views):
        first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        times = np.arange(first, last) / SAMPLE_RATE * 1000
        few = last - first <= stems_below
        ax.plot(times, x[first:last], "o-" if few else "-", color=COLORS["c"], linewidth=1, markersize=6)
        ax.set(xlabel="time (ms)", ylabel="amplitude", xlim=(times[0], times[-1]))
        ax.axhline(0, color=COLORS["muted"], linewidth=0.8, zorder=0)
    return figure


def labeled_speech(x: np.ndarray, power_db: np.ndarray, utterance: Utterance) -> Figure:
    """Waveform (L,), spectrogram in dB, phones and words of an utterance over one time axis."""
    figure, (wave, image, phones, words) = subplots(11, 6, rows=4, sharex=True, height_ratios=[2, 4, 0.8, 0.8])
    draw_waveform(wave, x)
    draw_spectrogram(image, power_db, utterance.duration)
    draw_intervals(phones, utterance.phones, "phones")
    draw_intervals(words, utterance.words, "words")
    for ax in (wave, image):
        for start, _, _ in utterance.phones:
            ax.axvline(start, color="white" if ax is image else COLORS["muted"], linewidth=0.8, alpha=0.7)
    for ax in (wave, image, phones):
        ax.set_xlabel("")
        ax.tick_params(bottom=ax is not phones, labelbottom=False)
    words.set_xlabel("time (s)")
    return figure


def column(piece: np.ndarray, window: np.ndarray, hertz: np.ndarray, power_db: np.ndarray) -> Figure:
    """How a spectrogram gets one column: samples (n,), the window (n,) they are multiplied by, their spectrum in dB."""
    figure, (cut, spectrum) = subplots(10, 3.6, columns=2)
    milliseconds, peak = 1000 * np.arange(len(piece)) / SAMPLE_RATE, np.abs(piece).max()
    cut.plot(milliseconds, piece, color=COLORS["x"], linewidth=1.5, label="samples")
    cut.plot(milliseconds, piece * window, color=COLORS["c"], linewidth=2, label="samples × window")
    cut.plot(milliseconds, peak * window, "--", color=COLORS["lit"], linewidth=2, label="window, scaled")
    cut.set(title="25 ms of speech …", xlabel="time (ms)", ylabel="amplitude", xlim=(0, milliseconds[-1]))
    spectrum.plot(hertz / 1000, power_db, color=COLORS["c"], linewidth=2)
    spectrum.set(title="… and their spectrum", xlabel="frequency (kHz)", ylabel="power (dB)", ylim=(-70, 3))
    spectrum.set_xlim(0, hertz[-1] / 1000)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def mel_axis(filters: np.ndarray, hertz: np.ndarray, mel_db: np.ndarray, duration: float) -> Figure:
    """Mel filters (n_mels, frequencies) and the mel spectrogram (n_mels, frames) that they make, in dB."""
    figure, (left, right) = subplots(10, 3.5, columns=2)
    for number, curve in enumerate(filters / filters.max(axis=1, keepdims=True), start=1):
        if number % 10:
            left.plot(hertz / 1000, curve, color=COLORS["muted"], linewidth=0.8, zorder=1)
        else:
            left.plot(hertz / 1000, curve, color=COLORS["lit"], linewidth=2.2, zorder=2)
            peak = (hertz[curve.argmax()] / 1000, 1.03)
            left.annotate(f"{number}", peak, ha="center", color=COLORS["lit"], fontsize=13)
    left.set(title=f"{len(filters)} mel filters", xlabel="frequency (kHz)", ylabel="weight (peak = 1)", ylim=(0, 1.15))
    image = right.imshow(mel_db, origin="lower", extent=(0, duration, 0.5, len(filters) + 0.5), cmap=STEPS)
    right.set(title="mel spectrogram", xlabel="time (s)", ylabel="mel filter")
    figure.colorbar(image, ax=right, label="power (dB)", pad=0.01)
    return figure


def batch(input_values: np.ndarray, attention_mask: np.ndarray, labels: Sequence[str]) -> Figure:
    """A padded batch: waveforms and mask, both (B, L), one row each; the padding is hatched."""
    rows, length = input_values.shape
    figure, axes = subplots(11, 1.1 * rows + 1, rows=rows, sharex=True, sharey=True)
    for ax, x, mask, label in zip(axes, input_values, attention_mask, labels, strict=True):
        end = mask.sum() / SAMPLE_RATE
        draw_waveform(ax, x, color=COLORS["c"])
        if end < length / SAMPLE_RATE:
            ax.axvspan(end, length / SAMPLE_RATE, facecolor="white", edgecolor=COLORS["muted"], hatch="//", linewidth=0)
        ax.set(xlabel="", ylabel=label)
        ax.yaxis.label.set(rotation=0, ha="right", va="center")
    axes[-1].set_xlabel("time (s); hatched: padding, mask 0")
    return figure


def padding(plans: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Batches drawn row by row: title → batches → lengths in seconds; what is padded to the longest is hatched."""
    figure, axes = subplots(11, 5, columns=len(plans), sharex=True, sharey=True)
    for ax, batches in titled(axes, plans):
        y = 0
        for lengths in batches:
            rows = y + np.arange(len(lengths))
            speech, padded = np.asarray(lengths), max(lengths) - np.asarray(lengths)
            ax.barh(rows, speech, height=0.85, color=COLORS["c"], label="speech" if y == 0 else None)
            look = {"facecolor": "white", "edgecolor": COLORS["lit"], "hatch": "////", "linewidth": 0}
            ax.barh(rows, padded, left=speech, height=0.85, label="padding" if y == 0 else None, **look)
            y += len(lengths) + 2
        ax.set(xlabel="length (s)", yticks=[])
    axes[0].set_ylabel("utterances, batch by batch")
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def spectra(hertz: np.ndarray, curves: Arrays, band: np.ndarray, band_label: str) -> Figure:
    """Average spectra in dB, one line each; behind them, gray, the range of the spectra in `band` (n, frequencies)."""
    figure, ax = subplots(10, 4.4)
    edges = band.min(axis=0), band.max(axis=0)
    ax.fill_between(hertz / 1000, *edges, color=COLORS["muted"], alpha=0.35, label=band_label)
    for (label, curve), (color, dash) in zip(curves.items(), LINES, strict=False):
        ax.plot(hertz / 1000, curve, dash, color=color, linewidth=3, label=label)
    ax.set(xlabel="frequency (kHz)", ylabel="average power (dB)", xlim=(0, hertz[-1] / 1000))
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def two_orders(healthy: np.ndarray, polluted: np.ndarray, length: int) -> Figure:
    """The same padded row (L,) normalized before padding and after it; speech ends at sample `length`."""
    figure, axes = subplots(11, 3.6, columns=2, sharex=True, sharey=True)
    end = length / SAMPLE_RATE
    for ax, x in titled(axes, {"normalize, then pad": healthy, "pad, then normalize": polluted}):
        draw_waveform(ax, x, color=COLORS["c"])
        ax.axvline(end, color=COLORS["lit"], linestyle="--", linewidth=2)
        ax.text(end, 0.97, "  padding starts", transform=ax.get_xaxis_transform(), fontsize=13, va="top")
        ax.label_outer()
    return figure
