// What every explorer is made of. No framework, nothing from a network. Python puts this text before an explorer's own
// (course/widgets/browser.py), so that both are one module; to the type checker these are global names.

/**
 * @typedef {CanvasRenderingContext2D} Context2D
 * @typedef {(g: Context2D, width: number, height: number, colors: Colors) => void} Draw on a canvas, in CSS pixels
 * @typedef {Record<(typeof NAMED)[number], string>} Colors
 * @typedef {[start: number, end: number, label: string]} Interval a phone or a word, times in s
 * @typedef {ReturnType<typeof timeScale>} TimeScale
 * @typedef {{ left: number, right: number, top: number, bottom: number }} Box
 * @typedef {[position: number, text: string]} Mark on an axis
 * @typedef {[x: number, y: number]} Point
 * @typedef {DataView<ArrayBuffer>} Bytes as they come from Python
 * @typedef {(text: string) => void} Say
 * @typedef {Record<string, string | number | boolean>} Attributes
 */

const SVG = "http://www.w3.org/2000/svg";
const FONT = "system-ui, sans-serif";
// biome-ignore format: a list of words, which shared.css defines
const NAMED = /** @type {const} */ ([
  "ink", "quiet", "paper", "soft", "band", "lit", "context", "wave", "unit", "target", "visible", "hidden",
]);

// Elements ------------------------------------------------------------------------------------------------------------

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Attributes} attributes @param {ParentNode | null} parent
 */
function make(tag, attributes = {}, parent = null) {
  return placed(document.createElement(tag), attributes, parent);
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag @param {Attributes} attributes @param {ParentNode} parent
 */
function makeSvg(tag, attributes, parent) {
  return placed(document.createElementNS(SVG, tag), attributes, parent);
}

/**
 * @template {Element} Made
 * @param {Made} node @param {Attributes} attributes @param {ParentNode | null} parent
 */
function placed(node, attributes, parent) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  parent?.append(node);
  return node;
}

/**
 * The frame of an explorer: a row of controls, a body, a line that says what there is to see, and one about the keys.
 * @param {HTMLElement} el @param {string} name @param {string} help
 */
function frame(el, name, help) {
  const root = make("div", { class: `w2v2 w2v2-${name}` }, el);
  root.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take `b` for "insert a cell"
  const controls = make("div", { class: "w2v2-controls" }, root);
  const body = make("div", { class: "w2v2-body" }, root);
  const output = make("output", { "aria-live": "polite" }, root);
  make("p", { class: "w2v2-help" }, root).textContent = help;
  /** @type {Say} */
  const say = (text) => {
    if (output.textContent !== text) output.textContent = text;
  };
  return { root, controls, body, output, say };
}

/** @param {Element} parent @param {string} text @param {() => void} press @param {Attributes} attributes */
function button(parent, text, press, attributes = {}) {
  const node = make("button", { type: "button", ...attributes }, parent);
  node.textContent = text;
  node.onclick = press;
  return node;
}

/** @param {Element} parent @param {string} name */
function labeled(parent, name) {
  const label = make("label", {}, parent);
  make("span", {}, label).textContent = name;
  return label;
}

/**
 * One of several texts; `change` gets its position.
 * @param {Element} parent @param {string} name @param {string[]} options @param {number} position
 * @param {(position: number) => void} change
 */
function select(parent, name, options, position, change) {
  const node = make("select", { "aria-label": name }, labeled(parent, name));
  for (const text of options) make("option", {}, node).textContent = text;
  node.selectedIndex = position;
  node.onchange = () => change(node.selectedIndex);
  return node;
}

/**
 * A number from a range; `show` writes it beside the slider and tells it to a screen reader. Returns the slider, and
 * how to set it without a call of `change`.
 * @param {Element} parent @param {string} name
 * @param {{ min: number, max: number, step: number, value: number, show?: (value: number) => string }} range
 * @param {(value: number) => void} change
 */
function slider(parent, name, { min, max, step, value, show = String }, change) {
  const label = labeled(parent, name);
  const node = make("input", { type: "range", min, max, step, "aria-label": name }, label);
  const text = make("span", { class: "w2v2-value" }, label);
  const update = () => {
    text.textContent = show(+node.value);
    node.setAttribute("aria-valuetext", text.textContent);
  };
  const set = (/** @type {number} */ to) => {
    node.value = String(to);
    update();
  };
  node.oninput = () => {
    update();
    change(+node.value);
  };
  set(value); // after min, max and step, which would otherwise still be those of 0 to 100
  return { node, set };
}

