"""How soon the largest attention view is there and how fast it follows the pointer, in an installed Chromium.

    python benchmarks/explorers.py            # or: make explorers

8 heads × 4 layers × 400 frames: of the bundled model, which has 4 heads, on two stretches of speech; and of noise, the
worst that can be packed. A view opens when its module has been read, its data unpacked and all is painted. The data are
in the page already: a notebook's kernel sends them through a socket on the same machine. Pointer moves are a browser's
own, a frame of 16.7 ms each; what is timed is from when the page gets one until the picture is painted. Work is the
processor time of the page's main thread: on a machine that does something else as well, it says what the rest does not.
"""

import base64
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Browser, Page, sync_playwright

from w2v2_teach.course.environment import versions
from w2v2_teach.course.widgets.attention import AttentionExplorer
from w2v2_teach.files import DATA
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import toy_speech

RESULTS = Path(__file__).with_suffix(".json")
T, HEADS, LAYERS, HOP, FIRST = 400, 8, 4, 0.02, 0.0125
SAMPLES = 400 + (T - 1) * 320  # of T frames
OPENINGS, MOVES = 5, 100
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

# When the next animation frame is over, what has been drawn before is on the screen.
PAINTED = "const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));"
OPEN = (
    PAINTED
    + """
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const state = { ...given.plain };
  for (const [name, text] of Object.entries(given.packed)) state[name] = new DataView(bytes(text).buffer);
  const style = document.createElement("style");
  style.textContent = given.css;
  const el = document.createElement("div");
  document.body.replaceChildren(style, el);
  await painted();
  const start = performance.now();
  const url = URL.createObjectURL(new Blob([given.module], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  await widget.render({ model: { get: name => state[name], on() {}, off() {}, set() {}, save_changes() {} }, el });
  await painted();
  return performance.now() - start;"""
)
WATCH = (
    PAINTED
    + """
  window.answers = [];
  document.querySelector(".w2v2-picture").addEventListener("pointermove", async () => {
    const start = performance.now();  // the capturing phase: before the explorer hears of it
    await painted();
    window.answers.push(performance.now() - start);
  }, { capture: true });
  window.work = [];
  const node = document.querySelector(".w2v2-picture");
  node.addEventListener("pointermove", () => { node.began = performance.now(); }, { capture: true });
  node.addEventListener("pointermove", () => window.work.push(performance.now() - node.began));"""
)


def speech() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The bundled model's maps of 8 s, its heads on one stretch beside its heads on another; and the first stretch."""
    model = Wav2Vec2ForPreTraining.from_pretrained(DATA / "checkpoints" / "tiny-pretrained").eval()
    sound = torch.cat([u.waveform() for u in toy_speech().split("test")[:12]])
    stretches = sound[:SAMPLES], sound[SAMPLES : 2 * SAMPLES]
    with torch.no_grad():
        both = [model.wav2vec2(normalize(x)[None], output_attentions=True).attentions for x in stretches]
    maps = {f"layer {i}": torch.cat([a[0], b[0]]) for i, (a, b) in enumerate(zip(*both, strict=True), start=1)}
    return maps, stretches[0]


def noise() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Maps and sound without any order."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(LAYERS, HEADS, T, T, generator=generator)
    maps = {f"layer {i}": weights for i, weights in enumerate(scores.softmax(dim=3), start=1)}
    return maps, torch.randn(SAMPLES, generator=generator)


def given_to_the_page(explorer: AttentionExplorer) -> dict:
    own = {name: getattr(explorer, name) for name in AttentionExplorer.class_own_traits(sync=True)}
    packed = {name: base64.b64encode(value).decode() for name, value in own.items() if isinstance(value, bytes)}
    plain = {name: value for name, value in own.items() if name not in packed}
    return {"plain": plain, "packed": packed, "module": AttentionExplorer._esm, "css": AttentionExplorer._css}


def measure(browser: Browser, explorer: AttentionExplorer) -> dict[str, float]:
    """Seconds until a view is painted, and milliseconds until an answer to a pointer move is."""
    given = given_to_the_page(explorer)
    page = browser.new_page(viewport={"width": 1200, "height": 1100})
    page.set_content("<!doctype html><body></body>")
    worked = main_thread_seconds(page)
    openings, work_to_open = [], []
    for _ in range(OPENINGS):
        before = worked()
        openings.append(page.evaluate(f"async given => {{ {OPEN} }}", given) / 1000)
        work_to_open.append(worked() - before)
    page.evaluate(f"() => {{ {WATCH} }}")
    box = page.locator(".w2v2-picture").first.bounding_box()
    before = worked()
    for i in range(MOVES):
        share = 0.2 + 0.7 * i / MOVES
        page.mouse.move(box["x"] + share * box["width"], box["y"] + (1.1 - share) * box["height"])
    page.wait_for_function("window.answers.length === window.work.length")
    work_to_answer = (worked() - before) / MOVES
    answers, work = page.evaluate("[window.answers, window.work]")
    page.close()
    sent = sum(len(getattr(explorer, name)) for name in ("weights", "ranges", "sound"))
    return {
        "megabytes": sent / 1e6,
        "levels": explorer.shape["most"] + 1,
        "frames": explorer.shape["frames"],
        "open_s": statistics.median(openings),
        "open_slowest_s": max(openings),
        "open_work_s": statistics.median(work_to_open),
        "moves": MOVES,
        "answer_work_ms": 1000 * work_to_answer,
        **_two("handled_ms", work),
        **_two("painted_ms", answers),
    }


def main_thread_seconds(page: Page) -> Callable[[], float]:
    """Call what this returns: how long the page's main thread has worked so far, waiting left out."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    return seconds


def _two(name: str, values: list[float]) -> dict[str, float]:
    return {f"{name}_median": statistics.median(values), f"{name}_95": float(np.quantile(values, 0.95))}


def main() -> None:
    print(f"{versions()}\n")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    results = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, maps in (("speech", speech), ("noise", noise)):
            attentions, waveform = maps()
            explorer = AttentionExplorer(attentions, waveform, (), (), hop=HOP, first=FIRST)
            results[name] = {key: round(value, 4) for key, value in measure(browser, explorer).items()}
        results["browser"] = f"Chromium {browser.version}"
        browser.close()
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"{results['browser']}, {LAYERS} layers × {HEADS} heads × {T} frames\n")
    columns = (
        "maps of | MB | levels | frames | open (s) | its work (s) | a move handled (ms) | 95 % | painted (ms) | 95 %"
    )
    print(f"| {columns} | its work (ms) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in ("speech", "noise"):
        r = results[name]
        print(f"| {name} | {r['megabytes']:.2f} | {r['levels']} | {r['frames']} ", end="")
        print(f"| {r['open_s']:.2f} | {r['open_work_s']:.2f} ", end="")
        print(f"| {r['handled_ms_median']:.1f} | {r['handled_ms_95']:.1f} ", end="")
        print(f"| {r['painted_ms_median']:.1f} | {r['painted_ms_95']:.1f} | {r['answer_work_ms']:.1f} |")


if __name__ == "__main__":
    main()
