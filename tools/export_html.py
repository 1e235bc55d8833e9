"""Turn notebooks into single HTML pages whose explorers work without a kernel and without a network.

    python tools/export_html.py [--to FOLDER] [NOTEBOOK ...]        # all of notebooks/ if none is named

A notebook is run, for what an explorer holds is not in the committed file. Explorers that draw in the browser
(anywidget) go into the page with all that they need; those that Python redraws show their picture, and so do all where
there is no JavaScript.
"""

import argparse
import html
import json
import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
MATH = re.compile(r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)  # code, or a formula
STAND_ALONE = Path(__file__).with_name("stand_alone.js").read_text(encoding="utf-8")
# nbconvert's page, less what it would fetch from other hosts (RequireJS, MathJax, Mermaid, the widgets' renderer), and
# with the descriptions of pictures, which it leaves out
PAGE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block data_png %}<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] }}"
alt="{{ output | get_metadata('alt', 'image/png') | escape_html }}"></div>{% endblock %}
{% block footer_js %}<script type="module">{{ resources.stand_alone }}</script>{% endblock %}"""


def export(notebook: NotebookNode, title: str) -> str:
    """One page of a notebook that has been run and still holds the state of its widgets."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
        for output in cell.get("outputs", []):
            if VIEW in output.get("data", {}):
                put_in(output, notebook.metadata.widgets[STATE].state)
    exporter = HTMLExporter(raw_template=PAGE)
    resources = {"stand_alone": STAND_ALONE, "metadata": {"name": title}}
    return exporter.from_notebook_node(notebook, resources)[0]


def with_mathml(markdown: str) -> str:
    """Formulas as MathML, which browsers set by themselves; code stays as it is."""

    def set_formula(found: re.Match) -> str:
        code, block, inline = found.groups()
        if code:
            return code
        tex = (block or inline).strip().replace(r"\arg", r"\operatorname{arg}")  # a word that the converter lacks
        return convert(tex, display="block" if block else "inline")

    return MATH.sub(set_formula, markdown)


def put_in(output: NotebookNode, widgets: dict) -> None:
    """Replace a widget's view, which needs Jupyter, by one that stands alone or, where there is none, its picture."""
    widget = widgets[output.data.pop(VIEW)["model_id"]]
    if widget["model_name"] == "AnyModel":
        output.data["text/html"] = standing_alone(widget, picture(output))


def picture(output: NotebookNode) -> str:
    """The static twin as an HTML image."""
    alt = html.escape(output.metadata["image/png"]["alt"])
    return f'<img src="data:image/png;base64,{output.data["image/png"]}" alt="{alt}" style="max-width: 100%">'


def standing_alone(widget: dict, fallback: str = "") -> str:
    """HTML of an anywidget; `STAND_ALONE`, which has to be in the page as well, brings it to life.

    Args:
        widget: its entry in a notebook's widget state: `state`, and `buffers` in base64.
        fallback: HTML that stands there until then.
    """
    own = {name: value for name, value in widget["state"].items() if not str(value).startswith("IPY_MODEL_")}
    data = json.dumps({"state": own, "buffers": widget.get("buffers", [])}).replace("</", "<\\/")
    return f'<div class="stand-alone">{fallback}<script type="application/json">{data}</script></div>'


def main() -> None:
    """Run the notebooks named on the command line and write a page of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "notebooks", nargs="*", type=Path, metavar="NOTEBOOK", default=sorted(ROOT.glob("notebooks/*.ipynb"))
    )
    parser.add_argument("--to", type=Path, default=ROOT / "build/html", metavar="FOLDER", help="default: build/html")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    for path in arguments.notebooks:
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
        page = arguments.to / f"{path.stem}.html"
        page.write_text(export(notebook, path.stem), encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main()
