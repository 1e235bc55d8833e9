"""The masking explorer: every control changes the picture, and the words say what is drawn."""

import re

import pytest
import torch

from w2v2_teach.masking import span_mask
from w2v2_teach.widgets import masking


@pytest.fixture(scope="module")
def explorer():
    return masking.explorer()


@pytest.mark.parametrize("name", ["p", "M", "seconds"])
def test_every_control_gives_other_pictures_over_its_whole_range(explorer, looks_at, name):
    control = explorer.controls[name]
    if name == "seconds":
        values = masking.SECONDS
    else:  # both ends and some between
        values = [control.min + (control.max - control.min) * step / 6 for step in range(7)]
        values = [round(value) for value in values] if name == "M" else values
    pictures, sentences = looks_at(explorer, name, values)
    assert len(pictures) == len(set(sentences)) == len(values)


@pytest.mark.parametrize(("p", "M"), [(0.2, 24), (0.0, 24), (0.2, 1), (0.0, 1)])
@pytest.mark.parametrize("seconds", [masking.SECONDS[0], masking.SECONDS[-1]])
def test_the_corners(p, M, seconds):
    _, words = masking.draw(p, M, seconds)
    asked, formula, masked = (float(number) for number in re.findall(r": ([\d.]+)%", words))
    assert asked == round(100 * p * M)
    assert 0 <= formula <= 100
    assert 0 < masked <= 100


def test_it_says_what_is_drawn():
    _, words = masking.draw(0.065, 10, 15)
    assert words.startswith("p = 0.065, M = 10, T = 749. Asked for, p·M: 65%; ")
    assert "formula, 1 − (1 − p)^M: 48.9%; masked: 49.0%" in words
    assert "median 10" in words
    assert words.endswith("Hidden whole: 0 of 300 utterances.")
    assert masking.draw(0.0, 24, 0.5)[1].endswith("Hidden whole: 300 of 300 utterances.")


def test_span_lengths_by_hand():
    rows = ["0110111", "1000000", "1111111", "0000000"]
    mask = torch.tensor([[digit == "1" for digit in row] for row in rows])
    assert masking.span_lengths(mask).tolist() == [2, 3, 1, 7]
    assert masking.span_lengths(mask[3:]).tolist() == []


def test_span_lengths_add_up_to_the_masked_frames():
    mask = span_mask(torch.tensor([100, 60, 33]), 0.1, 5)
    lengths = masking.span_lengths(mask)
    assert lengths.sum() == mask.sum()
    assert lengths.min() >= 5
