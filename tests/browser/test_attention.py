"""The attention explorer in a bare page: what it says of a query is what Python computes from the weights."""

import math

import pytest
import torch
from playwright.sync_api import Page, expect

from w2v2_teach.course.widgets.attention import AttentionExplorer
from w2v2_teach.course.widgets.browser import style
from w2v2_teach.speech.intervals import Interval

H, T, HOP, FIRST = 3, 20, 0.05, 0.026  # s; no frame lies on a half hundredth
WORDS = [Interval(0.0, 0.4, "red"), Interval(0.4, 1.0, "door")]
PHONES = [Interval(0.0, 0.2, "R"), Interval(0.2, 0.4, "D"), Interval(0.4, 1.0, "AO")]


def maps() -> dict[str, torch.Tensor]:
    """Head 1 looks everywhere, head 2 at the frame itself, head 3 at frame 5; in the second layer all is random."""
    same = torch.zeros(T, T)
    same[:, 5] = 1
    scores = torch.randn(H, T, T, generator=torch.Generator().manual_seed(0))
    return {
        "hand-made": torch.stack([torch.full((T, T), 1 / T), torch.eye(T), same]),
        "random": (2 * scores).softmax(2),
    }


@pytest.fixture
def explorer():
    mask = torch.zeros(T, dtype=torch.bool)
    mask[8:12] = True
    return AttentionExplorer(
        maps(), torch.sin(torch.arange(16_000) / 20), PHONES, WORDS, hop=HOP, first=FIRST, mask=mask
    )


@pytest.fixture
def view(show, explorer) -> Page:
    return show(explorer)


def enlarge(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def wave(page: Page):
    return page.get_by_label("What the query looks at")


def test_every_query_says_what_python_computes(view):
    enlarge(view, "random, head 2")
    said = view.locator("output")
    wave(view).focus()
    view.keyboard.press("Home")
    for query, row in enumerate(maps()["random"][1]):
        word, phone = ("red" if query < 8 else "door"), ("R" if query < 4 else "D" if query < 8 else "AO")
        masked = "masked" if 8 <= query < 12 else "not masked"
        expect(said).to_contain_text(
            f"Query: frame {query} at {FIRST + HOP * query:.2f} s, [{phone}] of “{word}” ({masked})."
        )
        text = said.inner_text()
        assert f"goes to frame {int(row.argmax())} at" in text
        for before, value, tolerance in (
            ("weight, ", T * float(row.max()), 0.1),
            ("Entropy ", float(torch.special.entr(row).sum()), 0.02),
            ("at most ", math.log(T), 0.01),
            ("mean distance ", HOP * float((row * (torch.arange(T) - query).abs()).sum()), 0.02),
        ):
            assert float(text.split(before)[1].split()[0]) == pytest.approx(value, abs=tolerance)
        view.keyboard.press("ArrowRight")
    assert said.inner_text() == text  # there is no query after the last


def test_the_pointer_chooses_query_and_key_in_the_map_and_the_query_over_the_waveform(view):
    box = view.get_by_label("Attention map").bounding_box()
    corner = 26 + 36 + 8  # words, phones, mask
    dot = (box["width"] - corner - 2) / T
    view.mouse.move(box["x"] + corner + 13.5 * dot, box["y"] + corner + 4.5 * dot)
    expect(view.locator("output")).to_contain_text("Query: frame 4 at 0.23 s")
    expect(view.locator("output")).to_contain_text("Pointed at: frame 13 at 0.68 s")
    box = wave(view).bounding_box()
    view.mouse.move(box["x"] + 92 + (box["width"] - 92 - 62) * 0.52, box["y"] + 120)
    expect(view.locator("output")).to_contain_text("Query: frame 10 at 0.53 s, [AO] of “door” (masked)")


def test_small_maps_are_walked_through_enlarged_and_sorted_with_the_keyboard(view):
    names = [f"{layer}, head {head}" for layer in ("hand-made", "random") for head in (1, 2, 3)]
    thumbs = view.locator(".w2v2-heads button")

    def focused() -> str:
        return view.evaluate("document.activeElement.ariaLabel")

    thumbs.first.focus()
    seen = [focused()]
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "Home", "End"):
        view.keyboard.press(key)
        seen.append(focused())
    places = [0, 1, 2, 5, 5, 0, 5]
    assert [name.split(":")[0] for name in seen] == [names[i] for i in places]
    view.keyboard.press("Enter")
    expect(view.locator("output")).to_contain_text("random, head 3")
    expect(thumbs.nth(5)).to_have_attribute("aria-pressed", "true")
    expect(view.locator(".w2v2-heads [aria-pressed='true']")).to_have_count(1)

    order = view.get_by_label("order")
    for wanted, first in (("most global first", 0), ("most vertical first", 2), ("most diagonal first", 1)):
        order.select_option(wanted)
        assert thumbs.first.get_attribute("aria-label").startswith(names[first])
    order.select_option("as in the model")
    assert [label.split(":")[0] for label in thumbs.evaluate_all("all => all.map(one => one.ariaLabel)")] == names