/**
 * What colors mean: [text, color] each.
 * @param {Element} parent @param {string} title @param {[text: string, color: string][]} entries
 */
function legend(parent, title, entries) {
  const line = make("p", { class: "w2v2-legend" }, parent);
  if (title) make("span", {}, line).textContent = title;
  for (const [text, color] of entries) {
    const entry = make("span", {}, line);
    make("i", { style: `background: ${color}` }, entry);
    entry.append(text);
  }
}

// Keys ----------------------------------------------------------------------------------------------------------------

/**
 * What keys do while `node` or something in it has the focus; `actions` is key → function.
 * @param {GlobalEventHandlers} node @param {Record<string, () => void>} actions
 */
function keys(node, actions) {
  node.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
}

/**
 * Arrow keys walk through the buttons in `node`, which stand in rows of `columns`; the Tab key sees one of them. Call
 * what this returns with the buttons in their order.
 * @param {HTMLElement} node @param {number} columns
 */
function rove(node, columns) {
  /** @type {HTMLElement[]} */
  let buttons = [];
  /** @param {EventTarget | null} to */
  const enter = (to) => {
    for (const other of buttons) other.tabIndex = other === to ? 0 : -1;
  };
  const now = () => buttons.findIndex((other) => other.tabIndex === 0);
  /** @param {number} step */
  const move = (step) => () => buttons[now() + step]?.focus();
  keys(node, {
    ArrowLeft: move(-1),
    ArrowRight: move(1),
    ArrowUp: move(-columns),
    ArrowDown: move(columns),
    Home: () => buttons[0].focus(),
    End: () => buttons.at(-1)?.focus(),
  });
  node.addEventListener("focusin", ({ target }) => {
    if (buttons.some((button) => button === target)) enter(target);
  });
  return (/** @type {HTMLElement[]} */ next) => {
    buttons = next;
    enter(buttons[0]);
  };
}

// Data ----------------------------------------------------------------------------------------------------------------

