"""The picture that stands in for a widget where there is no kernel: on GitHub, on paper, in a notebook just opened."""

from typing import Any


class StaticFigure:
    """Mixin for widgets: adds a picture, `self.png`, and its description, `self.alt`, to what Jupyter shows."""

    png: bytes
    alt: str

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        live = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]  # the widget's, whose mixin this is
        bundle = live[0] if isinstance(live, tuple) else live  # anywidget gives metadata, too, ipywidgets data alone
        return {**bundle, "image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}
