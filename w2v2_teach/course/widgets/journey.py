"""Journey explorer: choose a speaker, a sentence and a frame; see its samples, its sounds, its word and its codes."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.overview import frame_journey
from w2v2_teach.course.widgets.explorer import Explorer
from w2v2_teach.feature_encoder import ReceptiveField
from w2v2_teach.speech.corpora import Utterance
from w2v2_teach.speech.intervals import label_at


def journey(utterances: Sequence[Utterance], codes: Sequence[Tensor], field: ReceptiveField) -> Explorer:
    """Explore utterances whose codes have been computed.

    `utterances` are equally many of each speaker, `codes` (T, G) for each of them, on the CPU; `field` is what a frame
    sees.
    """
    shelf: dict[str, list[tuple[Utterance, Tensor, Tensor]]] = {}  # speaker → its waveforms (L,) and codes (T, G)
    for utterance, own in zip(utterances, codes, strict=True):
        shelf.setdefault(utterance.speaker, []).append((utterance, utterance.waveform(), own))

    def draw(speaker: str, sentence: int, frame: int) -> tuple[Figure, str]:
        utterance, x, own = shelf[speaker][sentence - 1]
        frame = min(frame, len(own) - 1)  # the sentence before may have been longer
        facts, times = describe(utterance, own, frame, field), field.times(len(own)).numpy()  # (T,) s
        figure = frame_journey(
            x.numpy(), own.numpy(), frame,
            window=field.window(frame), times=times, words=utterance.words, facts="\n".join(facts),
        )  # fmt: skip
        return figure, f"{speaker} says “{utterance.text}”. {'; '.join(facts)}."

    first = next(iter(shelf.values()))
    explorer = Explorer(
        draw,
        speaker=widgets.ToggleButtons(options=list(shelf), description="speaker"),
        sentence=widgets.ToggleButtons(options=range(1, len(first) + 1), description="sentence"),
        frame=widgets.IntSlider(len(first[0][2]) // 5, 0, len(first[0][2]) - 1, description="frame t"),
    )
    speaker, sentence, frame = explorer.controls.values()
    frame.continuous_update = False

    def fit(_change: Any) -> None:
        frame.max = len(shelf[speaker.value][sentence.value - 1][2]) - 1

    speaker.observe(fit, names="value")
    sentence.observe(fit, names="value")
    return explorer


def describe(utterance: Utterance, codes: Tensor, frame: int, field: ReceptiveField) -> list[str]:
    """What there is to say about one frame, in short lines: samples, time, sounds, word, codes (T, G)."""
    window = field.window(frame)
    start, stop = window.start / SAMPLE_RATE, window.stop / SAMPLE_RATE  # s
    sounds = [phone.label for phone in utterance.phones if phone.start < stop and phone.end > start]
    word = label_at(utterance.words, (start + stop) / 2)
    return [
        f"frame {frame} of 0 … {len(codes) - 1}",
        f"samples {window.start:,} … {window.stop - 1:,}",
        f"{start:.4f} s to {stop:.4f} s",
        f"sounds in this window: {', '.join(sounds)}",
        f"in the word “{word}”" if word else "between words",
        f"codes {' and '.join(str(code) for code in codes[frame].tolist())}",
    ]
