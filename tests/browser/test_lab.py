"""Every notebook in a real JupyterLab in a real browser: it runs, and its explorer answers pointer and keys.

With W2V2_TEACH_SCREENSHOTS=FOLDER the pages are kept as pictures, to be looked at.
"""

import os
import re
from pathlib import Path

import pytest
from course import NOTEBOOKS
from playwright.sync_api import Locator, Page, expect

RUN_ALL = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  const ok = await window.jupyterapp.commands.execute('notebook:run-all-cells');
  const cells = [...panel.content.model.cells].filter(cell => cell.type === 'code').map(cell => cell.toJSON());
  const outputs = cells.flatMap(cell => cell.outputs);
  return {ok, unrun: cells.filter(cell => cell.execution_count === null).length,
          errors: outputs.filter(output => output.output_type === 'error').map(output => output.evalue),
          stderr: outputs.filter(output => output.name === 'stderr').map(output => output.text)};
}"""
WELL = {"ok": True, "unrun": 0, "errors": [], "stderr": []}
OPEN_MS, RUN_MS, ANSWER_MS = 300_000, 900_000, 60_000  # other tests run beside it
expect.set_options(timeout=ANSWER_MS)


def open_and_run(page: Page, lab, name: str) -> Locator:
    """Open a notebook, run all of its cells, and return its panel."""
    page.set_default_timeout(RUN_MS)
    page.goto(f"{lab.url}/doc/tree/notebooks/{name}.ipynb?token={lab.token}&reset")
    panel = page.locator(".jp-NotebookPanel")
    expect(panel.locator(".jp-Cell").first).to_be_visible(timeout=OPEN_MS)
    assert page.evaluate(RUN_ALL) == WELL
    expect(page.get_by_text("official Jupyter news")).to_have_count(0)  # JupyterLab would ask whether to fetch them
    return panel


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("W2V2_TEACH_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def drive_sliders(page: Page, cell: Locator, name: str) -> None:
    """Move every slider with the arrow keys; each time the picture must change and nothing may complain."""
    image = cell.locator(".jupyter-widgets img")
    expect(image).to_be_visible()
    cell.scroll_into_view_if_needed()
    assert image.get_attribute("alt")
    sliders = cell.get_by_role("slider")
    assert sliders.count() > 0
    for i in range(sliders.count()):
        before = image.get_attribute("src")
        sliders.nth(i).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(image).not_to_have_attribute("src", before)
    expect(cell.get_by_role("alert")).to_have_count(0)
    keep(page, name)


LOOK = "(node) => [...node.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL()).join() + node.innerHTML"


def drive_explorer(page: Page, cell: Locator, name: str) -> None:
    """Move every slider and walk over every picture with the arrow keys: each time what is said and drawn changes."""
    explorer = cell.locator(".w2v2")
    said, pictures = explorer.locator("output"), explorer.get_by_role("application")
    explorer.scroll_into_view_if_needed()
    keep(page, name)
    sliders = explorer.get_by_role("slider")
    for i in range(sliders.count()):
        press_twice(page, sliders.nth(i), said, pictures.first)
    for i in range(pictures.count()):
        press_twice(page, pictures.nth(i), said, pictures.nth(i))
    type_lab_keys(page, pictures.last)
    expect(explorer.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)
    go_dark(page)
    explorer.scroll_into_view_if_needed()
    keep(page, f"{name}_dark")


def press_twice(page: Page, control: Locator, said: Locator, picture: Locator) -> None:
    """Press → on a control two times: the words and the picture have to be others."""
    words, drawn = said.inner_text(), picture.evaluate(LOOK)
    control.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(said).not_to_have_text(words)
    assert picture.evaluate(LOOK) != drawn


def go_dark(page: Page) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_selector("[data-jp-theme-light='false']", state="attached")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_it_runs_in_jupyterlab_and_its_explorer_answers(lab, page, name):
    panel = open_and_run(page, lab, name)
    in_browser = panel.locator(".jp-CodeCell", has=page.locator(".w2v2"))
    if name == "02_feature_encoder":
        drive_receptive_field(page, panel)
    elif in_browser.count():
        if name in AT_HAND:
            AT_HAND[name](page, in_browser.first)
        drive_explorer(page, in_browser.first, name)
    else:
        drive_sliders(page, panel.locator(".jp-CodeCell", has=page.locator(".jupyter-widgets img")), name)


def drive_receptive_field(page: Page, panel: Locator) -> None:
    cell = panel.locator(".jp-CodeCell", has=page.locator(".w2v2"))
    said = cell.locator(".w2v2 output")
    expect(said).to_contain_text("400 samples, 25 ms")
    picture = cell.locator(".w2v2 svg")

    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.05 * box["height"])  # the top row: a frame
    expect(said).to_contain_text("Frame 2 sees samples 640 to 1039")
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.14 * box["height"])  # the row below it
    expect(said).to_contain_text("of layer 5")
    keep(page, "receptive_field_base")

    cells = panel.locator(".jp-Cell").count()
    cell.get_by_role("button", name="NOTES").click()
    expect(said).to_contain_text("352 samples, 22 ms")
    picture.focus()
    for key, text in (("ArrowRight", "Frame 2 sees samples 64 to 415"), ("ArrowDown", "layer 8")):
        page.keyboard.press(key)
        expect(said).to_contain_text(text)
    keep(page, "receptive_field_notes")

    kernel = cell.get_by_label("kernel of layer 9")
    kernel.focus()
    page.keyboard.type("bdd")  # JupyterLab's keys for "insert a cell" and "delete this cell"
    kernel.fill("5")
    kernel.press("Enter")
    expect(said).to_contain_text("416 samples, 26 ms")  # two more steps of 32 samples
    kernel.fill("0")
    kernel.press("Enter")
    expect(said).to_contain_text("must be a whole number from 1 to 512")
    cell.get_by_role("button", name="remove the last").click()
    expect(cell.get_by_label("kernel of layer 9")).to_have_count(0)
    assert panel.locator(".jp-Cell").count() == cells

    go_dark(page)
    keep(page, "receptive_field_dark")


def hover(page: Page, picture: Locator, across: float, down: float) -> None:
    """Point into a picture; shares of its width and height."""
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


def type_lab_keys(page: Page, control: Locator) -> None:
    """JupyterLab's keys for "insert a cell" and "delete this cell", with a control focused: no cell comes or goes."""
    cells = page.locator(".jp-NotebookPanel .jp-Cell")
    before = cells.count()
    control.focus()
    page.keyboard.type("bdd")
    assert cells.count() == before


