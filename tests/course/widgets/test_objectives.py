"""The copy explorer: every control over its whole range, and the words it says."""

import re

import pytest
import torch

from w2v2_teach.config import TINY
from w2v2_teach.course.widgets.objectives import FURTHEST, copy_explorer
from w2v2_teach.speech.intervals import Interval

PHONES = [Interval(0.0, 0.3, "AA"), Interval(0.3, 0.8, "IY")]
FRAMES = 40


@pytest.fixture(scope="module")
def explorer():
    torch.manual_seed(0)
    z = torch.randn(FRAMES, 8).cumsum(dim=0)  # neighbors are alike
    return copy_explorer(torch.randn(12_800), PHONES, z, TINY, frame=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frame", "k"])
def test_every_value_of_every_control_gives_another_picture(explorer, looks_at, name):
    control = explorer.controls[name]
    values = range(control.min, control.max + 1, 1 if name == "k" else 6)
    pictures, sentences = looks_at(explorer, name, values)
    assert len(pictures) == len(set(sentences)) == len(values)
    pattern = "Frame {} copied" if name == "frame" else "k = {}:"
    assert all(pattern.format(value) in sentence for value, sentence in zip(values, sentences, strict=True))


def test_the_furthest_step_of_the_last_frame_is_there(explorer):
    assert explorer.controls["frame"].max + FURTHEST == FRAMES - 1
    assert explorer.controls["k"].max == FURTHEST


def test_it_ranks_the_true_frame_and_names_the_phones():
    z = torch.eye(FRAMES)
    z[20] = z[19]  # a frame that is followed by the very same one
    explorer = copy_explorer(torch.randn(12_800), PHONES, z, TINY, frame=19)
    assert "place 1 of 39" in explorer.alt
    explorer.controls["frame"].value = 13
    assert "Phone now: AA; then: AA." in explorer.alt
    explorer.controls["k"].value = 2
    assert "40 ms ahead" in explorer.alt
    assert "Phone now: AA; then: IY." in explorer.alt
    assert int(re.search(r"place (\d+) of", explorer.alt)[1]) >= 1
