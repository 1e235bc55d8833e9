"""The threshold explorer: every value of every control, and the numbers it says."""

import numpy as np
import pytest

from w2v2_teach.analysis.verification import Trials, error_rates_at
from w2v2_teach.course.widgets.speakers import LEAST, MOST, SHARES, STEP, share_right, threshold_explorer


@pytest.fixture(scope="module")
def trials():
    generator = np.random.default_rng(0)
    scores = np.concatenate([generator.normal(0.6, 0.15, 300), generator.normal(0.1, 0.2, 900)]).clip(-1, 1)
    return Trials(scores, np.arange(1200) < 300)


@pytest.fixture(scope="module")
def explorer(trials):
    return threshold_explorer(trials)


@pytest.mark.slow
def test_every_threshold_gives_another_picture(explorer, looks_at):
    values = [LEAST + STEP * i for i in range(0, round((MOST - LEAST) / STEP) + 1, 5)]
    pictures, sentences = looks_at(explorer, "threshold", values)
    assert len(pictures) == len(values)
    assert all(f"Threshold {value:.2f}" in sentence for value, sentence in zip(values, sentences, strict=True))


@pytest.mark.slow
def test_every_share_gives_another_picture(explorer, looks_at):
    pictures, sentences = looks_at(explorer, "share", SHARES)
    assert len(pictures) == len(set(sentences)) == len(SHARES)
    assert all(f"1 pair in {round(1 / share)} " in sentence for share, sentence in zip(SHARES, sentences, strict=True))


def test_it_begins_where_both_errors_are_alike_and_has_room(explorer, trials):
    control = explorer.controls["threshold"]
    accepts, rejects = error_rates_at(trials, control.value)
    assert abs(accepts - rejects) < 0.05
    assert control.max - control.value >= 9 * STEP


def test_its_numbers(explorer, trials):
    explorer.controls["threshold"].value = 0.3
    accepts, rejects = error_rates_at(trials, explorer.controls["threshold"].value)
    assert f"{accepts:.1%} of the pairs of two speakers are accepted, {rejects:.1%} of the pairs of one" in explorer.alt


def test_who_is_right_by_hand():
    assert share_right(0.5, 0.1, 0.1) == pytest.approx(0.9)
    assert share_right(0.01, 0.1, 0.1) == pytest.approx(0.009 / 0.108)
    assert share_right(0.5, 0.0, 1.0) == 1.0
    assert share_right(0.5, 0.2, 1.0) == 0.0
