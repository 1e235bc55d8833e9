"""What the tests of the explorers share."""

import html

import pytest


@pytest.fixture
def looks_at():
    """Call it with an explorer, a control and its values: the set of pictures, and what each value makes it say."""

    def look(explorer, name, values):
        control = explorer.controls[name]
        start, pictures, sentences = control.value, set(), []
        for value in values:
            control.value = value
            pictures.add(explorer.png)
            sentences.append(explorer.alt)
            assert "alert" not in explorer.view.value
            assert html.escape(explorer.alt) in explorer.view.value
        control.value = start
        return pictures, sentences

    return look
