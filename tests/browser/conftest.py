"""JupyterLab on loopback with a copy of the notebooks, an installed Chromium, and a bare page for one explorer."""

import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
from export_html import STAND_ALONE, standing_alone
from ipywidgets.embed import dependency_state
from playwright.sync_api import Page, sync_playwright
from requirements import require

from w2v2_teach.course.widgets.browser import script

ROOT = Path(__file__).parents[2]
START_SECONDS = 180
SETTINGS = {
    "notebook-extension/tracker.jupyterlab-settings": '{"windowingMode": "none"}',  # every cell stays in the page
}
CHROMIUM_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a microphone that beeps, and a yes to it
)  # fmt: skip


class Lab(NamedTuple):
    """A running server: where it is, and the token it asks for."""

    url: str
    token: str


def make_lab_options() -> list[str]:
    """The options that `make lab` gives to JupyterLab."""
    dry_run = ["make", "--dry-run", "--no-print-directory", "lab", "ARGS="]
    recipe = subprocess.run(dry_run, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return shlex.split(recipe.split("jupyter lab ")[1])


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "root" / "notebooks", ignore=shutil.ignore_patterns(".*"))
    settings = home / "settings" / "@jupyterlab"
    for file, text in SETTINGS.items():
        (settings / file).parent.mkdir(parents=True)
        (settings / file).write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    folders = {"CONFIG": "config", "DATA": "data", "RUNTIME": "run"}
    environment = {
        **os.environ,
        **{f"JUPYTER_{name}_DIR": str(home / folder) for name, folder in folders.items()},
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [
        sys.executable, "-m", "jupyter", "lab", *make_lab_options(), "--no-browser", f"--port={port}",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home / 'root'}",
        "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with open(home / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(server, f"http://127.0.0.1:{port}/api?token={token}", home / "lab.log")
        yield Lab(f"http://127.0.0.1:{port}", token)
    finally:
        server.terminate()
        server.wait(20)


def _wait(server: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.25)
        else:
            return
    pytest.fail(f"JupyterLab did not answer within {START_SECONDS} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    require(chromium, f"a browser test needs one of {', '.join(names)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A fresh page on which no script may fail."""
    page: Page = browser.new_page(viewport={"width": 1400, "height": 1000})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


BARE = """<!doctype html><meta charset="utf-8"><style>body { margin: 0; background: light-dark(#fff, #161616); }
:root { color-scheme: light dark; }</style><body>%(explorer)s<script type="module">%(stand_alone)s
window.model = document.querySelector(".stand-alone").model;
document.body.dataset.ready = "yes";
</script>"""


def bare_page(explorer) -> str:
    """The page of one explorer, with a stub for the kernel's model that holds what Python sends."""
    state = dependency_state(explorer, drop_defaults=False)[explorer.model_id]
    return BARE % {"explorer": standing_alone(state), "stand_alone": STAND_ALONE}


@pytest.fixture
def show(page):
    """Call it with an explorer: it stands in a bare page; gives back the page."""

    def show(explorer) -> Page:
        page.set_content(bare_page(explorer))
        page.wait_for_selector("body[data-ready]")
        return page

    return show


@pytest.fixture
def show_on_localhost(page):
    """The same, in a page that seems to come from this machine: only there do browsers lend their microphone."""

    def show(explorer) -> Page:
        text = bare_page(explorer)
        page.route("**/*", lambda route: route.fulfill(body=text, content_type="text/html"))
        page.goto("http://localhost/")
        page.wait_for_selector("body[data-ready]")
        return page

    return show


ASK = """async ([module, given]) =>
  (await import(URL.createObjectURL(new Blob([module], {type: "text/javascript"})))).ask(given)"""


@pytest.fixture
def compute(page):
    """Call it with an explorer's name, a JavaScript expression of its functions and of `given`, and what is given."""

    def compute(name: str, expression: str, given: object = None) -> object:
        module = f"{script(name)}\nexport const ask = (given) => {expression};"
        return page.evaluate(ASK, [module, given])

    return compute
