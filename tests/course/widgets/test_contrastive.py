"""The contrastive explorer: every control over its whole range, its logits, and the words it says."""

import math

import pytest
import torch

from w2v2_teach.course.widgets.contrastive import COUNTS, KAPPAS, contrastive_explorer, logits_on_the_circle
from w2v2_teach.losses import contrastive_logits, contrastive_loss


@pytest.fixture(scope="module")
def explorer():
    return contrastive_explorer()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["angle", "kappa", "K"])
def test_every_value_of_every_control_gives_another_picture(explorer, looks_at, name):
    control = explorer.controls[name]
    values = control.options if hasattr(control, "options") else range(control.min, control.max + 1, 30)
    pictures, sentences = looks_at(explorer, name, values)
    assert all(str(value) in sentence for value, sentence in zip(values, sentences, strict=True))
    assert len(set(sentences)) == len(values)
    assert len(pictures) >= len(values) - (name == "angle")  # -180° and 180° are one place


def test_every_step_of_the_angle_is_a_point_of_the_curve(explorer):
    control = explorer.controls["angle"]
    for angle in (control.min, control.min + control.step, 0, control.max):
        control.value = angle
        assert explorer.alt.startswith(f"c at {angle}° from its target")


def test_its_loss_is_the_packages():
    negatives = torch.tensor([90.0, 180.0, -30.0])
    for kappa in KAPPAS:
        logits = logits_on_the_circle(torch.tensor([20.0]), 0.0, negatives, kappa)  # (1, K + 1)
        angles = torch.cat([torch.zeros(1), negatives]).deg2rad()
        q = torch.stack([angles.cos(), angles.sin()], dim=1)  # (N, 2): the target and the distractors
        c = torch.tensor([[math.cos(math.radians(20)), math.sin(math.radians(20))]]).expand(4, 2)
        ours = contrastive_logits(c, q, torch.arange(4)[:, None], torch.tensor([[1, 2, 3]] * 4), kappa)[:1]
        torch.testing.assert_close(logits, ours, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(-logits.log_softmax(1)[0, 0], contrastive_loss(ours), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_it_says_when_the_choice_is_right_and_when_it_is_wrong():
    explorer = contrastive_explorer()
    for K in COUNTS:
        explorer.controls["K"].value = K
        explorer.controls["angle"].value = 0
        assert "the choice is right" in explorer.alt
        assert f"guessing costs ln {K + 1} = {math.log(K + 1):.3f}" in explorer.alt
        explorer.controls["angle"].value = 180
        assert "the choice is wrong" in explorer.alt


def test_the_same_seed_draws_the_same_distractors():
    assert contrastive_explorer(1).alt == contrastive_explorer(1).alt != contrastive_explorer(2).alt
