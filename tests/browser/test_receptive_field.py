"""The receptive-field explorer in a bare page, with a stub for the kernel's model: its numbers are Python's."""

import random

import pytest
import torch
from playwright.sync_api import expect

from w2v2_teach.config import BASE, NOTES, Wav2Vec2Config
from w2v2_teach.course.widgets.receptive_field import ReceptiveFieldExplorer
from w2v2_teach.feature_encoder import receptive_field


def random_stack(seed: int) -> Wav2Vec2Config:
    draw = random.Random(seed)
    n = draw.randint(1, 6)
    kernels, strides = ([draw.randint(1, most) for _ in range(n)] for most in (8, 3))
    return Wav2Vec2Config(conv_dim=(1,) * n, conv_kernel=tuple(kernels), conv_stride=tuple(strides))


def explorer(config: Wav2Vec2Config) -> ReceptiveFieldExplorer:
    return ReceptiveFieldExplorer(config, torch.sin(torch.arange(4000) / 9))


@pytest.mark.parametrize("config", [BASE, NOTES, *map(random_stack, range(8))])
def test_every_layer_and_frame_it_names_has_the_window_that_python_computes(page, show, config):
    show(explorer(config))
    fields = receptive_field(config)
    said = page.locator(".w2v2 output")
    page.locator(".w2v2 svg").focus()
    for layer in reversed(range(len(fields))):  # from the top down
        for _ in range(3):
            page.keyboard.press("ArrowLeft")  # to the first unit, or near it
        text = said.inner_text()
        unit = int(text.split("Frame ")[1].split()[0] if "Frame" in text else text.split("Unit ")[1].split()[0])
        window = fields[layer].window(unit)
        expect(said).to_contain_text(f"sees samples {window.start} to {window.stop - 1}: {len(window)} samples")
        expect(said).to_contain_text(f"begins {fields[layer].hop} samples")
        page.keyboard.press("ArrowDown")


def test_lit_units_are_those_the_chosen_one_sees(page, show):
    show(explorer(Wav2Vec2Config(conv_dim=(1, 1), conv_kernel=(3, 2), conv_stride=(2, 3))))
    assert page.locator(".w2v2 .unit.lit").count() == 1 + 2  # a frame, and the two units below it
    assert page.locator(".w2v2 .unit.chosen").count() == 1


def test_a_change_from_the_kernel_redraws(page, show):
    show(explorer(BASE))
    page.evaluate("() => window.model.set('layers', [[4, 2]])")
    expect(page.locator(".w2v2 output")).to_contain_text("4 samples")
    expect(page.get_by_label("kernel of layer 0")).to_have_value("4")
    expect(page.get_by_role("button", name="remove the last")).to_be_disabled()


def test_home_and_end_go_to_the_ends_of_a_row(page, show):
    show(explorer(BASE))
    said = page.locator(".w2v2 output")
    page.locator(".w2v2 svg").focus()
    for key, frame in (("End", 3), ("Home", 0)):
        page.keyboard.press(key)
        expect(said).to_contain_text(f"Frame {frame} sees")


def test_a_number_that_no_layer_can_have_is_refused_in_words(page, show):
    show(explorer(BASE))
    page.get_by_label("kernel of layer 0").fill("513")
    page.keyboard.press("Enter")
    expect(page.locator(".w2v2 output")).to_contain_text("must be a whole number from 1 to 512")