def explore_codes(page: Page, cell: Locator) -> None:
    explorer = cell.locator(".w2v2-codebook")
    said, picture = explorer.locator("output"), explorer.get_by_role("application")
    hover(page, picture, 0.2, 0.5)
    expect(said).to_contain_text("codebook 1 says")
    early = int(said.inner_text().split()[1])
    hover(page, picture, 0.8, 0.5)
    expect(said).not_to_contain_text(f"Frame {early} ")
    assert int(said.inner_text().split()[1]) > 2 * early
    page.mouse.down()  # between the words and the tracks: nothing is lit
    page.mouse.up()
    expect(explorer).to_contain_text("No code is lit")
    hover(page, picture, 0.5, 0.87)  # the second track
    page.mouse.down()
    page.mouse.up()
    expect(explorer).to_contain_text(re.compile(r"Code \d+ of codebook 2: \d+ place"))
    explorer.locator(".w2v2-chips button").last.click()
    for control in (explorer.get_by_label("utterance"), explorer.get_by_role("button", name="play it all"), picture):
        type_lab_keys(page, control)
    keep(page, "codebook_lit")
    upload(page)


def explore_heads(page: Page, cell: Locator) -> None:
    explorer = cell.locator(".w2v2-attention")
    said, thumbs = explorer.locator("output"), explorer.locator(".w2v2-heads button")
    thumbs.last.click()
    expect(thumbs.last).to_have_attribute("aria-pressed", "true")
    expect(said).to_contain_text(thumbs.last.get_attribute("aria-label"))
    hover(page, explorer.get_by_label("Attention map"), 0.4, 0.8)
    expect(said).to_contain_text("Pointed at: frame")
    late = int(said.inner_text().split("Query: frame ")[1].split()[0])
    hover(page, explorer.get_by_label("What the query looks at"), 0.2, 0.6)
    expect(said).not_to_contain_text(f"Query: frame {late} ")
    assert int(said.inner_text().split("Query: frame ")[1].split()[0]) < late
    explorer.get_by_label("order").select_option("most vertical first")
    for control in (explorer.get_by_label("order"), thumbs.nth(1), explorer.get_by_label("Attention map")):
        type_lab_keys(page, control)
    keep(page, "attention_enlarged")
    record(page)


def upload(page: Page) -> None:
    """Upload a sound file beneath the explorer."""
    voice = page.locator(".jp-CodeCell", has=page.locator(".w2v2-recorder"))
    speaker = Path(__file__).parents[2] / "data" / "toy_speech" / "audio" / "s21"
    with page.expect_file_chooser(timeout=ANSWER_MS) as chooser:
        voice.get_by_role("button", name="upload a sound file").click(timeout=ANSWER_MS)
    chooser.value.set_files(sorted(speaker.iterdir())[0])
    kernel_answers(voice)


def record(page: Page) -> None:
    """Record from the browser's pretended microphone beneath the explorer."""
    voice = page.locator(".jp-CodeCell", has=page.locator(".w2v2-recorder"))
    voice.get_by_role("button", name="record").click(timeout=ANSWER_MS)
    expect(voice.locator(".w2v2-recorder output")).to_contain_text("Recording: 2 s")
    voice.get_by_role("button", name="stop").click(timeout=ANSWER_MS)
    kernel_answers(voice)


def kernel_answers(voice: Locator) -> None:
    """The reader's own voice gets explorers of its own, and no complaint."""
    expect(voice.locator(".w2v2-codebook output")).to_contain_text("codebook 1 says")
    expect(voice.locator(".w2v2-attention output")).to_contain_text("Query: frame")
    expect(voice.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)


AT_HAND = {"08_inside_the_codebook": explore_codes, "09_inside_attention": explore_heads}
