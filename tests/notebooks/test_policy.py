"""What every notebook keeps: its ten parts, its budgets, current outputs, pictures with a description."""

import json
import re
import statistics

import pytest
from course import NOTEBOOKS, ROOT, code_cells, exercises, read, tags

from notebooks import fingerprint

PARTS = (
    "title", "setup", "toy", "speech", "explorer", "reference", "goes-wrong", "differences", "exercises", "summary",
)  # fmt: skip
MOST_SECONDS, MOST_BYTES = 90, 2_000_000
MOST_LINES, MEDIAN_LINES = 25, 8
LEAST_CHECKED = 8
SHORTEST_ALT = 20


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(path):
    return read(path)


def test_the_course_begins_with_notebooks_00_to_03():
    assert [path.stem for path in NOTEBOOKS][:4] == [
        "00_welcome", "01_waveform", "02_feature_encoder", "03_context_network",
    ]  # fmt: skip


def test_nothing_but_notebooks_in_the_folder():
    assert {path.suffix for path in (ROOT / "notebooks").iterdir() if not path.name.startswith(".")} == {".ipynb"}


def test_the_ten_parts_are_there_in_order(notebook):
    assert [tag for cell in notebook.cells for tag in tags(cell) if tag in PARTS] == list(PARTS)


def test_the_header_says_what_how_long_and_after_what(notebook):
    header = notebook.cells[0].source
    for phrase in ("You will be able to", "minutes", "Before this", "Runs in"):
        assert phrase in header, phrase


def test_the_readme_lists_it_with_its_minutes(path, notebook):
    minutes = sum(int(m) for m in re.findall(r"^\|.*\| (\d+) \|$", notebook.cells[0].source, re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if f"(notebooks/{path.name})" in line)
    assert row.endswith(f"| {minutes} |")


def test_the_system_map_is_shown(notebook):
    assert any("plots.system_map(" in cell.source for cell in code_cells(notebook))


def test_it_keeps_its_time(notebook):
    seconds = notebook.metadata.w2v2_teach.seconds
    assert seconds <= MOST_SECONDS
    assert f"Runs in {seconds} s on two CPU cores" in notebook.cells[0].source


def test_it_keeps_its_size(path):
    assert path.stat().st_size <= MOST_BYTES


def test_its_cells_are_short(notebook):
    lines = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    assert max(lines) <= MOST_LINES
    assert statistics.median(lines) <= MEDIAN_LINES


def test_its_outputs_are_there_and_current(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it from top to bottom: make notebooks"
    assert notebook.metadata.w2v2_teach.fingerprint == fingerprint(notebook), "edited and not run again: make notebooks"
    assert not [output for cell in code_cells(notebook) for output in cell.outputs if output.output_type == "error"]
    assert not [output for cell in code_cells(notebook) for output in cell.outputs if output.get("name") == "stderr"]


def test_enough_cells_are_checked_and_each_has_something_to_check(notebook):
    checked = [cell for cell in code_cells(notebook) if "nbval-check-output" in tags(cell)]
    assert len(checked) >= LEAST_CHECKED
    for cell in checked:
        assert cell.outputs, f"a checked cell without output:\n{cell.source}"
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        assert "image/png" not in kinds, f"pictures differ from machine to machine:\n{cell.source}"


def test_cell_ids_are_unique(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))


def test_every_picture_has_a_description(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert len(alt) >= SHORTEST_ALT, f"no alternative text; use display.show:\n{cell.source}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=)", cell.source)


def test_no_path_of_a_machine_and_no_remote_picture(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.:/])/(home|root|Users|tmp|work|usr|opt)/", text)
    assert not re.search(r"(!\[[^\]]*\]\(|<img[^>]*src=\\?[\"'])https?:", text)


def test_three_to_five_exercises_each_with_a_hint_and_a_solution(notebook):
    assert 3 <= len(exercises(notebook)) <= 5
    markdown = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert markdown.count("<summary>Hint</summary>") >= len(exercises(notebook))


def test_widget_state_is_not_committed(notebook):
    assert "widgets" not in notebook.metadata
    assert "widget-view" not in json.dumps(notebook.cells)


def test_comparisons_stand_in_asserts(notebook):
    """`assert` is there at all, and no cell compares for nothing (ruff's B015 sees the rest)."""
    assert sum(cell.source.count("assert ") for cell in code_cells(notebook)) >= 5
