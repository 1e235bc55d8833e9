"""The codebook explorer in a bare page: what it says of every frame is what Python has counted."""

import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Page, expect

from w2v2_teach.analysis.codebooks import CodedCorpus
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.course.widgets.codebook import CodebookExplorer
from w2v2_teach.speech.corpora import Utterance
from w2v2_teach.speech.intervals import Interval

V, T = 6, 10
CONFIG = Wav2Vec2Config(conv_dim=(4,), conv_kernel=(1600,), conv_stride=(1600,), num_codevectors_per_group=V)  # 0.1 s
CODES = {  # (T, 2) of each utterance
    "first": np.array([[0, 5], [0, 5], [1, 5], [1, 4], [1, 4], [2, 4], [2, 3], [3, 3], [0, 3], [0, 5]]),
    "second": np.array([[2, 5], [2, 5], [2, 1], [0, 1], [0, 1], [0, 1], [4, 1], [4, 1], [4, 1], [4, 1]]),
}
PHONES = (Interval(0, 0.2, "sil"), Interval(0.2, 0.5, "AA"), Interval(0.5, 0.8, "S"), Interval(0.8, 1, "sil"))
WORDS = (Interval(0.2, 0.8, "ace"),)
KEEP_SOUND = """() => {
  window.played = [];
  const copy = AudioBuffer.prototype.copyToChannel;
  AudioBuffer.prototype.copyToChannel = function (samples, channel) {
    window.played.push(samples.length);
    copy.call(this, samples, channel);
  };
}"""


class Stub(torch.nn.Linear):
    """Stands for a model: gives the codes above, one utterance after the other."""

    config = CONFIG

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.turn = iter(CODES.values())

    def codes(self, _input_values: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(next(self.turn))[None]


@pytest.fixture
def counted():
    """Code 0 of the first codebook is "sil" in 30 frames of 40; code 3 occurs 3 times, codes 4 and 5 never."""
    first = [0] * 40 + [1] * 25 + [2] * 50 + [3] * 3
    phones = ["sil"] * 30 + ["AA"] * 10 + ["AA"] * 25 + ["S"] * 50 + ["S"] * 3
    N = len(first)
    codes = np.stack([np.array(first), np.arange(N) % V], axis=1)
    nothing = np.full(N, "")
    return CodedCorpus(codes, np.array(phones), nothing, nothing, np.zeros(N, int), np.arange(N), V)


@pytest.fixture
def explorer(tmp_path, counted):
    utterances = []
    for name in CODES:
        soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(16_000) / 20), 16_000)
        known = {"phones": PHONES, "words": WORDS} if name == "first" else {}
        utterances.append(Utterance(name, f"speaker of {name}", "test", tmp_path / f"{name}.wav", "", 16_000, **known))
    return CodebookExplorer(Stub(), utterances, counted)


@pytest.fixture
def view(show, explorer) -> Page:
    page = show(explorer)
    page.evaluate(KEEP_SOUND)
    return page


def at(page: Page, time: float, row: str) -> tuple[float, float]:
    """Where a time (s) is in the picture, at the height of the spectrogram or of a codebook's track."""
    box = page.locator(".w2v2-picture").bounding_box()
    y = {"phones": 50, "spectrum": 150, "codebook 1": 290, "codebook 2": 330}[row]
    return box["x"] + 92 + (box["width"] - 92 - 12) * time, box["y"] + y


def test_every_frame_has_the_codes_and_the_phone_that_python_knows(view):
    said = view.locator("output")
    view.locator(".w2v2-picture").focus()
    view.keyboard.press("Home")
    for t, (one, two) in enumerate(CODES["first"]):
        expect(said).to_contain_text(
            f"Frame {t} at {0.1 * (t + 0.5):.2f} s, in [{PHONES[(t >= 2) + (t >= 5) + (t >= 8)].label}]"
        )
        expect(said).to_contain_text(f"codebook 1 says {one} (")
        expect(said).to_contain_text(f"codebook 2 says {two} (")
        expect(view.locator("h4").nth(0)).to_have_text(f"Codebook 1, code {one}")
        view.keyboard.press("ArrowRight")
    expect(said).to_contain_text(f"Frame {T - 1} ")  # there is no frame after the last


def test_the_pointer_finds_the_frame_under_it(view):
    for t in (0, 3, 9):
        view.mouse.move(*at(view, 0.1 * (t + 0.5), "spectrum"))
        expect(view.locator("output")).to_contain_text(f"Frame {t} at")