// Python's bytes come as a DataView, which need not begin where a typed array may: copy.
const copied = (/** @type {Bytes} */ view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
const int16 = (/** @type {Bytes} */ view) => new Int16Array(copied(view));
const float32 = (/** @type {Bytes} */ view) => new Float32Array(copied(view));

/**
 * What Python's `zlib.compress` has packed.
 * @param {Bytes} view
 */
async function inflate(view) {
  const unpacked = new Blob([copied(view)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

// Colors -------------------------------------------------------------------------------------------------------------

/**
 * The colors of shared.css as they are now, name → "rgb(…)": a canvas knows no variables.
 * @param {Element} root
 */
function colorsOf(root) {
  const probe = make("span", { hidden: "" }, root);
  const colors = /** @type {Colors} */ ({});
  for (const name of NAMED) {
    probe.style.color = `var(--${name})`;
    colors[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colors;
}

/**
 * Call `redraw` when light turns to dark, in JupyterLab or in the whole system; returns how to stop that.
 * @param {() => void} redraw
 */
function onTheme(redraw) {
  const later = () => requestAnimationFrame(redraw);
  const watch = new MutationObserver(later);
  const system = matchMedia("(prefers-color-scheme: dark)");
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  system.addEventListener("change", later);
  return () => {
    watch.disconnect();
    system.removeEventListener("change", later);
  };
}

// Viridis at nine points, from 0 to 1; between them straight lines, which nobody tells from the real one.
const VIRIDIS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];
const VIRIDIS_256 = new Uint8ClampedArray(256 * 4);
for (let i = 0; i < 256; i++) {
  const at = (i / 255) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const [one, next] = [VIRIDIS[low], VIRIDIS[low + 1]];
  for (let c = 0; c < 3; c++) VIRIDIS_256[4 * i + c] = one[c] + (at - low) * (next[c] - one[c]);
  VIRIDIS_256[4 * i + 3] = 255;
}

/**
 * One of three shades of a color "#rrggbb", plain, lighter and darker, and the ink to write on it with.
 * @param {string} color @param {number} which
 */
function shade(color, which) {
  const [towards, share] = [
    [0, 0],
    [255, 0.4],
    [0, 0.3],
  ][which % 3];
  const rgb = [1, 3, 5]
    .map((i) => parseInt(color.slice(i, i + 2), 16))
    .map((v) => Math.round(v + (towards - v) * share));
  return { fill: `rgb(${rgb.join(" ")})`, ink: 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] > 120 ? "#000" : "#fff" };
}

/**
 * Bytes (rows, columns) as a canvas of that many dots, by viridis; `flip` puts row 0 at the bottom.
 * @param {Uint8Array | Uint8ClampedArray} values @param {number} rows @param {number} columns
 */
function heatmap(values, rows, columns, flip = false) {
  const canvas = new OffscreenCanvas(columns, rows);
  const g = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = g.createImageData(columns, rows);
  const dots = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(VIRIDIS_256.buffer);
  for (let row = 0; row < rows; row++) {
    const to = (flip ? rows - 1 - row : row) * columns;
    for (let column = 0; column < columns; column++) dots[to + column] = table[values[row * columns + column]];
  }
  g.putImageData(image, 0, 0);
  return canvas;
}

// What `heatmap` makes of 0 to 255, from left to right: the scale of a legend.
const ramp = () => heatmap(Uint8Array.from(Array(256).keys()), 1, 256);

// Pictures ------------------------------------------------------------------------------------------------------------

// What to draw with; null only for a canvas that already has a context of another kind.
const context2D = (/** @type {HTMLCanvasElement} */ canvas) => /** @type {Context2D} */ (canvas.getContext("2d"));

/**
 * A canvas as wide as its place and sharp on every screen, and a second one over it for what follows the pointer.
 * `height` is a number or a function of the width.
 * @param {Element} root @param {Element} parent @param {string} label
 * @param {number | ((width: number) => number)} height @param {Draw} draw @param {Draw} point
 */
function picture(root, parent, label, height, draw, point) {
  const node = make("div", { class: "w2v2-picture", tabindex: 0, role: "application", "aria-label": label }, parent);
  const [below, above] = [
    make("canvas", { "aria-hidden": "true" }, node),
    make("canvas", { "aria-hidden": "true" }, node),
  ];
  const self = { node, width: 0, height: 0, redraw, repoint, at };
  /** @type {Colors} */
  let colors;

  /** @param {HTMLCanvasElement} canvas */
  function cleared(canvas) {
    const g = context2D(canvas);
    const ratio = canvas.width / self.width;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, self.width, self.height);
    g.font = `14px ${FONT}`;
    g.textBaseline = "middle";
    return g;
  }
  function redraw() {
    self.width = node.clientWidth;
    if (!self.width) return; // in a hidden tab: the observer calls again
    self.height = typeof height === "number" ? height : height(self.width);
    const ratio = window.devicePixelRatio || 1;
    node.style.height = `${self.height}px`;
    for (const canvas of [below, above]) {
      canvas.width = Math.round(self.width * ratio);
      canvas.height = Math.round(self.height * ratio);
    }
    colors = colorsOf(root);
    draw(cleared(below), self.width, self.height, colors);
    repoint();
  }
  function repoint() {
    if (self.width) point(cleared(above), self.width, self.height, colors);
  }
  /**
   * Where a pointer event is, in CSS pixels from the picture's corner.
   * @param {MouseEvent} event
   */
  function at(event) {
    const box = node.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
  new ResizeObserver(() => node.clientWidth !== self.width && redraw()).observe(node);
  return self;
}

/**
 * Seconds ↔ pixels between `left` and `right`; frames are `hop` s apart, and the first one's middle is at `first` s.
 * @param {number} left @param {number} right @param {number} seconds @param {number} hop @param {number} first
 */
function timeScale(left, right, seconds, hop = 1, first = hop / 2) {
  /** @type {(time: number) => number} */
  const x = (time) => left + ((right - left) * time) / seconds;
  /** @type {(at: number) => number} */
  const time = (at) => ((at - left) / (right - left)) * seconds;
  /** @type {(at: number, frames: number) => number} */
  const frameAt = (at, frames) => Math.min(Math.max(Math.round((time(at) - first) / hop), 0), frames - 1);
  /** @type {(t: number) => number} where frame t begins */
  const start = (t) => x(first + (t - 0.5) * hop);
  return { x, time, frameAt, start, left, right, seconds };
}

/**
 * Text in the middle of a stretch, in a smaller type where it is narrow; returns whether it had room.
 * @param {Context2D} g @param {string} text @param {number} from @param {number} to @param {number} y
 */
function fitted(g, text, from, to, y, size = 14, least = 11) {
  for (let px = size; px >= least; px--) {
    g.font = `${px}px ${FONT}`;
    if (g.measureText(text).width > to - from - 1) continue;
    g.textAlign = "center";
    g.fillText(text, (from + to) / 2, y);
    return true;
  }
  return false;
}

/**
 * Phones or words as a band of stretches. Where labels are wider than their stretch, they stand in two rows.
 * @param {Context2D} g @param {Interval[]} intervals @param {TimeScale} scale
 * @param {number} y @param {number} height @param {Colors} colors
 */
function band(g, intervals, scale, y, height, colors) {
  g.font = `14px ${FONT}`;
  const crowded = intervals.some(
    ([start, end, label]) => g.measureText(label).width > scale.x(end) - scale.x(start) - 2,
  );
  intervals.forEach(([start, end], i) => {
    const from = scale.x(start);
    const to = scale.x(end);
    g.fillStyle = colors.band;
    g.globalAlpha = i % 2 ? 1 : 0.45;
    g.fillRect(from, y, to - from, height);
  });
  g.globalAlpha = 1;
  g.fillStyle = colors.ink;
  intervals.forEach(([start, end, label], i) => {
    const from = scale.x(start);
    const to = scale.x(end);
    const row = crowded ? y + height * (i % 2 ? 0.72 : 0.28) : y + height / 2;
    const room = crowded ? Math.max(to - from, Math.min(2 * (to - from), 44)) / 2 : (to - from) / 2;
    fitted(g, label, (from + to) / 2 - room, (from + to) / 2 + room, row, crowded ? 13 : 14);
  });
}

/**
 * A line of seconds.
 * @param {Context2D} g @param {TimeScale} scale @param {number} y @param {Colors} colors
 */
function timeAxis(g, scale, y, colors, name = "time (s)") {
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((s) => scale.x(s) - scale.x(0) > 60) ?? 10;
  g.font = `14px ${FONT}`;
  g.fillStyle = g.strokeStyle = colors.ink;
  g.lineWidth = 1;
  g.beginPath();
  g.moveTo(scale.left, y + 0.5);
  g.lineTo(scale.right, y + 0.5);
  const width = g.measureText(name).width;
  g.textAlign = "right";
  g.fillText(name, scale.right, y + 16);
  g.textAlign = "center";
  for (let i = 0; i * step <= scale.seconds; i++) {
    const x = Math.round(scale.x(i * step)) + 0.5;
    g.moveTo(x, y);
    g.lineTo(x, y + 5);
    if (x < scale.right - width - 24) g.fillText(String(+(i * step).toFixed(2)), x, y + 16);
  }
  g.stroke();
}

/**
 * Samples between two heights, lowest to highest of each column of pixels; `scale` may show a part of them.
 * @param {Context2D} g @param {Int16Array} samples @param {number} rate @param {TimeScale} scale
 * @param {number} y @param {number} height @param {string} color
 */
function drawWave(g, samples, rate, scale, y, height, color) {
  let peak = 1e-9;
  for (const value of samples) peak = Math.max(peak, Math.abs(value));
  g.fillStyle = color;
  for (let x = Math.floor(scale.left); x < scale.right; x++) {
    const from = Math.max(0, Math.floor(scale.time(x) * rate));
    const to = Math.min(samples.length, Math.ceil(scale.time(x + 1) * rate));
    if (from >= to) continue;
    let low = samples[from];
    let high = low;
    for (let n = from; n < to; n++) {
      low = Math.min(low, samples[n]);
      high = Math.max(high, samples[n]);
    }
    const top = y + (height / 2) * (1 - high / peak);
    const bottom = y + (height / 2) * (1 - low / peak);
    g.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

/**
 * The label of the stretch that holds a time; empty where none does.
 * @type {(intervals: Interval[], time: number) => string}
 */
const labelAt = (intervals, time) => intervals.find(([start, end]) => start <= time && time < end)?.[2] ?? "";

// Sound ---------------------------------------------------------------------------------------------------------------

const PAUSE = 0.18; // s between two pieces
const FADE = 0.005; // s in which each comes and goes, so that it does not click

/**
 * Plays slices of 16-bit samples, one after the other; what is not allowed or not there is said, not thrown.
 * @param {number} rate @param {Say} say
 */
function player(rate, say) {
  /** @type {AudioContext | null} */
  let context = null;
  /** @type {AudioBufferSourceNode | null} */
  let source = null;

  function stop() {
    source?.stop();
    source = null;
  }
  /** @param {Int16Array[]} pieces */
  function joined(pieces) {
    const gap = Math.round(PAUSE * rate);
    const fade = Math.round(FADE * rate);
    const sound = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length + gap, 0));
    let at = 0;
    for (const piece of pieces) {
      for (let n = 0; n < piece.length; n++) {
        const edge = Math.min(1, (n + 1) / fade, (piece.length - n) / fade);
        sound[at + n] = (edge * piece[n]) / 32768;
      }
      at += piece.length + gap;
    }
    return sound;
  }
  /** @param {Int16Array[]} pieces */
  async function play(pieces) {
    stop();
    try {
      context ??= new AudioContext();
      const sound = joined(pieces);
      const buffer = context.createBuffer(1, sound.length, rate);
      buffer.copyToChannel(sound, 0);
      source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(context.destination);
      source.start();
      await Promise.race([context.resume(), new Promise((wake) => setTimeout(wake, 1000))]);
      if (context.state !== "running") say("The browser keeps the sound back: click into the page, then play again.");
    } catch (error) {
      say(`The browser cannot play sound: ${/** @type {Error} */ (error).message}`);
    }
  }
  return { play, stop };
}

// Charts --------------------------------------------------------------------------------------------------------------

/** @type {(position: number, text: string) => Mark} */
const mark = (position, text) => [position, text];

/**
 * The axes of a chart; the upright axis has its name above.
 * @param {Context2D} g @param {Box} box @param {Mark[]} across @param {Mark[]} upright
 * @param {[across: string, upright: string]} names @param {Colors} colors
 */
function axes(g, { left, right, top, bottom }, across, upright, names, colors) {
  g.font = `14px ${FONT}`;
  g.fillStyle = g.strokeStyle = colors.ink;
  g.lineWidth = 1;
  g.setLineDash([]);
  g.beginPath();
  g.moveTo(left + 0.5, top);
  g.lineTo(left + 0.5, bottom + 0.5);
  g.lineTo(right, bottom + 0.5);
  g.textAlign = "center";
  for (const [x, text] of across) {
    g.moveTo(Math.round(x) + 0.5, bottom);
    g.lineTo(Math.round(x) + 0.5, bottom + 5);
    g.fillText(text, x, bottom + 16);
  }
  g.fillText(names[0], (left + right) / 2, bottom + 36);
  g.textAlign = "right";
  for (const [y, text] of upright) {
    g.moveTo(left, Math.round(y) + 0.5);
    g.lineTo(left - 5, Math.round(y) + 0.5);
    g.fillText(text, left - 9, y);
  }
  g.stroke();
  g.textAlign = "left";
  g.fillText(names[1], left, top - 14);
}

/**
 * A line through points.
 * @param {Context2D} g @param {Point[]} points @param {string} color
 * @param {number} width @param {number[]} dash
 */
function drawLine(g, points, color, width = 2, dash = []) {
  g.strokeStyle = color;
  g.lineWidth = width;
  g.setLineDash(dash);
  g.beginPath();
  for (const [x, y] of points) g.lineTo(x, y);
  g.stroke();
  g.setLineDash([]);
}

/**
 * The ends of a straight line.
 * @type {(x1: number, y1: number, x2: number, y2: number) => Point[]}
 */
const straight = (x1, y1, x2, y2) => [
  [x1, y1],
  [x2, y2],
];

/**
 * A line of text to type in. `change` gets it at every letter and says what is wrong with it, "" if it is right.
 * @param {Element} parent @param {string} name @param {string} value @param {(text: string) => string} change
 */
function textField(parent, name, value, change) {
  const label = labeled(parent, name);
  const field = make("input", { type: "text", size: 10, spellcheck: "false", "aria-label": name }, label);
  const alert = make("span", { class: "w2v2-wrong", role: "alert" }, label);
  field.value = value;
  field.oninput = () => {
    alert.textContent = change(field.value);
    field.setAttribute("aria-invalid", String(alert.textContent !== ""));
  };
  return field;
}

// -- The explorer itself ----------------------------------------------------------------------------------------------
