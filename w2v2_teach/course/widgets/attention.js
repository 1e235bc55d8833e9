// All heads as small maps; one of them large, with words and phones on both axes; and over the waveform, what one frame
// looks at. Point at a frame, in the map or over the waveform, and it becomes the query.

/** @type {Record<"global" | "vertical" | "diagonal", [color: string, meaning: string]>} what a head attends to */
const TYPES = {
  global: ["#e69f00", "more widely than the rest"],
  vertical: ["#56b4e9", "more at the same few frames"],
  diagonal: ["#009e73", "more nearby"],
};
/** @type {[name: string, by: Measure | null][]} */
const ORDERS = [
  ["as in the model", null],
  ["most global first", "globalness"],
  ["most vertical first", "verticality"],
  ["most diagonal first", "diagonality"],
];
const COLORS = ["from 0", "from each map's smallest weight"]; // what is darkest; the brightest is each map's ceiling
// Around the large map, in CSS pixels
const BANDS = { words: 26, phones: 36, mask: 8 };
const LEGEND = 44;
// Around the waveform
const LEFT = 92;
const RIGHT = 62;
const WAVE = 170;
const AXIS = 30;

const THUMB = 112; // dots of a small map

/**
 * @typedef {"globalness" | "verticality" | "diagonality"} Measure
 * @typedef {{ layer: number, head: number, type: keyof typeof TYPES, floor: number, ceiling: number,
 *   largest: number } & Record<Measure, number>} Head `floor` to `largest` are weights of its map
 * @typedef {{ layers: string[], columns: number, frames: number, most: number, hop: number, first: number,
 *   rate: number }} Shape
 * @typedef {{ shape: Shape, heads: Head[], words: Interval[], phones: Interval[], mask: (0 | 1)[],
 *   weights: Bytes, ranges: Bytes, sound: Bytes }} Traits
 * @typedef {(g: Context2D, scale: TimeScale, y: number, height: number, colors: Colors) => void} DrawBand
 */

/**
 * The weights as Python has packed them: per row of a map its smallest and its largest weight, in 65,535ths of the
 * map's largest, and per weight a level between them, on a square-root scale.
 */
class Weights {
  /**
   * @param {Uint8Array} levels (heads, T, T), each from 0 to `most` @param {Uint16Array} ranges (heads, T, 2)
   * @param {number} T @param {number} most @param {Head[]} heads
   */
  constructor(levels, ranges, T, most, heads) {
    this.levels = levels;
    this.ranges = ranges;
    this.T = T;
    this.most = most;
    this.heads = heads;
    this.stretched = false;
  }
  /**
   * The weights that get the darkest and the brightest color.
   * @param {number} head
   */
  colors(head) {
    const { floor, ceiling } = this.heads[head];
    return [this.stretched ? floor : 0, ceiling];
  }
  /**
   * What each level of a row stands for: a table of `most` + 1 weights.
   * @param {number} head @param {number} row
   */
  table(head, row) {
    const at = 2 * (head * this.T + row);
    const unit = this.heads[head].largest / 65535;
    const low = unit * this.ranges[at];
    const high = unit * this.ranges[at + 1];
    return Float32Array.from({ length: this.most + 1 }, (_, level) => low + (high - low) * (level / this.most) ** 2);
  }
  /**
   * The weights of a query, which add up to 1.
   * @param {number} head @param {number} query
   */
  row(head, query) {
    const table = this.table(head, query);
    const from = (head * this.T + query) * this.T;
    const row = Float32Array.from({ length: this.T }, (_, key) => table[this.levels[from + key]]);
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((weight) => weight / sum);
  }
  /**
   * A map as bytes, 0 to 255 from its darkest to its brightest, in `size` × `size` dots; each shows the largest weight
   * that it covers.
   * @param {number} head @param {number} size
   */
  image(head, size) {
    const { T, levels } = this;
    const bytes = new Uint8ClampedArray(size * size);
    const [low, high] = this.colors(head);
    const column = Uint16Array.from({ length: T }, (_, key) => Math.floor((key * size) / T));
    for (let query = 0; query < T; query++) {
      const shades = Uint8ClampedArray.from(this.table(head, query), (weight) => (255 * (weight - low)) / (high - low));
      const from = (head * T + query) * T;
      const to = Math.floor((query * size) / T) * size;
      for (let key = 0; key < T; key++) {
        const shade = shades[levels[from + key]];
        const dot = to + column[key];
        if (shade > bytes[dot]) bytes[dot] = shade;
      }
    }
    return bytes;
  }
}

