"""Threshold explorer: move the line between "one speaker" and "two", and see who is let in and who is kept out."""

import ipywidgets as widgets
from matplotlib.figure import Figure

from w2v2_teach.analysis.verification import Trials, detection_errors, equal_error_rate, error_rates_at
from w2v2_teach.course.plots.speakers import threshold_view
from w2v2_teach.course.widgets.explorer import Explorer

SHARES = (0.5, 0.1, 0.01, 0.001)  # of the pairs that are of one speaker, where the system is used
STEP = 0.02
LEAST, MOST = -0.4, 1.0


def share_right(share: float, accepts: float, rejects: float) -> float:
    """Of the pairs that are accepted, how many are of one speaker; 1 where none is accepted.

    `share` is that of the pairs of one speaker; false accepts are a share of the pairs of two, false rejects of those
    of one.
    """
    right, wrong = share * (1 - rejects), (1 - share) * accepts
    return right / (right + wrong) if right + wrong > 0 else 1.0


def threshold_explorer(trials: Trials) -> Explorer:
    """Starts near the equal error rate of the trials."""
    errors = detection_errors(trials)
    start = LEAST + STEP * round((equal_error_rate(errors)[1] - LEAST) / STEP)

    def draw(threshold: float, share: float) -> tuple[Figure, str]:
        accepts, rejects = error_rates_at(trials, threshold)
        right = share_right(share, accepts, rejects)
        title = f"1 pair in {round(1 / share)} is of one speaker: {100 * right:.1f} % of the accepted are"
        figure = threshold_view(trials, errors, threshold, (accepts, rejects), title)
        return figure, (
            f"Threshold {threshold:.2f}: {accepts:.1%} of the pairs of two speakers are accepted, {rejects:.1%} of "
            f"the pairs of one are rejected. Where 1 pair in {round(1 / share)} is of one speaker, {right:.1%} of the "
            "accepted ones are."
        )

    return Explorer(
        draw,
        threshold=widgets.FloatSlider(
            min(start, MOST - 10 * STEP), min=LEAST, max=MOST, step=STEP, description="threshold",
            continuous_update=False,
        ),
        share=widgets.SelectionSlider(
            options=[(f"1 in {round(1 / share)}", share) for share in SHARES], value=0.5,
            description="pairs of one speaker",
        ),
    )  # fmt: skip
