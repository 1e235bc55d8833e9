"""The aliasing explorer says and shows the right thing wherever its sliders stand."""

import html

import pytest

from w2v2_teach.course.widgets import aliasing
from w2v2_teach.speech.audio import alias_frequency


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
            assert f"{alias_frequency(tone, rate):,} Hz" in explorer.alt
        assert html.escape(explorer.alt) in explorer.view.value
        pictures.add(explorer.png)
    control.value = start
    assert len(pictures) == len(settings)
