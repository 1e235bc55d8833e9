"""What the masking explorer measures in Python; what it does in the browser is tested there."""

import torch

from w2v2_teach.course.widgets import masking
from w2v2_teach.masking import span_mask


def test_the_static_figure_says_what_is_drawn():
    explorer = masking.MaskingExplorer()
    assert explorer.alt.startswith("p = 0.065, M = 10, T = 249. Asked for, p·M: 65%; ")
    assert "formula, 1 − (1 − p)^M: 48.9%; masked: 48.9%" in explorer.alt
    assert explorer.alt.endswith("Hidden whole: 0 of 300 utterances.")
    assert explorer.png


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
