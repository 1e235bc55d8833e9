"""One look for the whole course: large type for the back row, and colors that color-blind readers can tell apart."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

Shown = TypeVar("Shown")
Arrays = Mapping[str, np.ndarray]  # a title or a name → what is drawn under it

# Okabe and Ito's colors (jfly.uni-koeln.de/color), by their part in the course.
COLORS = {
    "x": "#56B4E9",  # waveform
    "z": "#E69F00",  # latent frames
    "q": "#009E73",  # quantized targets
    "c": "#0072B2",  # context
    "loss": "#CC79A7",
    "lit": "#D55E00",  # what a figure points at
    "lit text": "#A34700",  # darker, for text and thin lines
    "muted": "#999999",
}
# One look per line of a figure, (color, dash, marker): never told apart by color alone.
LINES = [(COLORS["c"], "-", "o"), (COLORS["lit"], "--", "s"), (COLORS["q"], "-.", "^"), ("black", ":", "D")]
SEQUENTIAL = "viridis"  # for amounts: spectrograms, attention
DIVERGING = "RdBu_r"  # for signed values, centered on zero


def use_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    sns.set_theme(style="ticks", palette=[COLORS[k] for k in ("c", "z", "q", "loss", "x", "lit")])
    matplotlib.style.use(Path(__file__).with_name("course.mplstyle"))


def subplots(
    width: float, height: float, *, rows: int = 1, columns: int = 1, wspace: float | None = None, **grid: Any
) -> tuple[Figure, Any]:
    """A figure of so many inches and its axes, as pyplot's `subplots`; `wspace` is the gap between columns."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(wspace=wspace)
    return figure, figure.subplots(rows, columns, **grid)


def titled(axes: Any, panels: Mapping[str, Shown]) -> Iterator[tuple[Axes, Shown]]:
    """Each of the axes with what it is to show, its title set: `panels` is title → what is shown."""
    for ax, (title, shown) in zip(np.ravel(axes), panels.items(), strict=True):
        ax.set_title(title)
        yield ax, shown


def draw_lines(
    ax: Axes, curves: Mapping[str, Any], x: Any = None, *, marked: bool = True, legend: str = "", **look: Any
) -> None:
    """A line with a look of its own for each of `curves`, name → values over x, or over 0, 1, … where that is None."""
    for (name, values), (color, dash, marker) in zip(curves.items(), LINES, strict=False):
        places = range(len(values)) if x is None else x
        ax.plot(places, values, dash, color=color, marker=marker if marked else None, label=name, **look)
    if legend:
        ax.legend(loc=legend)


def draw_numbers(ax: Axes, table: np.ndarray, form: str = ".2f", *, size: int = 14, **look: Any) -> AxesImage:
    """A table (rows, columns) as a picture with its numbers in the cells, in ink that can be read on each."""
    image = ax.imshow(table, **look)
    for (row, column), value in np.ndenumerate(table):
        red, green, blue, _ = image.cmap(image.norm(value))
        ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else "black"
        text = "–" if np.isnan(value) else f"{value:{form}}"
        ax.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)
    without_lines(ax)
    return image


def without_lines(ax: Axes) -> None:
    """Take the frame and the tick marks away: a picture's cells need none."""
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def tick_at(ax: Axes, values: Sequence[float], form: str = "g") -> None:
    """Ticks of a logarithmic x-axis at these values and nowhere else."""
    ax.set_xticks(values, [f"{value:{form}}" for value in values])
    ax.minorticks_off()
