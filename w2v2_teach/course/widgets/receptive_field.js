// A stack of convolutions as rows of units over a waveform. The unit under the cursor, or the one chosen with the arrow
// keys, lights everything below it that it sees, down to the samples.
const WIDTH = 1000;
const LEFT = 90;
const RIGHT = 990;
const ROW = 30;
const WAVE = 110;
const AXIS = 40;
const MOST_KERNEL = 512;
const MOST_STRIDE = 64;
const MOST_LAYERS = 12;
const MOST_UNITS = 700;

/**
 * @typedef {[kernel: number, stride: number]} Layer
 * @typedef {[first: number, last: number]} Range of units or samples
 * @typedef {{ layers: Layer[], presets: Record<string, Layer[]>, sample_rate: number, waveform: Bytes }} Traits
 */

/**
 * After each layer: how many samples a unit sees, and how far apart two units are. The same recurrence as in Python.
 * @param {Layer[]} layers
 */
function receptiveField(layers) {
  let samples = 1;
  let hop = 1;
  return layers.map(([kernel, stride]) => {
    samples += (kernel - 1) * hop;
    hop *= stride;
    return { samples, hop };
  });
}

// Rows are counted from 1 above the samples, row 0; a reader sees layers counted from 0, as in the code.
/**
 * The units of every row below that unit `index` of row `layer` sees; entry 0 is the samples.
 * @param {Layer[]} layers @param {number} layer @param {number} index
 */
function cone(layers, layer, index) {
  /** @type {Range[]} */
  const ranges = Array(layer + 1);
  ranges[layer] = [index, index];
  for (let l = layer; l > 0; l--) {
    const [first, last] = ranges[l];
    const [kernel, stride] = layers[l - 1];
    ranges[l - 1] = [first * stride, last * stride + kernel - 1];
  }
  return ranges;
}

