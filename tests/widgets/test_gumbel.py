"""The Gumbel explorer: every control over its whole range, and the words it says about what it shows."""

import numpy as np
import pytest
import torch

from w2v2_teach.widgets.gumbel import DRAWS, draws_of_noise, explorer


@pytest.fixture(scope="module")
def view():
    return explorer()


def values(control):
    if hasattr(control, "options"):
        return control.options
    return np.arange(control.min, control.max + control.step, control.step).tolist()


@pytest.mark.parametrize("name", ["temperature", "logit_1", "logit_2", "number"])
def test_every_value_of_every_control_gives_another_picture(view, looks_at, name):
    every = values(view.controls[name])
    pictures, sentences = looks_at(view, name, every)
    assert len(pictures) == len(every) > 5
    assert len(set(sentences)) == len(every)


def test_it_says_what_is_chosen_how_softly_and_how_often(view):
    for name, value in {"temperature": 0.05, "logit_1": 5.0, "logit_2": -3.0, "number": 1}.items():
        view.controls[name].value = value
    assert view.alt.startswith("Draw 1 chooses entry 1. At τ = 0.05 the soft sample gives it 1.000 of the weight.")
    assert "(99%), " in view.alt  # e⁵ / (e⁵ + e⁻³ + e^½ + e⁻¹)


def test_temperature_leaves_the_choice_alone(view):
    control, chosen = view.controls["temperature"], set()
    for value in control.options:
        control.value = value
        chosen.add(view.alt.split(".")[0])
    assert len(chosen) == 1


def test_the_counted_shares_are_close_to_the_softmax():
    noise = draws_of_noise()
    assert torch.equal(noise, draws_of_noise())
    logits = torch.tensor([2.0, 1.0, 0.5, -1.0])
    shares = torch.bincount((logits + noise).argmax(1), minlength=4) / DRAWS
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.05, rtol=0)


def test_the_first_draws_choose_more_than_one_entry(view):
    for name, value in {"temperature": 1.0, "logit_1": 2.0, "logit_2": 1.0}.items():
        view.controls[name].value = value
    chosen = set()
    for number in values(view.controls["number"]):
        view.controls["number"].value = number
        chosen.add(view.alt.split(".")[0].split()[-1])
    assert len(chosen) >= 3
