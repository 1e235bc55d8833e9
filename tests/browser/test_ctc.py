"""The CTC explorer in a bare page: its lattice is the package's, any text may be typed, and it says what it shows."""

import itertools
import math

import pytest
import torch
from playwright.sync_api import expect

from w2v2_teach.course.widgets.ctc import FRAMES, SHARPNESS, TOKENS, Clip, CTCExplorer, encode, spoken
from w2v2_teach.ctc import best_path, ctc_lattice

LATTICE = "({...lattice(given.frames, given.target), path: bestPath(given.frames, given.target)})"
CASES = {"": (4, []), "a": (1, [1]), "aa": (3, [1, 1]), "abba": (9, [1, 2, 2, 1]), "long": (30, [3, 1, 1, 2, 3, 3, 2])}


@pytest.mark.parametrize("case", CASES)
def test_the_lattice_is_the_packages(compute, case):
    T, target = CASES[case]
    frames = torch.randn(T, 4, generator=torch.Generator().manual_seed(T)).log_softmax(1)
    found = compute("ctc", LATTICE, {"frames": frames.tolist(), "target": target})
    ours = ctc_lattice(frames, target)
    assert found["states"] == ours.states.tolist()
    assert found["path"] == best_path(frames, target)
    assert found["logLikelihood"] == pytest.approx(ours.log_likelihood.item(), abs=1e-4)
    for name in ("alpha", "beta"):
        theirs = torch.tensor(found[name])
        expected = getattr(ours, name)
        assert torch.equal(theirs.isinf(), expected < -1e29)
        torch.testing.assert_close(theirs[~theirs.isinf()], expected[~theirs.isinf()], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(torch.tensor(found["posteriors"], dtype=torch.float), ours.posteriors, atol=1e-4, rtol=0)


@pytest.mark.parametrize("word", ["hello", "a", "", "zzzzzz"])
def test_a_typed_word_is_heard_as_in_python(compute, word):
    frames = compute("ctc", f"spoken(given, {FRAMES}, {len(TOKENS)})", encode(word))
    torch.testing.assert_close(torch.tensor(frames), spoken(word, 1.0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("word", ["", "a", "aa", "aabba", "aaa"])
def test_frames_needed(compute, word):
    needed = len(word) + sum(a == b for a, b in itertools.pairwise(word))
    assert compute("ctc", "framesNeeded(given)", encode(word)) == needed


@pytest.fixture(scope="module")
def clip():
    frames = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    return Clip("a clip", "ab a", frames, ("<pad>", "|", "a", "b", "c"), torch.sin(torch.arange(20 * 320) / 10))


@pytest.fixture(scope="module")
def explorer(clip):
    return CTCExplorer([clip])


@pytest.fixture
def said(page, show, explorer):
    show(explorer)
    return page.locator(".w2v2 output")


def beginning(said, target, sharpness=1.0):
    loss = -ctc_lattice(spoken(said, sharpness), encode(target)).log_likelihood.item()
    assert math.isfinite(loss)
    return f"a loss of {loss:.2f} nats"


def test_it_begins_where_its_static_figure_does(said, explorer):
    alt = explorer.alt
    text = said.inner_text()
    assert text.startswith(alt.split("P = ")[0])
    assert text.endswith(alt[alt.index("Best path") :])
    assert beginning("hello", "hello") in text
    assert alt.split("At frame")[1].split(",")[0] in text


def test_every_frame_says_something_else(page, said):
    slider, texts = page.get_by_label("frame", exact=True), set()
    slider.press("Home")
    for frame in range(1, FRAMES + 1):
        assert f"At frame {frame} of {FRAMES}" in said.inner_text()
        texts.add(said.inner_text())
        slider.press("ArrowRight")
    assert len(texts) == FRAMES


def test_surer_frames_cost_less(page, said):
    slider = page.get_by_label("sharpness of the frames")
    slider.press("Home")
    for sharpness in SHARPNESS:
        assert beginning("hello", "hello", sharpness) in said.inner_text()
        slider.press("ArrowRight")


def test_words_may_be_typed(page, said):
    for name, word in (("said", "Zebra"), ("to be written", "zeba"), ("said", ""), ("to be written", "")):
        page.get_by_label(name).fill(word)
        heard, target = page.get_by_label("said").input_value(), page.get_by_label("to be written").input_value()
        expect(said).to_contain_text(f"Said: “{heard}”; to be written: “{target}”")
        assert beginning(heard.lower(), target.lower()) in said.inner_text()
    expect(page.locator("[aria-invalid='true']")).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "word", "complaint"),
    [
        ("said", "ça", "no token for “ç”; there are a to z"),
        ("said", "muchtoo", "at most 6 letters"),
        ("to be written", "a b", "no token for “ ”"),
        ("to be written", "abcdefgh" * 2, "needs 16 frames; there are 14"),
        ("to be written", "aaaaaaaa", "needs 15 frames; there are 14"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_the_picture_stays(page, said, name, word, complaint):
    before = said.inner_text()
    page.get_by_label(name).fill(word)
    expect(page.get_by_role("alert").filter(has_text=complaint)).to_be_visible()
    assert said.inner_text() == before
    page.get_by_label(name).fill("hello")
    expect(page.get_by_role("alert").filter(has_text=complaint)).to_have_count(0)


def test_a_clip_is_heard_and_can_be_played(page, said, clip):
    page.get_by_label("what is heard").select_option(index=1)
    loss = -ctc_lattice(clip.log_probs, [2, 3, 1, 2]).log_likelihood.item()
    expect(said).to_contain_text(f"Heard: a clip; to be written: “ab a”. P = {math.exp(-loss):.3g}")
    expect(said).to_contain_text("of 20 ")
    expect(page.get_by_label("said")).to_be_disabled()
    page.get_by_label("to be written").fill("hello")
    expect(page.get_by_role("alert").filter(has_text="no token for “h”, “e”, “l”, “l”, “o”")).to_be_visible()
    page.get_by_role("button", name="play").click()
    page.get_by_label("what is heard").select_option(index=0)
    expect(said).to_contain_text("Said: “hello”; to be written: “hello”")
    expect(page.get_by_role("button", name="play")).to_be_hidden()
    expect(page.locator("[aria-invalid='true']")).to_have_count(0)


def test_keys_and_pointer_walk_through_the_lattice(page, said):
    view = page.locator(".w2v2-picture")
    view.focus()
    for key, text in (
        ("End", "At frame 14 of 14"),
        ("ArrowLeft", "At frame 13 of 14"),
        ("ArrowUp", "the state is number 9"),
    ):
        page.keyboard.press(key)
        expect(said).to_contain_text(text)
    assert page.get_by_label("frame", exact=True).input_value() == "13"
    page.keyboard.press("Escape")
    expect(said).to_contain_text("the likeliest state is number 10, “o”")
    box = view.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 80)
    expect(said).to_contain_text("At frame 1 of 14 the state is number 1, “–”")
