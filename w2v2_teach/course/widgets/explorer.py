"""A view with controls: turn one, and Python draws the figure anew (this needs a running kernel)."""

import base64
import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from w2v2_teach.course.display import png
from w2v2_teach.course.widgets.static_figure import StaticFigure


class Explorer(StaticFigure, widgets.VBox):
    """Controls above a figure; the first one is the static figure, for readers without a kernel.

    `draw` takes one keyword per control, of its name, and returns the figure and a sentence that says what there is to
    see; `controls` are those of ipywidgets with a `value`.
    """

    def __init__(self, draw: Callable[..., tuple[Figure, str]], **controls: widgets.ValueWidget) -> None:
        self.draw, self.controls = draw, controls
        self.view = widgets.HTML()
        for control in controls.values():
            control.style.description_width = "initial"
            control.observe(self._redraw, names="value")
        self._redraw()
        row = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.view])

    def _redraw(self, _change: Any = None) -> None:
        try:
            figure, self.alt = self.draw(**{name: control.value for name, control in self.controls.items()})
        except Exception as error:  # a kernel only logs what a callback raises: show it, too
            self.view.value = f"<pre role='alert'>{html.escape(f'{type(error).__name__}: {error}')}</pre>"
            raise
        self.png = png(figure)
        alt, data = html.escape(self.alt), base64.b64encode(self.png).decode()
        self.view.value = (
            f'<img src="data:image/png;base64,{data}" alt="{alt}" style="max-width:100%">'
            f'<p role="status"><em>{alt}</em></p>'
        )