def test_the_map_has_its_brightest_dots_where_the_weights_are(view):
    enlarge(view, "hand-made, head 2")  # the diagonal
    map_ = view.get_by_label("Attention map").locator("canvas").first
    corner = 26 + 36 + 8
    bright = map_.evaluate(
        """(canvas, {corner, T}) => {
          const ratio = canvas.width / canvas.clientWidth, dot = (canvas.clientWidth - corner - 2) / T;
          const at = t => Math.round(ratio * (corner + (t + 0.5) * dot)), g = canvas.getContext("2d"), found = [];
          for (let q = 0; q < T; q++) for (let k = 0; k < T; k++)
            if (g.getImageData(at(k), at(q), 1, 1).data[0] > 200) found.push([q, k]);
          return found;
        }""",
        {"corner": corner, "T": T},
    )
    assert bright == [[t, t] for t in range(T)]


def test_sound_is_played_or_its_absence_explained(view):
    view.evaluate("""() => { window.played = 0; const start = AudioBufferSourceNode.prototype.start;
      AudioBufferSourceNode.prototype.start = function () { window.played += 1; start.call(this); } }""")
    wave(view).focus()
    for key in (" ", "Enter"):
        view.keyboard.press(key)
    view.get_by_role("button", name="play it all").click()
    view.wait_for_function("window.played === 3")


def test_a_browser_without_sound_says_so(show, explorer):
    page = show(explorer)
    page.evaluate("() => { window.AudioContext = class { constructor() { throw new Error('no device') } } }")
    page.get_by_role("button", name="play it all").click()
    expect(page.locator("output")).to_have_text("The browser cannot play sound: no device")


def test_without_words_and_phones_the_axes_keep_their_names(show):
    page = show(AttentionExplorer(maps(), torch.randn(16_000), (), (), hop=HOP, first=FIRST))
    expect(page.locator("output")).to_contain_text("Query: frame 10 at 0.53 s. Its largest weight")


def test_light_and_dark_are_told_apart_in_the_canvas(view):
    band = wave(view).locator("canvas").first
    color = "canvas => canvas.getContext('2d').getImageData(canvas.width / 2, 4, 1, 1).data.slice(0, 3).join()"
    light = band.evaluate(color)
    view.emulate_media(color_scheme="dark")
    view.wait_for_timeout(200)
    dark = band.evaluate(color)
    assert sum(map(int, light.split(","))) > 2 * sum(map(int, dark.split(",")))


def test_colors_from_the_smallest_weight_change_only_maps_that_have_no_zeros(view):
    drawn = "all => all.map(canvas => canvas.toDataURL())"
    thumbs = view.locator(".w2v2-heads canvas")
    before = thumbs.evaluate_all(drawn)
    view.get_by_label("colors").select_option(index=1)
    changed = [one != other for one, other in zip(before, thumbs.evaluate_all(drawn), strict=True)]
    assert changed == [True, False, False, True, True, True]


def test_another_explorer_in_the_page_does_not_undo_its_look(view):
    view.add_style_tag(content=style("codebook"))  # the shared rules come once more, after this explorer's own
    thumb = view.locator(".w2v2-heads button").first
    assert thumb.evaluate("node => getComputedStyle(node).borderBottomWidth") == "5px"