/** @type {import("@anywidget/types").Render<Traits>} */
async function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el,
    "attention",
    "Click a small map to enlarge it; point at a frame, in the map or over the waveform, to make it the query. Keys: " +
      "arrows walk through the small maps, Enter enlarges; in the large map ↑ ↓ query, ← → key; over the waveform ← → " +
      "query, Space plays what is said there, Enter what the query looks at most.",
  );
  const { layers, columns, frames: T, most, hop, first, rate } = model.get("shape");
  const heads = model.get("heads");
  const words = model.get("words");
  const phones = model.get("phones");
  const mask = model.get("mask");
  const [levels, ranges, pressed] = await Promise.all([
    inflate(model.get("weights")),
    inflate(model.get("ranges")),
    inflate(model.get("sound")),
  ]);
  const weights = new Weights(levels, new Uint16Array(ranges.buffer), T, most, heads);
  const samples = new Int16Array(pressed.buffer);
  const seconds = samples.length / rate;
  const sound = player(rate, say);
  let shown = 0;
  let query = Math.floor(T / 2);
  let key = query;
  let row = weights.row(shown, query);

  const middle = (/** @type {number} */ t) => first + t * hop; // s
  const nameOf = (/** @type {Head} */ { layer, head, type }) => `${layers[layer]}, head ${head + 1}: ${type}`;

  // Small maps --------------------------------------------------------------------------------------------------------
  const orders = ORDERS.map(([name]) => name);
  select(controls, "order", orders, 0, (i) => arrange(ORDERS[i][1]));
  select(controls, "colors", COLORS, 0, (i) => {
    weights.stretched = i === 1;
    thumbs.forEach(paint);
    map.redraw();
  });
  button(controls, "▶ play it all", () => sound.play([samples]));
  const split = make("div", { class: "w2v2-split" }, body);
  const left = make("div", {}, split);
  const right = make("div", {}, split);
  const grid = make("div", { role: "group", "aria-label": "all heads", class: "w2v2-heads" }, left);
  grid.style.gridTemplateColumns = `minmax(0, auto) repeat(${columns}, minmax(0, 1fr))`;
  const thumbs = heads.map((head, i) => {
    const name = { title: nameOf(head), "aria-label": nameOf(head), "aria-pressed": "false" };
    const node = button(grid, "", () => enlarge(i), name);
    node.style.setProperty("--type", TYPES[head.type][0]);
    const canvas = make("canvas", { width: THUMB, height: THUMB, "aria-hidden": "true" }, node);
    make("span", {}, node).textContent = `${head.layer + 1}.${head.head + 1}`;
    make("b", {}, node).textContent = head.type[0].toUpperCase();
    return { node, canvas };
  });
  /** @param {{ canvas: HTMLCanvasElement }} thumb @param {number} i */
  function paint({ canvas }, i) {
    const size = Math.min(THUMB, T);
    const g = context2D(canvas);
    g.imageSmoothingEnabled = false;
    g.drawImage(heatmap(weights.image(i, size), size, size), 0, 0, THUMB, THUMB);
  }
  thumbs.forEach(paint);
  const walk = rove(grid, columns);
  /** @type {[text: string, color: string][]} */
  const meanings = Object.entries(TYPES).map(([type, [color, meaning]]) => [`${type}: ${meaning}`, color]);
  legend(left, "", meanings);

  /** @param {Measure | null} by */
  function arrange(by) {
    const order = heads.map((_, i) => i).sort((a, b) => (by ? heads[b][by] - heads[a][by] : a - b));
    /** @type {HTMLElement[]} */
    const cells = [];
    order.forEach((i, place) => {
      if (place % columns === 0) {
        const title = make("span", { class: "w2v2-row" });
        title.textContent = by ? `${place + 1}.` : layers[heads[i].layer];
        cells.push(title);
      }
      cells.push(thumbs[i].node);
    });
    grid.replaceChildren(...cells);
    walk(order.map((i) => thumbs[i].node));
  }

  // The large map -----------------------------------------------------------------------------------------------------
  /** @type {{ height: number, draw: DrawBand }[]} */
  const bands = [];
  if (words.length) bands.push({ height: BANDS.words, draw: (g, ...where) => band(g, words, ...where) });
  if (phones.length) bands.push({ height: BANDS.phones, draw: (g, ...where) => band(g, phones, ...where) });
  if (mask.length) bands.push({ height: BANDS.mask, draw: maskMarks });
  const bandsHeight = bands.reduce((sum, { height }) => sum + height, 0);
  const corner = Math.max(26, bandsHeight); // above the map and to its left
  let side = 0; // the map's size
  /** @type {TimeScale} seconds ↔ pixels along either of its axes */
  let along;
  const map = picture(root, right, "Attention map, queries down and keys across", (w) => w + LEGEND, drawMap, pointMap);

  /** @type {DrawBand} */
  function maskMarks(g, scale, y, height, colors) {
    g.fillStyle = colors.target;
    mask.forEach((masked, t) => {
      if (masked) g.fillRect(scale.start(t), y, scale.start(t + 1) - scale.start(t), height);
    });
  }
  /**
   * What is said along one axis; `place` says where a band stands that begins `y` from the outside.
   * @param {Context2D} g @param {Colors} colors @param {(y: number, height: number) => number} place
   */
  function drawBands(g, colors, place) {
    let y = 0;
    for (const { height, draw } of bands) {
      draw(g, along, place(y, height), height - 2, colors);
      y += height;
    }
  }

  /** @type {Draw} */
  function drawMap(g, width, _height, colors) {
    side = width - corner - 2;
    const from = corner - (side * middle(-0.5)) / (T * hop); // where 0 s is: frame 0 begins a little later
    along = timeScale(from, from + side, T * hop, hop, first);
    const image = heatmap(weights.image(shown, T), T, T);
    const size = Math.min(1, side / T);
    g.imageSmoothingEnabled = size < 1;
    g.drawImage(image, corner, corner, side, side);
    g.save();
    g.beginPath();
    g.rect(corner, 0, side, corner);
    g.rect(0, corner, corner, side);
    g.clip();
    drawBands(g, colors, (y) => y);
    g.translate(corner, 0);
    g.rotate(Math.PI / 2); // the same bands for the other axis: what was across goes down, what was down goes left
    drawBands(g, colors, (y, height) => corner - y - height + 2);
    g.restore();
    g.fillStyle = colors.ink;
    g.font = `14px ${FONT}`;
    nameAxes(g);
    drawLegend(g, corner + side + 14, colors);
  }

  /**
   * In the corner where there are bands, else along the map's edges.
   * @param {Context2D} g
   */
  function nameAxes(g) {
    g.textAlign = bands.length ? "right" : "left";
    g.fillText("key →", bands.length ? corner - 4 : corner, 12);
    g.textAlign = "left";
    if (bands.length) return g.fillText("query ↓", 2, corner - 12);
    g.save();
    g.translate(12, corner);
    g.rotate(Math.PI / 2);
    g.fillText("query →", 0, 0);
    g.restore();
  }

  /** @param {Context2D} g @param {number} y @param {Colors} colors */
  function drawLegend(g, y, colors) {
    const width = 120;
    const right = corner + side;
    const [low, high] = weights.colors(shown).map((weight) => (T * weight).toPrecision(2));
    g.drawImage(ramp(), right - width - 150, y, width, 14);
    g.fillStyle = colors.ink;
    g.textAlign = "right";
    g.fillText(+low ? low : "0", right - width - 156, y + 7);
    g.textAlign = "left";
    g.fillText(`${high} even shares 1/T`, right - 144, y + 7);
    if (!mask.length) return;
    g.fillStyle = colors.target;
    g.fillRect(corner, y, 14, 14);
    g.fillStyle = colors.ink;
    g.fillText("masked", corner + 20, y + 7);
  }

  /** @type {Draw} */
  function pointMap(g, _width, _height, colors) {
    const y = along.start(query);
    const x = along.start(key);
    const thick = Math.max(3, along.start(1) - along.start(0));
    g.lineWidth = 2;
    g.strokeStyle = colors.lit;
    g.strokeRect(corner - 1, y - 1, side + 1, thick + 2);
    g.strokeStyle = "#fff";
    g.setLineDash([4, 4]);
    g.strokeRect(x - 1, corner, thick + 2, side);
    g.setLineDash([]);
  }

  // The waveform ------------------------------------------------------------------------------------------------------
  const phonesTop = words.length ? 28 : 0;
  const maskTop = phonesTop + (phones.length ? 42 : 0);
  const top = { words: 0, phones: phonesTop, mask: maskTop, wave: maskTop + (mask.length ? 12 : 0) + 4 };
  /** @type {TimeScale} */
  let scale;
  const height = top.wave + WAVE + AXIS;
  const wave = picture(root, body, "What the query looks at, over the waveform", height, drawWaveform, pointWave);

  /** @type {Draw} */
  function drawWaveform(g, width, _height, colors) {
    scale = timeScale(LEFT, width - RIGHT, seconds, hop, first);
    /** @type {(text: string, y: number) => void} */
    const label = (text, y) => g.fillText(text, LEFT - 8, y);
    g.fillStyle = colors.ink;
    g.textAlign = "right";
    if (words.length) label("words", top.words + 13);
    if (phones.length) label("phones", top.phones + 20);
    if (mask.length) label("masked", top.mask + 4);
    label("waveform,", top.wave + WAVE / 2 - 9);
    label("attention", top.wave + WAVE / 2 + 9);
    band(g, words, scale, top.words, 26, colors);
    band(g, phones, scale, top.phones, 40, colors);
    maskMarks(g, scale, top.mask, 8, colors);
    drawWave(g, samples, rate, scale, top.wave, WAVE, colors.wave);
    timeAxis(g, scale, top.wave + WAVE, colors);
  }

  /** @type {Draw} */
  function pointWave(g, _width, _height, colors) {
    const bottom = top.wave + WAVE;
    const peak = Math.max(...row);
    const y = (/** @type {number} */ weight) => bottom - (0.94 * WAVE * weight) / peak;
    g.beginPath();
    g.moveTo(scale.start(0), bottom);
    row.forEach((weight, t) => {
      g.lineTo(scale.start(t), y(weight));
      g.lineTo(scale.start(t + 1), y(weight));
    });
    g.lineTo(scale.start(T), bottom);
    g.fillStyle = g.strokeStyle = colors.context;
    g.globalAlpha = 0.4;
    g.fill();
    g.globalAlpha = 1;
    g.lineWidth = 1.5;
    g.stroke();
    g.fillStyle = g.strokeStyle = colors.lit;
    g.globalAlpha = 0.35;
    g.fillRect(scale.start(query), 0, scale.start(query + 1) - scale.start(query), bottom);
    g.globalAlpha = 1;
    g.strokeRect(scale.start(query), 0, scale.start(query + 1) - scale.start(query), bottom);
    g.fillStyle = colors.context;
    g.textAlign = "left";
    g.fillText(`${(T * peak).toPrecision(2)} ×`, scale.right + 6, y(peak) + 4);
    g.fillText("1/T", scale.right + 6, y(peak) + 22);
  }

  // What is shown, in words -------------------------------------------------------------------------------------------
  /** @param {number} t */
  function place(t) {
    const word = labelAt(words, middle(t));
    const phone = labelAt(phones, middle(t));
    return `frame ${t} at ${middle(t).toFixed(2)} s${phone ? `, [${phone}]` : ""}${word ? ` of “${word}”` : ""}`;
  }
  function describe() {
    let entropy = 0;
    let distance = 0;
    let best = 0;
    row.forEach((weight, t) => {
      if (weight > 0) entropy -= weight * Math.log(weight);
      distance += weight * Math.abs(t - query) * hop;
      if (weight > row[best]) best = t;
    });
    const masked = mask.length ? (mask[query] ? " (masked)" : " (not masked)") : "";
    /** @type {(weight: number, digits: number) => string} */
    const even = (weight, digits) => (T * weight).toFixed(digits);
    const pointed = key === query ? "" : ` Pointed at: ${place(key)}, ${even(row[key], 2)} even shares.`;
    say(
      `${nameOf(heads[shown])}. Query: ${place(query)}${masked}. Its largest weight, ${even(row[best], 1)} times the even ` +
        `share, goes to ${place(best)}. Entropy ${entropy.toFixed(2)} of at most ${Math.log(T).toFixed(2)} nats; mean ` +
        `distance ${distance.toFixed(2)} s.${pointed}`,
    );
    return best;
  }

  // What pointer and keys do ------------------------------------------------------------------------------------------
  /** @param {number} i */
  function enlarge(i) {
    thumbs[shown].node.setAttribute("aria-pressed", "false");
    thumbs[i].node.setAttribute("aria-pressed", "true");
    shown = i;
    row = weights.row(shown, query);
    map.redraw();
    wave.repoint();
    describe();
  }
  /** @param {number} to */
  function move(to, toKey = to) {
    [to, toKey] = [to, toKey].map((t) => Math.min(Math.max(t, 0), T - 1));
    if (to === query && toKey === key) return;
    [query, key] = [to, toKey];
    row = weights.row(shown, query);
    map.repoint();
    wave.repoint();
    describe();
  }
  /** @param {number} t */
  function hear(t) {
    const holds = (/** @type {Interval} */ [start, end]) => start <= middle(t) && middle(t) < end;
    const said = words.find(holds) ?? phones.find(holds);
    const [start, end] = said ?? [middle(t) - 0.1, middle(t) + 0.1];
    sound.play([samples.subarray(Math.max(0, Math.round(start * rate)), Math.round(end * rate))]);
  }

  map.node.addEventListener("pointermove", (event) => {
    const { x, y } = map.at(event);
    if (x >= corner && y >= corner && y <= corner + side) move(along.frameAt(y, T), along.frameAt(x, T));
  });
  wave.node.addEventListener("pointermove", (event) => {
    const { x } = wave.at(event);
    if (x >= LEFT && x <= scale.right) move(scale.frameAt(x, T));
  });
  wave.node.addEventListener("click", () => hear(query));
  keys(map.node, {
    ArrowUp: () => move(query - 1, key),
    ArrowDown: () => move(query + 1, key),
    ArrowLeft: () => move(query, key - 1),
    ArrowRight: () => move(query, key + 1),
    Home: () => move(query, 0),
    End: () => move(query, T - 1),
    " ": () => hear(key),
    Enter: () => hear(describe()),
  });
  keys(wave.node, {
    ArrowLeft: () => move(query - 1),
    ArrowRight: () => move(query + 1),
    Home: () => move(0),
    End: () => move(T - 1),
    " ": () => hear(query),
    Enter: () => hear(describe()),
  });

  arrange(null);
  wave.redraw();
  enlarge(0);
  const stopWatching = onTheme(() => {
    map.redraw();
    wave.redraw();
  });
  return () => {
    stopWatching();
    sound.stop();
  };
}

export default { render };
