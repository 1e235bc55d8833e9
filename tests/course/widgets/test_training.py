"""The log of a run, step by step, and the figure that changes while a cell runs."""

import math

import pytest
from matplotlib.figure import Figure

from w2v2_teach.course.widgets import training
from w2v2_teach.course.widgets.training import LiveFigure, milestones, run_explorer

K, ENTRIES = 50, 128
GUESSING = math.log(K + 1)


def log(losses, perplexities=None, temperature_min=0.5):
    """A record every ten updates; the rate peaks at update 30, τ falls by 0.3 a record."""
    return [
        {
            "update": 10 * (i + 1),
            "contrastive_loss": loss,
            "accuracy": 0.03 + 0.01 * i,
            "code_perplexity": perplexities[i] if perplexities else 40.0 + i,
            "prob_perplexity": 41.0 + i,
            "grad_norm": 0.5 + 0.1 * i,
            "learning_rate": 1e-3 * (1 - abs(i - 2) / 10),
            "temperature": max(2 - 0.3 * i, temperature_min),
            "hours_of_audio": 0.1 * (i + 1),
            **({"dev_contrastive_loss": loss, "dev_accuracy": 0.05} if i % 3 == 2 else {}),
        }
        for i, loss in enumerate(losses)
    ]


LOSSES = [4.0, GUESSING, 0.9 * GUESSING, GUESSING, 0.97 * GUESSING, 3.5, 3.3, 3.1, 3.0]
PERPLEXITIES = [40.0, 80.0, 110.0, 100.0, 70.0, 75.0, 120.0, 121.0, 122.0]


def test_milestones_are_read_from_the_log():
    assert milestones(log(LOSSES, PERPLEXITIES), K) == {
        "rate at its peak": 30,
        "plateau left": 50,  # update 30 dips below and comes back
        "codes most even": 30,  # before the escape; what perplexity does later is another story
        "τ at its minimum": 60,
    }


def test_what_has_not_happened_is_left_out():
    assert milestones(log([GUESSING] * 4), K) == {"rate at its peak": 30}
    already_out = milestones(log([3.0, 2.9, 2.8]), K)  # a log that begins after the escape knows no plateau
    assert "plateau left" not in already_out
    assert "codes most even" not in already_out


def test_the_explorer_opens_where_the_plateau_is_left():
    explorer = run_explorer(log(LOSSES), K, ENTRIES)
    assert explorer.controls["update"].value == 50
    assert explorer.alt.startswith(
        "Update 50, 0.5 hours heard: contrastive loss 3.81 nats (+0.12 gained on guessing), "
    )
    assert "accuracy 0.070 (3.6 times chance), code perplexity 44 of 128, gradient norm 0.90" in explorer.alt
    assert "learning rate 8.0e-04, τ 0.80" in explorer.alt


@pytest.mark.slow
@pytest.mark.parametrize("name", ["update", "axis"])
def test_every_value_of_every_control_gives_another_picture(looks_at, name):
    explorer = run_explorer(log(LOSSES), K, ENTRIES)
    options = explorer.controls[name].options
    pictures, sentences = looks_at(explorer, name, options)
    assert all(str(value) in sentence for value, sentence in zip(options, sentences, strict=True))
    assert len(pictures) == len(set(sentences)) == len(options)


class Handle:
    """What `display` returns for something that will change."""

    def __init__(self, shown):
        self.shown = shown

    def update(self, *args, **kwargs):
        self.shown.append(("update", args, kwargs))


def test_a_live_figure_is_shown_once_and_then_changed_in_its_place(monkeypatch):
    shown = []

    def display(*args, **kwargs):
        shown.append(("new", args, kwargs))
        return Handle(shown)

    monkeypatch.setattr(training, "display", display)
    view = LiveFigure()
    for alt in ("first sentence", "second sentence"):
        view.show(Figure(figsize=(1, 1)), alt)
    assert [kind for kind, _, _ in shown] == ["new", "new", "update", "update"]
    picture, sentence = shown[2:]
    assert picture[2] == {"metadata": {"image/png": {"alt": "second sentence"}}, "raw": True}
    assert picture[1][0]["text/plain"] == "second sentence"
    assert "second sentence" in sentence[1][0].data
