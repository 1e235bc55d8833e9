"""Run the course's notebooks in place and leave them as they are committed: outputs fresh, everything volatile gone.

    python tools/notebooks.py [NAME ...]        # all of notebooks/, or those whose name contains NAME

A notebook that fails is left as it was. One that runs gets its measured time into its header, and a fingerprint of its
code, by which a test notices cells that were edited and not run again.
"""

import hashlib
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
TIME_IN_HEADER = re.compile(r"Runs in \d+ s on two CPU cores")
VOLATILE = "application/vnd.jupyter.widget-view+json"  # names a model that lives only as long as the kernel
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """A hash of the code cells, in order."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def run(path: Path) -> float:
    """Execute one notebook in its own folder, normalize and write it; returns the seconds it took.

    Raises:
        CellExecutionError: a cell failed; the file is unchanged.
    """
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name=KERNEL["name"], timeout=120, coalesce_streams=True, resources=folder).execute()
    seconds = time.perf_counter() - start
    normalize(notebook, seconds)
    partial = path.with_suffix(".part")
    nbformat.write(notebook, partial)
    os.replace(partial, path)
    return seconds


def normalize(notebook: nbformat.NotebookNode, seconds: float) -> None:
    """Drop what differs from run to run, and write down the time and the fingerprint."""
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "w2v2_teach": {"seconds": round(seconds), "fingerprint": fingerprint(notebook)},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(VOLATILE, None)
    notebook.cells[0].source = TIME_IN_HEADER.sub(
        f"Runs in {round(seconds)} s on two CPU cores", notebook.cells[0].source
    )


def main(names: list[str]) -> int:
    """Run the notebooks whose name contains one of `names`; the exit status counts those that failed."""
    failed = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if names and not any(name in path.name for name in names):
            continue
        try:
            print(f"{path.name}: {run(path):.0f} s", flush=True)
        except CellExecutionError as error:
            failed += 1
            print(f"{path.name} failed and is left as it was:\n{error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
