"""What the notebooks' tests share: the notebooks, their cells by tag, the exercises in them."""

import re
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


class Exercise(NamedTuple):
    """A stub with its check, the last line of the cell, and the solution that stands below it."""

    stub: str
    check: str
    solution: str


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def setup_source(notebook: nbformat.NotebookNode) -> str:
    """The code of the notebook's setup part: its imports, its seed, its device."""
    start = next(i for i, cell in enumerate(notebook.cells) if "setup" in tags(cell))
    return next(cell.source for cell in notebook.cells[start:] if cell.cell_type == "code")


def exercises(notebook: nbformat.NotebookNode) -> list[Exercise]:
    found = []
    for cell, below in zip(notebook.cells, notebook.cells[1:], strict=False):
        if "exercise" in tags(cell):
            *stub, check = cell.source.strip().splitlines()
            solution = SOLUTION.search(below.source)
            assert solution, f"no solution in <details> below this exercise:\n{cell.source}"
            found.append(Exercise("\n".join(stub), check, solution[1]))
    return found
