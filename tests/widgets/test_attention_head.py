"""The attention explorer: every control over its whole range, and the words it says about what it shows."""

import pytest
import torch

from w2v2_teach.corpus import Interval
from w2v2_teach.widgets.attention_head import SHARPNESS, attention_head, sharpen

T, HOP = 12, 0.05
WORDS = [Interval(0.0, 0.2, "red"), Interval(0.2, 0.6, "door")]


@pytest.fixture(scope="module")
def attentions():
    scores = torch.randn(2, 3, T, T, generator=torch.Generator().manual_seed(0))
    weights = scores.softmax(3)
    weights[1, 2] = torch.eye(T)  # the last head looks at nothing but the frame itself
    return {"layer 1": weights[0], "layer 2": weights[1]}


@pytest.fixture(scope="module")
def explorer(attentions):
    return attention_head(attentions, torch.randn(int(T * HOP * 16_000)), WORDS, HOP)


@pytest.mark.parametrize("name", ["layer", "head", "query", "sharpness"])
def test_every_value_of_every_control_gives_another_picture(explorer, looks_at, name):
    control = explorer.controls[name]
    values = control.options if hasattr(control, "options") else range(control.min, control.max + 1)
    pictures, sentences = looks_at(explorer, name, values)
    assert all(str(value) in sentence for value, sentence in zip(values, sentences, strict=True))
    assert len(pictures) == len(set(sentences)) == len(values)


def test_it_says_what_the_frame_looks_at(explorer):
    for name, value in {"layer": "layer 2", "head": 3, "query": 7, "sharpness": 1}.items():
        explorer.controls[name].value = value
    assert explorer.alt.startswith("layer 2, head 3, scores × 1. Query: frame 7 at 0.38 s in “door”.")
    assert "12.0 times the even share, goes to frame 7 at 0.38 s in “door”" in explorer.alt
    assert "Entropy 0.00 of at most 2.48 nats; mean distance 0.00 s" in explorer.alt


def test_sharpening_is_the_softmax_of_larger_scores():
    scores = torch.randn(3, T, T)
    for factor in SHARPNESS:
        torch.testing.assert_close(
            sharpen(scores.softmax(2), factor), (factor * scores).softmax(2), atol=1e-5, rtol=1e-3
        )


def test_a_key_without_weight_gets_none_however_sharp():
    weights = torch.tensor([[0.5, 0.5, 0.0]])
    torch.testing.assert_close(sharpen(weights, 100), weights)
