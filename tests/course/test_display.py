"""What a notebook shows: pictures that are light and described, and source code as it is imported."""

import io

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from w2v2_teach.config import TINY
from w2v2_teach.course import display, plots
from w2v2_teach.course.widgets.receptive_field import ReceptiveFieldExplorer
from w2v2_teach.speech.audio import normalize


@pytest.fixture(scope="module")
def figure():
    figure = Figure(figsize=(6, 3))
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_a_picture_has_100_dots_per_inch(figure):
    assert Image.open(io.BytesIO(display.png(figure))).size == (600, 300)


@pytest.fixture
def shown(monkeypatch):
    """What is given to Jupyter to display: (object, metadata)."""
    given = []
    monkeypatch.setattr(display, "display", lambda thing, **options: given.append((thing, options.get("metadata"))))
    return given


def test_a_shown_figure_carries_its_description_three_times(shown, figure):
    display.show(figure, "A line that falls.")
    (picture, metadata), (caption, _) = shown
    assert picture["text/plain"] == metadata["image/png"]["alt"] == "A line that falls."
    assert "A line that falls." in caption.data


def test_source_is_shown_as_it_is_imported(shown):
    display.show_source(normalize)
    assert shown[0][0]["text/plain"].startswith("def normalize(waveform: torch.Tensor)")


def test_the_map_refuses_a_part_it_does_not_have():
    with pytest.raises(KeyError, match="'decoder' is not on the map; its parts are waveform"):
        plots.system_map("decoder")


def test_a_widget_carries_its_static_figure():
    explorer = ReceptiveFieldExplorer(TINY, torch.zeros(4000))
    data, metadata = explorer._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == metadata["image/png"]["alt"] == explorer.alt
    assert "one frame sees 400 samples (25 ms), and frames come every 320 samples (20 ms)" in explorer.alt
