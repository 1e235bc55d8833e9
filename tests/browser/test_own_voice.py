"""The recorder in a page, with the browser's pretended microphone, which beeps."""

import pytest
from playwright.sync_api import Page, expect

from w2v2_teach.course.widgets.own_voice import Recorder


@pytest.fixture
def view(show_on_localhost) -> Page:
    return show_on_localhost(Recorder(seconds=3))


def recorded(page: Page) -> tuple[int, int]:
    """How many samples have come, and the loudest of them."""
    page.wait_for_function("window.model.get('recording').byteLength > 0")
    return page.evaluate(
        """() => { const samples = new Int16Array(window.model.get("recording").buffer);
          return [samples.length, samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0)]; }"""
    )


def test_what_is_recorded_comes_as_16_khz_samples(view):
    button, said = view.get_by_role("button"), view.locator("output")
    button.focus()
    view.keyboard.press("Enter")
    expect(button).to_have_text("■ stop")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(said).to_contain_text("Recording: 1 s of at most 3 s")
    view.keyboard.press("Enter")
    expect(said).to_contain_text("recorded. Python looks at it now")
    expect(button).to_have_text("● record")
    samples, loudest = recorded(view)
    assert 0.5 * 16_000 < samples < 3 * 16_000
    assert loudest > 300  # it beeps once a second


def test_it_stops_by_itself(view):
    view.get_by_role("button").click()
    samples, _ = recorded(view)
    assert samples == pytest.approx(3 * 16_000, rel=0.25)
    expect(view.get_by_role("button")).to_have_text("● record")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("NotAllowedError", "was not allowed to use the microphone"),
        ("NotFoundError", "no microphone"),
        ("AbortError", "cannot record: broken"),
    ],
)
def test_it_says_why_it_cannot_record(view, error, advice):
    view.evaluate(
        """name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("broken", name)); }""",
        error,
    )
    view.get_by_role("button").click()
    expect(view.locator("output")).to_contain_text(advice)
    expect(view.locator("output")).to_contain_text("Upload a sound file instead")


def test_a_page_without_microphones_says_so(show):
    page = show(Recorder())
    page.evaluate("() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.get_by_role("button").click()
    expect(page.locator("output")).to_contain_text("browsers give one to https pages and to localhost only")
