"""What a notebook puts before its reader: figures with a description, source code, sound, and the machine's line."""

import inspect
import io
from collections.abc import Callable
from typing import Any

import torch
from IPython.display import Audio, Markdown, display
from matplotlib.figure import Figure
from PIL import Image

from w2v2_teach.config import SAMPLE_RATE


def png(figure: Figure) -> bytes:
    """The figure as a PNG picture, 100 dots per inch and 256 colors: a third of the bytes, and nobody sees it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    picture = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def show(figure: Figure, alt: str) -> None:
    """Display a figure and, below it and as its alternative text, a sentence that says what there is to see."""
    bundle = {"image/png": png(figure), "text/plain": alt}
    display(bundle, metadata={"image/png": {"alt": alt}}, raw=True)
    display(Markdown(f"<small>*{alt}*</small>"))


def show_source(*objects: Callable[..., Any]) -> None:
    """Display the package's own source of functions or classes, as it is imported."""
    code = "\n\n".join(inspect.getsource(thing).rstrip() for thing in objects)
    display({"text/markdown": f"```python\n{code}\n```", "text/plain": code}, raw=True)


def listen(waveform: torch.Tensor, sample_rate: int = SAMPLE_RATE) -> Audio:
    """A player for a waveform (L,); the loudest sample is scaled to full volume."""
    return Audio(waveform.numpy(), rate=sample_rate)
