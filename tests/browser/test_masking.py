"""The masking explorer in a bare page: its masks are Python's, it says what it shows, and every control changes it."""

import re

import pytest
import torch
from playwright.sync_api import expect

from w2v2_teach.course.widgets import masking
from w2v2_teach.masking import span_mask

MASKS = """given.rows.map(({u, numbers}) => [...maskOf(
  spanStarts(numbers.length, given.p, given.M, u, shuffled(numbers)), given.M, numbers.length)])"""


@pytest.mark.parametrize(("T", "p", "M"), [(50, 0.065, 10), (24, 0.2, 24), (23, 0.1, 24), (80, 0.0, 3), (60, 0.2, 1)])
def test_the_same_random_numbers_give_pythons_mask(compute, T, p, M):
    B = 20
    same = torch.Generator().manual_seed(T)
    u, numbers = torch.rand(B, generator=same), torch.rand(B, T, generator=same)  # as `span_mask` draws them
    rows = [{"u": a, "numbers": b} for a, b in zip(u.tolist(), numbers.tolist(), strict=True)]
    masks = torch.tensor(compute("masking", MASKS, {"rows": rows, "p": p, "M": M})).bool()
    assert torch.equal(masks, span_mask(torch.full((B,), T), p, M, generator=torch.Generator().manual_seed(T)))


def test_stretches_by_hand(compute):
    rows = [[int(digit) for digit in row] for row in ("0110111", "1000000", "1111111", "0000000")]
    found = compute("masking", "given.map((row) => stretches(Uint8Array.from(row)))", rows)
    assert found == [[[1, 3], [4, 7]], [[0, 1]], [[0, 7]], []]
    lengths = masking.span_lengths(torch.tensor(rows).bool()).tolist()
    assert [end - first for row in found for first, end in row] == lengths


def test_its_random_numbers_are_even(compute):
    numbers = torch.tensor(compute("masking", "[1, 2, 3].map((s) => Array.from({length: 4000}, randomNumbers(s)))"))
    assert ((numbers >= 0) & (numbers < 1)).all()
    torch.testing.assert_close(numbers.mean(dim=1), torch.full((3,), 0.5), atol=0.02, rtol=0)
    assert len(numbers.unique()) > 11_900
    assert torch.stack([numbers[0, 1:], numbers[0, :-1]]).corrcoef()[0, 1].abs() < 0.05


@pytest.fixture(scope="module")
def explorer():
    return masking.MaskingExplorer()


@pytest.fixture
def said(page, show, explorer):
    show(explorer)
    return page.locator(".w2v2 output")


def shares(text):
    return [float(number) for number in re.findall(r": ([\d.]+)%", text)]


def test_it_says_what_is_drawn(said):
    text = said.inner_text()
    assert text.startswith("p = 0.065, M = 10, T = 249. Asked for, p·M: 65%; formula, 1 − (1 − p)^M: 48.9%; masked: ")
    asked, formula, masked = shares(text)
    assert abs(masked - formula) < 1.5
    assert asked == 65
    assert text.endswith("Hidden whole: 0 of 300 utterances.")


@pytest.mark.parametrize("name", ["p", "M (frames)", "utterance"])
def test_every_control_changes_the_words_over_its_whole_range(page, said, name):
    control, texts = page.get_by_label(name, exact=True), set()
    control.focus()
    page.keyboard.press("Home")
    for _ in range(5):
        texts.add(said.inner_text())
        page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    texts.add(said.inner_text())
    assert len(texts) >= 5 if name == "utterance" else len(texts) == 6


def test_the_corners(page, said):
    for p, M, seconds in (
        ("Home", "End", "Home"),
        ("End", "End", "End"),
        ("Home", "Home", "End"),
        ("End", "Home", "Home"),
    ):
        for name, key in (("p", p), ("M (frames)", M), ("utterance", seconds)):
            page.get_by_label(name, exact=True).press(key)
        _, formula, masked = shares(said.inner_text())
        assert 0 <= formula <= 100
        assert 0 < masked <= 100
        if (M, seconds) == ("End", "Home"):
            assert "Hidden whole: 300 of 300 utterances." in said.inner_text()


def test_drawing_again_changes_the_masks_and_not_the_formula(page, said):
    before = said.inner_text()
    page.get_by_role("button", name="draw again").click()
    assert said.inner_text() != before
    assert shares(said.inner_text())[:2] == shares(before)[:2]


def test_keys_and_pointer_walk_through_the_masks(page, said):
    general = said.inner_text()
    view = page.locator(".w2v2-picture")
    view.focus()
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("Utterance 1, frame ")
    expect(said).to_contain_text("hidden, in a stretch of ")
    steps = {"Home": "frame 0 (0.01 s)", "ArrowDown": "Utterance 2, frame 0", "End": "Utterance 2, frame 248"}
    for key, text in steps.items():
        page.keyboard.press(key)
        expect(said).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(said).to_have_text(general)
    box = view.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    expect(said).to_contain_text("Utterance 4, frame ")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 400)
    expect(said).to_have_text(general)
