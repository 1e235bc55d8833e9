"""The receptive-field explorer in a bare page, with a stub for the kernel's model: its numbers are Python's."""

import base64
import json
import random

import pytest
import torch
from playwright.sync_api import expect

from w2v2_teach.config import BASE, NOTES, Wav2Vec2Config
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.widgets.receptive_field import FOLDER, ReceptiveFieldExplorer

PAGE = """<!doctype html><style>%(css)s</style><body><div id="view"></div><script type="module">
%(module)s
const state = %(state)s;
state.waveform = new DataView(Uint8Array.from(atob(state.waveform), c => c.charCodeAt(0)).buffer);
const callbacks = {};
window.model = {
  get: name => state[name], save_changes: () => {}, off: () => {},
  set: (name, value) => { state[name] = value; (callbacks["change:" + name] ?? []).forEach(call => call()); },
  on: (event, call) => (callbacks[event] ??= []).push(call),
};
widget.render({model: window.model, el: document.getElementById("view")});
</script>"""


def random_stack(seed: int) -> Wav2Vec2Config:
    draw = random.Random(seed)
    n = draw.randint(1, 6)
    kernels, strides = ([draw.randint(1, most) for _ in range(n)] for most in (8, 3))
    return Wav2Vec2Config(conv_dim=(1,) * n, conv_kernel=tuple(kernels), conv_stride=tuple(strides))


@pytest.fixture
def show(page):
    """Put the explorer of a configuration into the page."""

    def show(config: Wav2Vec2Config) -> None:
        explorer = ReceptiveFieldExplorer(config, torch.sin(torch.arange(4000) / 9))
        state = {name: getattr(explorer, name) for name in ("layers", "presets", "sample_rate")}
        state["waveform"] = base64.b64encode(explorer.waveform).decode()
        module = (FOLDER / "receptive_field.js").read_text(encoding="utf-8").replace("export default", "const widget =")
        css = (FOLDER / "receptive_field.css").read_text(encoding="utf-8")
        page.set_content(PAGE % {"css": css, "module": module, "state": json.dumps(state)})

    return show


@pytest.mark.parametrize("config", [BASE, NOTES, *map(random_stack, range(8))])
def test_every_layer_and_frame_it_names_has_the_window_that_python_computes(page, show, config):
    show(config)
    fields = receptive_field(config)
    said = page.locator(".rf output")
    page.locator(".rf svg").focus()
    for layer in reversed(range(len(fields))):  # from the top down
        for _ in range(3):
            page.keyboard.press("ArrowLeft")  # to the first unit, or near it
        text = said.inner_text()
        unit = int(text.split("Frame ")[1].split()[0] if "Frame" in text else text.split("Unit ")[1].split()[0])
        window = fields[layer].window(unit)
        expect(said).to_contain_text(f"sees samples {window.start} to {window.stop - 1}: {len(window)} samples")
        expect(said).to_contain_text(f"begins {fields[layer].hop} samples")
        page.keyboard.press("ArrowDown")


def test_lit_units_are_those_the_chosen_one_sees(page, show):
    show(Wav2Vec2Config(conv_dim=(1, 1), conv_kernel=(3, 2), conv_stride=(2, 3)))
    assert page.locator(".rf .unit.lit").count() == 1 + 2  # a frame, and the two units below it
    assert page.locator(".rf .unit.chosen").count() == 1


def test_a_change_from_the_kernel_redraws(page, show):
    show(BASE)
    page.evaluate("() => window.model.set('layers', [[4, 2]])")
    expect(page.locator(".rf output")).to_contain_text("4 samples")
    expect(page.get_by_label("kernel of layer 0")).to_have_value("4")
    expect(page.get_by_role("button", name="remove the last")).to_be_disabled()
