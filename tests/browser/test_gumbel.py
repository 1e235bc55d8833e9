"""The Gumbel explorer in a bare page: its numbers are the package's, and every control changes what it says."""

import re

import pytest
import torch
from playwright.sync_api import expect

from w2v2_teach.course.widgets.gumbel import LOGITS, TEMPERATURES, GumbelExplorer, draws_of_noise
from w2v2_teach.quantizer import gumbel_softmax


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_sample_is_the_packages(compute, temperature):
    logits, noise = torch.randn(6), torch.randn(6)
    given = {"logits": logits.tolist(), "noise": noise.tolist(), "temperature": temperature}
    sample = compute("gumbel", "sample(given.logits, given.noise, given.temperature)", given)
    torch.testing.assert_close(
        torch.tensor(sample["soft"]), ((logits + noise) / temperature).softmax(0), atol=1e-5, rtol=1e-4
    )
    assert sample["chosen"] == gumbel_softmax(logits, noise, temperature).argmax()


def test_shares_are_counts(compute):
    logits, noise = torch.tensor(LOGITS), draws_of_noise()
    shares = compute("gumbel", "shares(given[0], given[1])", [logits.tolist(), noise.tolist()])
    counts = torch.bincount((logits + noise).argmax(1), minlength=len(logits))
    assert [round(share * len(noise)) for share in shares] == counts.tolist()


@pytest.fixture(scope="module")
def explorer():
    return GumbelExplorer()


@pytest.fixture
def said(page, show, explorer):
    show(explorer)
    return page.locator(".w2v2 output")


def test_it_begins_with_what_its_static_figure_says(said, explorer):
    assert said.inner_text() == explorer.alt


CONTROLS = ["temperature τ", "draw", "draws counted", *(f"logit of entry {v + 1}" for v in range(len(LOGITS)))]


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_changes_the_words(page, said, name):
    texts = set()
    page.get_by_label(name, exact=True).press("Home")
    for _ in range(6):
        texts.add(said.inner_text())
        page.get_by_label(name, exact=True).press("ArrowRight")
    assert len(texts) == 6


def test_temperature_leaves_the_choice_alone_and_softens_the_sample(page, said):
    chosen, weights = set(), []
    control = page.get_by_label("temperature τ")
    control.press("Home")
    for _ in TEMPERATURES:
        chosen.add(said.inner_text().split(".")[0])
        weights.append(float(re.search(r"gives it ([\d.]+) of", said.inner_text())[1]))
        control.press("ArrowRight")
    assert len(chosen) == 1
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > 0.9
    assert weights[-1] < 0.4


def test_the_first_draws_choose_more_than_one_entry(page, said):
    chosen = set()
    for _ in range(10):
        chosen.add(said.inner_text().split(".")[0].split()[-1])
        page.get_by_label("draw", exact=True).press("ArrowRight")
    assert len(chosen) >= 3


def test_keys_and_pointer_name_an_entry(page, said):
    general = said.inner_text()
    view = page.locator(".w2v2-picture")
    view.focus()
    page.keyboard.press("ArrowRight")
    noise = draws_of_noise()[0, 0].item()
    expect(said).to_contain_text(f"Entry 1: logit 2.00 {'−' if noise < 0 else '+'} {abs(noise):.2f} of noise")
    page.keyboard.press("End")
    expect(said).to_contain_text("Entry 4: logit -1.00")
    page.keyboard.press("ArrowUp")  # the second draw
    expect(page.get_by_label("draw", exact=True)).to_have_value("2")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(said).to_have_text(general)
    box = view.bounding_box()
    page.mouse.move(box["x"] + 0.63 * box["width"], box["y"] + 200)
    expect(said).to_contain_text("Entry 2")
