"""Copy explorer: guess that k frames ahead all is as now, and see which frames look more like it than the true one."""

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.analysis.probes import copy_scores
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.course.plots.objectives import copy_guess
from w2v2_teach.course.widgets.explorer import Explorer
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.speech.intervals import Interval, label_at

FURTHEST = 12  # steps, as in wav2vec and CPC


def copy_explorer(
    waveform: Tensor, phones: Sequence[Interval], z: Tensor, config: Wav2Vec2Config, frame: int
) -> Explorer:
    """Take the place of a network that only copies.

    `z` (T, C) are the latent frames of the waveform (L,), `config` is that of their model, and `frame` the first one to
    show.
    """
    times = frame_times(config, len(z)).numpy()  # (T,) s
    scores = copy_scores(z).numpy()  # (T, T)

    def draw(frame: int, k: int) -> tuple[Figure, str]:
        row = scores[frame]
        figure = copy_guess(waveform.numpy(), phones, row, times, frame=frame, k=k)
        now, then = (label_at(phones, times[t]) for t in (frame, frame + k))
        others, ahead = np.delete(row, frame), times[frame + k] - times[frame]  # ahead in s
        rank = 1 + int((others > row[frame + k]).sum())
        return figure, (
            f"Frame {frame} copied for frame {frame + k}, k = {k}: {1000 * ahead:.0f} ms ahead. The true frame takes "
            f"place {rank} of {len(others)} among the candidates. Phone now: {now or 'none'}; then: {then or 'none'}."
        )

    last = len(z) - 1 - FURTHEST
    return Explorer(
        draw,
        frame=widgets.IntSlider(frame, 0, last, description="present frame t", continuous_update=False),
        k=widgets.IntSlider(1, 1, FURTHEST, description="k, frames ahead", continuous_update=False),
    )