def test_counts_stand_beside_every_share(view):
    view.mouse.move(*at(view, 0.05, "spectrum"))  # code 0
    panel = view.locator("section").first
    expect(panel).to_contain_text("n = 40 frames in the counted speech")
    expect(panel.locator(".w2v2-bar").nth(0)).to_have_text("sil75 % · 30")
    expect(panel.locator(".w2v2-bar").nth(1)).to_have_text("AA25 % · 10")
    expect(panel.locator(".w2v2-bar").nth(2)).not_to_be_visible()


def test_a_rare_code_is_not_shown_as_a_certainty(view):
    panel = view.locator("section").first
    view.mouse.move(*at(view, 0.75, "spectrum"))  # code 3: always [S], in three frames
    expect(panel).to_contain_text("n = 3 frames in the counted speech: too few to say what it means")
    expect(panel).to_have_class("w2v2-few")
    expect(view.locator("output")).to_contain_text("codebook 1 says 3 (seen in only 3 frames)")
    reach = panel.locator("s").first.bounding_box()["width"] / panel.locator(".w2v2-rail").first.bounding_box()["width"]
    assert reach == pytest.approx(1 - 3 / (3 + 1.96**2), abs=0.01)  # Wilson's interval of three in three
    view.mouse.move(*at(view, 0.55, "spectrum"))  # code 2, fifty frames
    expect(panel).not_to_have_class("w2v2-few")


def test_a_code_that_was_never_counted_says_so(view):
    view.get_by_label("utterance").select_option(index=1)
    view.mouse.move(*at(view, 0.85, "spectrum"))
    expect(view.locator("section").first).to_contain_text("Never used in the counted speech")
    expect(view.locator("output")).to_contain_text("codebook 1 says 4 (never seen before)")


def test_a_clicked_code_is_lit_listed_and_played(view):
    view.mouse.click(*at(view, 0.05, "codebook 1"))  # code 0: two places in the first utterance, one in the second
    places = view.locator(".w2v2-places")
    expect(places).to_contain_text("Code 0 of codebook 1: 3 places in 2 utterances by 2 speakers")
    chips = places.locator(".w2v2-chips button")
    expect(chips).to_have_text(
        ["▶ speaker of first [sil] 200 ms", "▶ speaker of second 300 ms", "▶ speaker of first [sil] 200 ms"]
    )
    view.get_by_label("hear a code").select_option("the code alone")
    places.get_by_role("button", name="play all").click()
    chips.nth(1).click()  # shows where it is, too
    expect(view.get_by_label("utterance")).to_have_value("speaker of second: second")
    expect(view.locator("output")).to_contain_text("Frame 4 ")
    pause = round(0.18 * 16_000)
    assert view.evaluate("window.played") == [3200 + 4800 + 3200 + 3 * pause, 4800 + pause]


def test_keys_do_what_the_pointer_does(view):
    view.locator(".w2v2-picture").focus()
    for key in ("Home", "ArrowDown", "Enter"):
        view.keyboard.press(key)
    places = view.locator(".w2v2-places")
    expect(places).to_contain_text("Code 5 of codebook 2: 3 places in 2 utterances")
    view.get_by_label("hear a code").select_option("with its word")
    view.locator(".w2v2-picture").focus()
    for key in ("ArrowUp", *3 * ["ArrowRight"], " "):
        view.keyboard.press(key)
    assert view.evaluate("window.played") == [round(0.6 * 16_000) + round(0.18 * 16_000)]  # the word, and a pause
    view.keyboard.press("Escape")
    expect(places).to_contain_text("No code is lit")
    view.keyboard.press("Enter")
    chips = places.locator(".w2v2-chips button")
    chips.first.focus()
    view.keyboard.press("End")
    expect(chips.last).to_be_focused()
    view.keyboard.press("ArrowRight")
    expect(chips.last).to_be_focused()


def test_a_phone_can_be_heard(view):
    view.mouse.click(*at(view, 0.6, "phones"))
    assert view.evaluate("window.played") == [round(0.3 * 16_000) + round(0.18 * 16_000)]


def test_light_and_dark_are_told_apart_in_the_canvas(view):
    corner = "() => [...document.querySelector('canvas').getContext('2d').getImageData(700, 10, 1, 1).data].slice(0, 3)"
    light = view.evaluate(corner)
    view.emulate_media(color_scheme="dark")
    view.wait_for_function(f"before => String(({corner})()) !== before", arg=",".join(map(str, light)))
    assert sum(light) > 2 * sum(view.evaluate(corner))  # a word's band


def test_its_static_figure_says_what_there_is(explorer):
    data, _ = explorer._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "10 frames, 4 and 3 different ones in the 2 codebooks" in data["text/plain"]
