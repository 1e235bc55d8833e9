"""A training before the reader's eyes: a figure that is drawn anew in its place, and a run's log to step through."""

import math
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
from IPython.display import DisplayHandle, Markdown, display
from matplotlib.figure import Figure

from w2v2_teach.course.display import png
from w2v2_teach.course.plots.pretraining import Records, run_log
from w2v2_teach.course.widgets.explorer import Explorer

ESCAPED = 0.98  # of what guessing costs: a loss that stays below this has left the plateau


class LiveFigure:
    """A figure that changes while a cell runs. What was shown last is what stays in the notebook."""

    def __init__(self) -> None:
        self._handles: list[DisplayHandle] = []

    def show(self, figure: Figure, alt: str) -> None:
        """Put a figure, and the sentence that says what there is to see, in the place of the ones before."""
        picture: dict[str, Any] = {"metadata": {"image/png": {"alt": alt}}, "raw": True}
        parts = [({"image/png": png(figure), "text/plain": alt}, picture), (Markdown(f"<small>*{alt}*</small>"), {})]
        if not self._handles:
            self._handles = [display(part, display_id=True, **options) for part, options in parts]
        else:
            for handle, (part, options) in zip(self._handles, parts, strict=True):
                handle.update(part, **options)


def milestones(records: Records, K: int) -> dict[str, float]:
    """What happened in a run → at which update; what has not happened is left out.

    `records` are the lines of its `metrics.jsonl`; K distractors say what guessing costs.
    """
    bound = ESCAPED * math.log(K + 1)  # nats
    rates = [record["learning_rate"] for record in records]
    coldest = min(record["temperature"] for record in records)
    found = {"rate at its peak": records[rates.index(max(rates))]["update"]}
    above = [i for i, record in enumerate(records) if record["contrastive_loss"] >= bound]
    after = above[-1] + 1 if above else 0  # the first record from which the loss stays below the bound
    if 0 < after < len(records):
        found["plateau left"] = records[after]["update"]
        found["codes most even"] = max(records[:after], key=lambda record: record["code_perplexity"])["update"]
    if records[-1]["temperature"] == records[-2]["temperature"]:
        found["τ at its minimum"] = next(r["update"] for r in records if r["temperature"] == coldest)
    return found


def run_explorer(records: Records, K: int, entries: int) -> Explorer:
    """Step through the log of a run: choose an update, and see and read what every curve says at that moment.

    `records` are the lines of its `metrics.jsonl`, K the distractors, and `entries` is G·V, what the perplexity is at
    most.
    """
    moments = milestones(records, K)
    updates = [record["update"] for record in records]

    def draw(update: int, axis: str) -> tuple[Figure, str]:
        figure = run_log(records, moments, K=K, entries=entries, now=update, log_axis=axis == "logarithmic")
        record = records[updates.index(update)]
        return figure, f"{_sentence(record, K, entries)} Update axis: {axis}."

    return Explorer(
        draw,
        update=widgets.SelectionSlider(
            options=updates,
            value=moments.get("plateau left", updates[0]),
            description="update",
            continuous_update=False,
        ),
        axis=widgets.ToggleButtons(options=("logarithmic", "linear"), description="update axis"),
    )


def _sentence(record: Mapping[str, float], K: int, entries: int) -> str:
    """What the log says of one moment."""
    guessing = math.log(K + 1)
    return (
        f"Update {record['update']:,}, {record['hours_of_audio']:.1f} hours heard: contrastive loss "
        f"{record['contrastive_loss']:.2f} nats ({guessing - record['contrastive_loss']:+.2f} gained on guessing), "
        f"accuracy {record['accuracy']:.3f} ({record['accuracy'] * (K + 1):.1f} times chance), code perplexity "
        f"{record['code_perplexity']:.0f} of {entries}, gradient norm {record['grad_norm']:.2f}, learning rate "
        f"{record['learning_rate']:.1e}, τ {record['temperature']:.2f}."
    )
