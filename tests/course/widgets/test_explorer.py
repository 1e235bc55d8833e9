"""The view with controls: it redraws, describes itself, and shows what goes wrong instead of hiding it."""

import ipywidgets as widgets
import pytest
from matplotlib.figure import Figure

from w2v2_teach.course.widgets.explorer import Explorer


@pytest.fixture
def explorer():
    def draw(power: int) -> tuple[Figure, str]:
        figure = Figure(figsize=(3, 2))
        figure.subplots().plot([x**power for x in range(5)])
        return figure, f"x to the power of {power} < x & more; 1/power is {1 / power:.1f}"

    return Explorer(draw, power=widgets.IntSlider(2, 0, 4))


def test_turning_a_control_draws_another_picture_with_its_description(explorer):
    before = explorer.png
    explorer.controls["power"].value = 4
    assert explorer.png != before
    assert explorer.alt.startswith("x to the power of 4")
    assert 'alt="x to the power of 4 &lt; x &amp; more' in explorer.view.value


def test_an_error_in_drawing_is_shown_and_raised(explorer):
    with pytest.raises(ZeroDivisionError):
        explorer.controls["power"].value = 0
    assert "<pre role='alert'>ZeroDivisionError" in explorer.view.value


def test_it_carries_its_static_figure(explorer):
    data, metadata = explorer._repr_mimebundle_()
    assert data["image/png"] == explorer.png
    assert data["text/plain"] == metadata["image/png"]["alt"] == explorer.alt
