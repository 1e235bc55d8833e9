"""The aliasing explorer says and shows the right thing wherever its sliders stand."""

import html

import numpy as np
import pytest

from w2v2_teach.course.widgets import aliasing


@pytest.mark.parametrize(
    ("tone", "rate", "alias"),
    [(1_000, 8_000, 1_000), (4_000, 8_000, 4_000), (7_000, 8_000, 1_000), (8_000, 8_000, 0), (9_000, 8_000, 1_000),
     (12_000, 8_000, 4_000), (15_000, 8_000, 1_000), (16_000, 2_000, 0), (250, 2_000, 250)],
)  # fmt: skip
def test_alias_frequency_by_hand(tone, rate, alias):
    assert aliasing.alias_frequency(tone, rate) == alias


def test_alias_has_the_same_samples():
    rng = np.random.default_rng(0)
    n = np.arange(50)
    for tone, rate in zip(rng.integers(1, 50_000, 40), rng.integers(2_000, 16_000, 40), strict=True):
        alias = aliasing.alias_frequency(tone, rate)
        assert 0 <= alias <= rate / 2
        np.testing.assert_allclose(np.cos(2 * np.pi * tone * n / rate), np.cos(2 * np.pi * alias * n / rate), atol=1e-8)


@pytest.fixture(scope="module")
def explorer():
    return aliasing.explorer()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tone", "sample_rate"])
def test_every_setting_changes_the_picture_and_says_the_right_thing(explorer, name):
    control, pictures = explorer.controls[name], set()
    start = control.value
    settings = range(control.min, control.max + 1, control.step)
    for value in settings:
        control.value = value
        tone, rate = (explorer.controls[key].value for key in ("tone", "sample_rate"))
        assert f"A tone of {tone:,} Hz, sampled {rate:,} times" in explorer.alt
        if 2 * tone < rate:
            assert "It is kept" in explorer.alt
        elif 2 * tone == rate:
            assert "exactly half the rate" in explorer.alt
        else:
            assert f"{aliasing.alias_frequency(tone, rate):,} Hz" in explorer.alt
        assert html.escape(explorer.alt) in explorer.view.value
        pictures.add(explorer.png)
    control.value = start
    assert len(pictures) == len(settings)
