// A stack of convolutions as rows of units over a waveform. The unit under the cursor, or the one chosen with the arrow
// keys, lights everything below it that it sees, down to the samples.
const WIDTH = 1000, LEFT = 90, RIGHT = 990, ROW = 30, WAVE = 110, AXIS = 40;
const MOST_KERNEL = 512, MOST_STRIDE = 64, MOST_LAYERS = 12, MOST_UNITS = 700;

// After each layer: how many samples a unit sees, and how far apart two units are. The same recurrence as in Python.
function receptiveField(layers) {
  let samples = 1, hop = 1;
  return layers.map(([kernel, stride]) => {
    samples += (kernel - 1) * hop;
    hop *= stride;
    return { samples, hop };
  });
}

// Rows are counted from 1 above the samples, row 0; a reader sees layers counted from 0, as in the code.
// The units of every row below that unit `index` of row `layer` sees, as [first, last]; entry 0 is the samples.
function cone(layers, layer, index) {
  const ranges = Array(layer + 1);
  ranges[layer] = [index, index];
  for (let l = layer; l > 0; l--) {
    const [first, last] = ranges[l], [kernel, stride] = layers[l - 1];
    ranges[l - 1] = [first * stride, last * stride + kernel - 1];
  }
  return ranges;
}

function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el, "rf", "Point at a unit, or focus the picture: ← → another frame, ↑ ↓ another layer, Home and End the ends of a row.",
  ); // prettier-ignore
  const svg = make("svg", { tabindex: 0, role: "application" }, body, SVG);
  const waveform = float32(model.get("waveform"));
  const rate = model.get("sample_rate");
  const ms = (samples) => `${+((1000 * samples) / rate).toFixed(3)} ms`;
  let chosen = { layer: model.get("layers").length, index: 1 };
  let geometry = null;

  const set = (layers) => {
    model.set("layers", layers);
    model.save_changes();
  };

  function drawControls() {
    const layers = model.get("layers");
    controls.replaceChildren();
    for (const [name, preset] of Object.entries(model.get("presets")))
      button(controls, name, () => set(preset), { "aria-pressed": String(preset) === String(layers) });
    layers.forEach(([kernel, stride], i) => {
      const field = make("fieldset", {}, controls);
      make("legend", {}, field).textContent = `layer ${i}`;
      const change = (layer) => set(layers.map((old, j) => (j === i ? layer : old)));
      numberInput(field, `kernel of layer ${i}`, kernel, MOST_KERNEL, (value) => change([value, stride]));
      numberInput(field, `stride of layer ${i}`, stride, MOST_STRIDE, (value) => change([kernel, value]));
    });
    button(controls, "add a layer", () => set([...layers, [2, 2]])).disabled = layers.length >= MOST_LAYERS;
    button(controls, "remove the last", () => set(layers.slice(0, -1))).disabled = layers.length <= 1;
  }

  function numberInput(parent, name, value, most, change) {
    const label = labeled(parent, name.split(" ")[0]);
    const input = make("input", { type: "number", min: 1, max: most, step: 1, "aria-label": name }, label);
    input.value = value;
    input.onchange = () => {
      if (input.value !== "" && input.checkValidity()) change(+input.value);
      else say(`The ${name} must be a whole number from 1 to ${most}.`);
    };
  }

  // Everything that depends on kernels and strides: how many samples are shown, where each unit stands.
  function layOut() {
    const layers = model.get("layers");
    const fields = receptiveField(layers), top = fields.at(-1);
    const frames = Math.min(40, Math.max(4, Math.round((1.5 * top.samples) / top.hop) + 1));
    const shown = top.samples + (frames - 1) * top.hop;
    const height = ROW * layers.length + WAVE + AXIS + 10;
    geometry = {
      layers, fields, shown, height,
      x: (sample) => LEFT + ((RIGHT - LEFT) * sample) / shown,
      y: (layer) => 6 + ROW * (layers.length - layer), // row 1 is the lowest
      units: fields.map(({ samples, hop }) => Math.floor((shown - samples) / hop) + 1),
    };
    chosen = { layer: layers.length, index: Math.min(1, frames - 1) };
  }

  function draw() {
    const { layers, fields, shown, height, x, units } = geometry;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    svg.replaceChildren();
    const lit = cone(layers, chosen.layer, chosen.index);
    fields.forEach(({ samples, hop }, i) => drawRow(i + 1, samples, hop, units[i], lit[i + 1]));
    drawWaveform(lit[0]);
    const bottom = height - AXIS + 8;
    const axis = { x1: LEFT, x2: RIGHT, y1: bottom, y2: bottom, class: "axis" };
    make("line", axis, svg, SVG);
    for (let tick = 0; tick <= 4; tick++) {
      const sample = Math.round((shown * tick) / 4);
      const at = { x: x(sample), y: bottom + 20, "text-anchor": tick === 0 ? "start" : tick === 4 ? "end" : "middle" };
      make("text", at, svg, SVG).textContent = tick === 0 ? "sample 0" : `${sample} (${ms(sample)})`;
    }
    describe(lit[0]);
  }

  function drawRow(layer, samples, hop, count, range) {
    const { x, y } = geometry;
    make("text", { x: 0, y: y(layer) + ROW / 2 + 4 }, svg, SVG).textContent = `layer ${layer - 1}`;
    const rect = (first, last, extra) =>
      make("rect", {
        x: x(first * hop + samples / 2 - hop / 2) + 0.5, y: y(layer) + 4, height: ROW - 9, rx: 2,
        width: Math.max(0.8, x((last - first + 1) * hop) - x(0) - 1), class: `unit ${extra}`,
      }, svg, SVG); // prettier-ignore
    if (count > MOST_UNITS) {
      rect(0, count - 1, "");
      if (range) rect(range[0], range[1], "lit");
      return;
    }
    for (let i = 0; i < count; i++) {
      const isLit = range && i >= range[0] && i <= range[1];
      const isChosen = layer === chosen.layer && i === chosen.index;
      rect(i, i, `${isLit ? "lit" : ""} ${isChosen ? "chosen" : ""}`);
    }
  }

  function drawWaveform([first, last]) {
    const { x, y, shown } = geometry;
    const top = y(0) + 4, middle = top + WAVE / 2;
    make("text", { x: 0, y: middle + 4 }, svg, SVG).textContent = "samples";
    const size = { x: x(first), width: x(last + 1) - x(first), y: top, height: WAVE };
    make("rect", { class: "window", ...size }, svg, SVG);
    const peak = waveform.subarray(0, shown).reduce((most, v) => Math.max(most, Math.abs(v)), 1e-9);
    const path = (from, to, extra) => {
      const points = [];
      const step = Math.max(1, Math.floor((to - from) / 2000));
      const height = (n) => middle - (waveform[n] / peak) * WAVE * 0.46;
      for (let n = from; n < to; n += step) points.push(`${x(n).toFixed(1)},${height(n).toFixed(1)}`);
      make("polyline", { class: `wave ${extra}`, points: points.join(" ") }, svg, SVG);
    };
    path(0, Math.min(shown, waveform.length), "");
    path(first, Math.min(last + 1, waveform.length), "lit");
  }

  function describe([first, last]) {
    const { fields } = geometry;
    const { samples, hop } = fields[chosen.layer - 1];
    const what = chosen.layer === fields.length ? `Frame ${chosen.index}` : `Unit ${chosen.index} of layer ${chosen.layer - 1}`;
    const text =
      `${what} sees samples ${first} to ${last}: ${samples} samples, ${ms(samples)}. ` +
      `Its neighbor begins ${hop} samples (${ms(hop)}) later: ${+(rate / hop).toFixed(2)} a second.`;
    say(text);
    svg.setAttribute("aria-label", `Receptive field. ${text}`);
  }

  function choose(layer, index) {
    layer = Math.min(Math.max(layer, 1), geometry.fields.length);
    index = Math.min(Math.max(index, 0), geometry.units[layer - 1] - 1);
    if (layer === chosen.layer && index === chosen.index) return;
    chosen = { layer, index };
    draw();
  }

  svg.addEventListener("pointermove", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const { fields, shown } = geometry;
    const layer = fields.length - Math.floor((point.y - 6) / ROW);
    if (layer > fields.length || point.x < LEFT || point.x > RIGHT) return;
    const row = Math.max(layer, 1); // over the waveform: the lowest layer
    const { samples, hop } = fields[row - 1];
    const sample = ((point.x - LEFT) / (RIGHT - LEFT)) * shown;
    choose(row, Math.floor((sample - samples / 2 + hop / 2) / hop));
  });

  const at = (layer) => {
    const sample = chosen.index * geometry.fields[chosen.layer - 1].hop;
    return Math.round(sample / (geometry.fields[layer - 1]?.hop ?? 1));
  };
  keys(svg, {
    ArrowLeft: () => choose(chosen.layer, chosen.index - 1),
    ArrowRight: () => choose(chosen.layer, chosen.index + 1),
    ArrowUp: () => choose(chosen.layer + 1, at(chosen.layer + 1)),
    ArrowDown: () => choose(chosen.layer - 1, at(chosen.layer - 1)),
    Home: () => choose(chosen.layer, 0),
    End: () => choose(chosen.layer, Infinity),
  });

  function redraw() {
    const focused = root.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    drawControls();
    layOut();
    draw();
    if (focused) [...controls.querySelectorAll("input")].find((i) => i.ariaLabel === focused)?.focus();
  }
  model.on("change:layers", redraw);
  redraw();
  return () => model.off("change:layers", redraw);
}

export default { render };
