"""A notebook as one HTML page: no kernel, no network, and its explorer still answers."""

import nbformat
import pytest
from export_html import export
from nbclient import NotebookClient
from playwright.sync_api import expect

IN_BROWSER = """from w2v2_teach.config import BASE
from w2v2_teach.course.widgets.receptive_field import ReceptiveFieldExplorer
import torch
ReceptiveFieldExplorer(BASE, torch.zeros(4000))"""
ANOTHER = """from w2v2_teach.course.widgets.gumbel import GumbelExplorer
GumbelExplorer()"""
BY_PYTHON = """from w2v2_teach.course.widgets.aliasing import explorer
explorer()"""

MARKDOWN = "# A page\n\nHere $x_t$, then `$y$`.\n\n$$\\arg\\max_v \\frac{v}{2}$$"


@pytest.fixture(scope="module")
def html():
    cells = [nbformat.v4.new_code_cell(code) for code in (IN_BROWSER, ANOTHER, BY_PYTHON)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(MARKDOWN), *cells])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return export(notebook, "a page")


@pytest.fixture
def asked(page, html, tmp_path):
    """Open the page from a file, without a network; what it asks for all the same."""
    file = tmp_path / "page.html"
    file.write_text(html, encoding="utf-8")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.context.set_offline(True)
    page.goto(file.as_uri())
    return requests


def test_its_explorer_answers_keys_and_asks_for_nothing(page, asked):
    said = page.locator(".w2v2-rf output")
    expect(said).to_contain_text("400 samples, 25 ms")
    page.locator(".w2v2-rf svg").focus()
    before = page.locator(".w2v2-rf svg").inner_html()
    page.keyboard.press("ArrowDown")
    expect(said).to_contain_text("layer 5")
    assert page.locator(".w2v2-rf svg").inner_html() != before
    page.get_by_role("button", name="NOTES").click()
    expect(said).to_contain_text("352 samples, 22 ms")
    assert {url.split(":")[0] for url in asked} <= {"file", "blob", "data"}, asked


@pytest.mark.usefixtures("asked")
def test_so_does_the_next_one(page):
    said = page.locator(".w2v2-gumbel output")
    expect(said).to_contain_text("Draw 1 chooses entry ")
    page.get_by_label("draw", exact=True).press("ArrowRight")
    expect(said).to_contain_text("Draw 2 chooses entry ")


@pytest.mark.usefixtures("asked")
def test_an_explorer_that_python_redraws_shows_its_picture(page):
    picture = page.get_by_alt_text("A tone of 7,000 Hz")
    expect(picture).to_be_visible()
    assert page.get_by_alt_text("A stack of 7 convolutions").count() == 0, "the explorer stands in its picture's place"


def test_the_picture_stands_there_where_nothing_may_run(browser, html):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(html)
    expect(page.get_by_alt_text("A stack of 7 convolutions")).to_be_visible()
    context.close()


@pytest.mark.usefixtures("asked")
def test_formulas_are_set_and_code_stays(page):
    inline, block = page.locator("math").all()
    expect(page.locator("code", has_text="$y$")).to_be_visible()
    assert inline.text_content() == "xt"
    assert block.locator("mfrac").count() == 1
    assert "\\" not in block.text_content()


def test_it_names_no_other_host(html):
    head = html.split("<main>")[0]
    assert "<script src" not in head
    assert "cdn" not in head.lower()