/** @type {import("@anywidget/types").Render<Traits>} */
function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el,
    "rf",
    "Point at a unit, or focus the picture: ← → another frame, ↑ ↓ another layer, Home and End the ends of a row.",
  );
  const svg = makeSvg("svg", { tabindex: 0, role: "application" }, body);
  const waveform = float32(model.get("waveform"));
  const rate = model.get("sample_rate");
  const ms = (/** @type {number} */ samples) => `${+((1000 * samples) / rate).toFixed(3)} ms`;
  let chosen = { layer: model.get("layers").length, index: 1 };
  /** @type {ReturnType<typeof layOut>} */
  let geometry;

  const set = (/** @type {Layer[]} */ layers) => {
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
      const change = (/** @type {Layer} */ layer) => set(layers.map((old, j) => (j === i ? layer : old)));
      numberInput(field, `kernel of layer ${i}`, kernel, MOST_KERNEL, (value) => change([value, stride]));
      numberInput(field, `stride of layer ${i}`, stride, MOST_STRIDE, (value) => change([kernel, value]));
    });
    button(controls, "add a layer", () => set([...layers, [2, 2]])).disabled = layers.length >= MOST_LAYERS;
    button(controls, "remove the last", () => set(layers.slice(0, -1))).disabled = layers.length <= 1;
  }

  /**
   * @param {Element} parent @param {string} name @param {number} value @param {number} most
   * @param {(value: number) => void} change
   */
  function numberInput(parent, name, value, most, change) {
    const label = labeled(parent, name.split(" ")[0]);
    const input = make("input", { type: "number", min: 1, max: most, step: 1, "aria-label": name }, label);
    input.value = String(value);
    input.onchange = () => {
      if (input.value !== "" && input.checkValidity()) change(+input.value);
      else say(`The ${name} must be a whole number from 1 to ${most}.`);
    };
  }

  // Everything that depends on kernels and strides: how many samples are shown, where each unit stands.
  function layOut() {
    const layers = model.get("layers");
    const fields = receptiveField(layers);
    const top = fields[fields.length - 1];
    const frames = Math.min(40, Math.max(4, Math.round((1.5 * top.samples) / top.hop) + 1));
    const shown = top.samples + (frames - 1) * top.hop;
    const height = ROW * layers.length + WAVE + AXIS + 10;
    return {
      layers,
      fields,
      shown,
      height,
      x: (/** @type {number} */ sample) => LEFT + ((RIGHT - LEFT) * sample) / shown,
      y: (/** @type {number} */ layer) => 6 + ROW * (layers.length - layer), // row 1 is the lowest
      units: fields.map(({ samples, hop }) => Math.floor((shown - samples) / hop) + 1),
    };
  }

  function draw() {
    const { layers, fields, shown, height, x, units } = geometry;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    svg.replaceChildren();
    const lit = cone(layers, chosen.layer, chosen.index);
    fields.forEach(({ samples, hop }, i) => {
      drawRow(i + 1, samples, hop, units[i], lit[i + 1]);
    });
    drawWaveform(lit[0]);
    const bottom = height - AXIS + 8;
    const axis = { x1: LEFT, x2: RIGHT, y1: bottom, y2: bottom, class: "axis" };
    makeSvg("line", axis, svg);
    for (let tick = 0; tick <= 4; tick++) {
      const sample = Math.round((shown * tick) / 4);
      const at = { x: x(sample), y: bottom + 20, "text-anchor": tick === 0 ? "start" : tick === 4 ? "end" : "middle" };
      makeSvg("text", at, svg).textContent = tick === 0 ? "sample 0" : `${sample} (${ms(sample)})`;
    }
    describe(lit[0]);
  }

  /**
   * @param {number} layer @param {number} samples @param {number} hop @param {number} count
   * @param {Range | undefined} range what is lit
   */
  function drawRow(layer, samples, hop, count, range) {
    const { x, y } = geometry;
    makeSvg("text", { x: 0, y: y(layer) + ROW / 2 + 4 }, svg).textContent = `layer ${layer - 1}`;
    /** @type {(first: number, last: number, extra: string) => void} */
    const rect = (first, last, extra) =>
      makeSvg(
        "rect",
        {
          x: x(first * hop + samples / 2 - hop / 2) + 0.5,
          y: y(layer) + 4,
          height: ROW - 9,
          rx: 2,
          width: Math.max(0.8, x((last - first + 1) * hop) - x(0) - 1),
          class: `unit ${extra}`,
        },
        svg,
      );
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

  /** @param {Range} lit */
  function drawWaveform([first, last]) {
    const { x, y, shown } = geometry;
    const top = y(0) + 4;
    const middle = top + WAVE / 2;
    makeSvg("text", { x: 0, y: middle + 4 }, svg).textContent = "samples";
    const size = { x: x(first), width: x(last + 1) - x(first), y: top, height: WAVE };
    makeSvg("rect", { class: "window", ...size }, svg);
    const peak = waveform.subarray(0, shown).reduce((most, v) => Math.max(most, Math.abs(v)), 1e-9);
    /** @type {(from: number, to: number, extra: string) => void} */
    const path = (from, to, extra) => {
      const points = [];
      const step = Math.max(1, Math.floor((to - from) / 2000));
      const height = (/** @type {number} */ n) => middle - (waveform[n] / peak) * WAVE * 0.46;
      for (let n = from; n < to; n += step) points.push(`${x(n).toFixed(1)},${height(n).toFixed(1)}`);
      makeSvg("polyline", { class: `wave ${extra}`, points: points.join(" ") }, svg);
    };
    path(0, Math.min(shown, waveform.length), "");
    path(first, Math.min(last + 1, waveform.length), "lit");
  }

  /** @param {Range} seen */
  function describe([first, last]) {
    const { fields } = geometry;
    const { samples, hop } = fields[chosen.layer - 1];
    const what =
      chosen.layer === fields.length ? `Frame ${chosen.index}` : `Unit ${chosen.index} of layer ${chosen.layer - 1}`;
    const text =
      `${what} sees samples ${first} to ${last}: ${samples} samples, ${ms(samples)}. ` +
      `Its neighbor begins ${hop} samples (${ms(hop)}) later: ${+(rate / hop).toFixed(2)} a second.`;
    say(text);
    svg.setAttribute("aria-label", `Receptive field. ${text}`);
  }

  /** @param {number} layer @param {number} index */
  function choose(layer, index) {
    layer = Math.min(Math.max(layer, 1), geometry.fields.length);
    index = Math.min(Math.max(index, 0), geometry.units[layer - 1] - 1);
    if (layer === chosen.layer && index === chosen.index) return;
    chosen = { layer, index };
    draw();
  }

  svg.addEventListener("pointermove", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM()?.inverse());
    const { fields, shown } = geometry;
    const layer = fields.length - Math.floor((point.y - 6) / ROW);
    if (layer > fields.length || point.x < LEFT || point.x > RIGHT) return;
    const row = Math.max(layer, 1); // over the waveform: the lowest layer
    const { samples, hop } = fields[row - 1];
    const sample = ((point.x - LEFT) / (RIGHT - LEFT)) * shown;
    choose(row, Math.floor((sample - samples / 2 + hop / 2) / hop));
  });

  // The unit of row `layer` that stands where the chosen one does.
  const at = (/** @type {number} */ layer) => {
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
    const focused = root.contains(document.activeElement) && document.activeElement?.getAttribute("aria-label");
    drawControls();
    geometry = layOut();
    chosen = { layer: geometry.layers.length, index: 1 };
    draw();
    if (focused) [...controls.querySelectorAll("input")].find((i) => i.ariaLabel === focused)?.focus();
  }
  model.on("change:layers", redraw);
  redraw();
  return () => model.off("change:layers", redraw);
}

export default { render };
