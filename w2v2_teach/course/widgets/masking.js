// Masking: choose p and M, and see which frames are hidden, how many of them, and in how long stretches.
const ROW = 18;
const MASKS_TOP = 30;
const CHART = 170;
const LEAST_SPANS = 2;

/**
 * @typedef {[first: number, after: number]} Stretch of hidden frames: the first, and the one after the last
 * @typedef {{ hop: number, drawn: number, shown: number, lengths: [seconds: number, frames: number][] }} Given
 * @typedef {{ p: number, M: number, length: number }} Settings `length` is a position in `lengths`
 */

/**
 * Pseudo-random numbers in [0, 1), the same for the same seed (a xorshift of 32 bits).
 * @param {number} seed
 */
function randomNumbers(seed) {
  let bits = (seed * 0x9e3779b9) | 1;
  const next = () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 20; i++) next(); // small seeds are alike at first
  return next;
}

/**
 * The frames of an utterance in the order of their random numbers: the order in which they become starts.
 * @param {Float64Array} numbers
 */
const shuffled = (numbers) => [...numbers.keys()].sort((a, b) => numbers[a] - numbers[b]);

/**
 * Where spans start among T frames: int(p·T + u) of them, at least two, where a whole one fits. Python: span_mask.
 * @param {number} T @param {number} p @param {number} M @param {number} u @param {number[]} order
 */
function spanStarts(T, p, M, u, order) {
  const spans = Math.max(LEAST_SPANS, Math.floor(p * T + u));
  return order
    .filter((frame) => frame <= T - M)
    .slice(0, spans)
    .sort((a, b) => a - b);
}

/** @param {number[]} starts @param {number} M @param {number} T */
function maskOf(starts, M, T) {
  const mask = new Uint8Array(T);
  for (const start of starts) mask.fill(1, start, start + M);
  return mask;
}

/**
 * Unbroken stretches of hidden frames.
 * @param {Uint8Array} mask
 */
function stretches(mask) {
  /** @type {Stretch[]} */
  const found = [];
  mask.forEach((hidden, t) => {
    if (!hidden) return;
    if (mask[t - 1]) found[found.length - 1][1] = t + 1;
    else found.push([t, t + 1]);
  });
  return found;
}

/** @type {import("@anywidget/types").Render<Given & Settings>} */
function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el,
    "masking",
    "Point at a stretch, or focus the picture: ← → another frame, ↑ ↓ another utterance, Esc leaves it.",
  );
  const hop = model.get("hop");
  const drawn = model.get("drawn");
  const shown = model.get("shown");
  const lengths = model.get("lengths");
  const now = { p: model.get("p"), M: model.get("M"), length: model.get("length"), seed: 1 };
  /** @type {{ u: number, order: number[] }[]} */
  let noise;
  /** @type {ReturnType<typeof masks>} */
  let rows;
  /** @type {ReturnType<typeof counted>} */
  let counts;
  /** @type {{ row: number, frame: number } | null} */
  let chosen = null;

  const percent = (/** @type {number} */ share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
  const change = (/** @type {keyof Settings} */ name) => (/** @type {number} */ value) => {
    now[name] = value;
    if (name === "length") draw();
    else redraw();
  };
  slider(controls, "p", { min: 0, max: 0.2, step: 0.005, value: now.p, show: (p) => p.toFixed(3) }, change("p"));
  slider(controls, "M (frames)", { min: 1, max: 24, step: 1, value: now.M }, change("M"));
  const inSeconds = (/** @type {number} */ i) => `${lengths[i][0]} s`;
  const utterance = { min: 0, max: lengths.length - 1, step: 1, value: now.length, show: inSeconds };
  slider(controls, "utterance", utterance, change("length"));
  button(controls, "draw again", () => {
    now.seed++;
    draw();
  });

  // Random numbers, once for each length and each press of the button: what p and M change is then all that changes.
  function draw() {
    const next = randomNumbers(now.seed);
    const T = lengths[now.length][1];
    const numbers = () => Float64Array.from({ length: T }, next);
    noise = Array.from({ length: drawn }, () => ({ u: next(), order: shuffled(numbers()) }));
    redraw();
  }
  function masks() {
    const T = lengths[now.length][1];
    return noise.map(({ u, order }) => {
      const starts = spanStarts(T, now.p, now.M, u, order);
      const mask = maskOf(starts, now.M, T);
      return { starts, mask, stretches: stretches(mask) };
    });
  }
  function counted() {
    const T = lengths[now.length][1];
    const all = rows.flatMap((row) => row.stretches.map(([from, to]) => to - from)).sort((a, b) => a - b);
    const hidden = all.reduce((sum, length) => sum + length, 0);
    return {
      T,
      all,
      share: hidden / (drawn * T),
      mean: hidden / all.length,
      median: all[(all.length - 1) >> 1],
      longest: all[all.length - 1],
      whole: rows.filter((row) => row.mask.every(Boolean)).length,
    };
  }
  function redraw() {
    rows = masks();
    counts = counted();
    chosen = null;
    view.redraw();
    say(summary());
  }

  function summary() {
    const { p, M } = now;
    const { T, all, share, mean, median, longest, whole } = counts;
    return (
      `p = ${p.toFixed(3)}, M = ${M}, T = ${T}. Asked for, p·M: ${percent(p * M, 0)}; formula, 1 − (1 − p)^M: ` +
      `${percent(1 - (1 - p) ** M)}; masked: ${percent(share)} of the frames. Hidden stretches: ` +
      `${(all.length / drawn).toFixed(1)} an utterance, ${mean.toFixed(1)} frames on average, median ${median}, ` +
      `longest ${longest}. Hidden whole: ${whole} of ${drawn} utterances.`
    );
  }

  // The pictures --------------------------------------------------------------------------------------------------
  const masksBottom = MASKS_TOP + shown * ROW;
  const chartTop = masksBottom + 84;
  const height = chartTop + CHART + 50;
  const scaleOf = (/** @type {number} */ width) => timeScale(34, width - 8, counts.T * hop, hop);

  /** @type {Draw} */
  function paint(g, width, _height, colors) {
    const scale = scaleOf(width);
    rows.slice(0, shown).forEach((row, i) => {
      const y = MASKS_TOP + i * ROW;
      g.fillStyle = colors.visible;
      g.fillRect(scale.left, y, scale.right - scale.left, ROW - 3);
      g.fillStyle = colors.hidden;
      for (const [from, to] of row.stretches)
        g.fillRect(scale.start(from), y, scale.start(to) - scale.start(from), ROW - 3);
      g.fillStyle = colors.ink;
      g.textAlign = "right";
      g.fillText(String(i + 1), scale.left - 8, y + ROW / 2 - 1);
    });
    key(g, scale.left, colors);
    timeAxis(g, scale, masksBottom + 4, colors);
    const middle = Math.round(width / 2);
    paintShare(g, { left: 58, right: middle - 30, top: chartTop, bottom: chartTop + CHART }, colors);
    paintLengths(g, { left: middle + 58, right: width - 12, top: chartTop, bottom: chartTop + CHART }, colors);
  }

  /** @param {Context2D} g @param {number} left @param {Colors} colors */
  function key(g, left, colors) {
    g.textAlign = "left";
    let x = left;
    for (const [text, color] of [
      ["visible", colors.visible],
      ["hidden", colors.hidden],
    ]) {
      g.fillStyle = color;
      g.fillRect(x, 4, 22, 14);
      g.strokeStyle = colors.soft;
      g.strokeRect(x + 0.5, 4.5, 22, 14);
      g.fillStyle = colors.ink;
      g.fillText(text, x + 30, 12);
      x += 110;
    }
    g.fillText(`utterances 1 to ${shown} of ${drawn}`, x, 12);
  }

  /**
   * The share that is hidden, over p: what the product promises, the formula, and the masks that were drawn.
   * @param {Context2D} g @param {Box} box @param {Colors} colors
   */
  function paintShare(g, box, colors) {
    const x = (/** @type {number} */ p) => box.left + (p / 0.2) * (box.right - box.left);
    const y = (/** @type {number} */ share) => box.bottom - share * (box.bottom - box.top);
    const across = [0, 0.05, 0.1, 0.15, 0.2].map((p) => mark(x(p), String(p)));
    const upright = [0, 0.25, 0.5, 0.75, 1].map((s) => mark(y(s), percent(s, 0)));
    axes(g, box, across, upright, ["p", "share that is hidden"], colors);
    const end = Math.min(0.2, 1 / now.M);
    drawLine(g, straight(x(0), y(0), x(end), y(end * now.M)), colors.quiet, 2, [3, 4]);
    const formula = Array.from({ length: 101 }, (_, i) => i / 500).map(
      (p) => /** @type {Point} */ ([x(p), y(1 - (1 - p) ** now.M)]),
    );
    drawLine(g, formula, colors.context, 2.5);
    g.fillStyle = colors.lit;
    g.beginPath();
    g.arc(x(now.p), y(counts.share), 7, 0, 2 * Math.PI);
    g.fill();
    const high = y(1 - (1 - 0.15) ** now.M) < (box.top + box.bottom) / 2; // so the curve leaves room below itself
    const top = high ? box.bottom - 62 : box.top + 12;
    const left = high ? box.right - 190 : box.left + 20;
    const lines = [
      ["drawn", colors.lit],
      ["1 − (1 − p)^M", colors.context],
      ["p·M, without overlap", colors.quiet],
    ];
    lines.forEach(([text, color], i) => {
      g.fillStyle = color;
      g.textAlign = "left";
      g.fillRect(left, top + 20 * i - 1, 18, 3);
      g.fillText(text, left + 26, top + 20 * i);
    });
  }

  /**
   * How often each length of a stretch occurs; upwards a factor of ten from mark to mark.
   * @param {Context2D} g @param {Box} box @param {Colors} colors
   */
  function paintLengths(g, box, colors) {
    const { all, mean, median, longest } = counts;
    const last = 1.05 * Math.max(longest, 4);
    const lowest = 0.5 / all.length;
    const x = (/** @type {number} */ frames) => box.left + (frames / last) * (box.right - box.left);
    const y = (/** @type {number} */ share) =>
      box.bottom - (Math.log(share / lowest) / Math.log(1 / lowest)) * (box.bottom - box.top);
    const step = [1, 2, 5, 10, 20, 50, 100, 200].find((s) => last / s <= 8) ?? 500;
    const across = Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => mark(x(i * step), String(i * step)));
    const upright = [1, 0.1, 0.01, 0.001, 0.0001]
      .filter((s) => s >= lowest)
      .map((s) => mark(y(s), `${+(100 * s).toFixed(2)}%`));
    axes(g, box, across, upright, ["length of a hidden stretch (frames)", "share of the stretches"], colors);
    const tally = new Map();
    for (const length of all) tally.set(length, (tally.get(length) ?? 0) + 1);
    g.fillStyle = colors.context;
    for (const [length, n] of tally) {
      const from = x(length - 0.5);
      const top = y(n / all.length);
      g.fillRect(from, top, Math.max(1, x(length + 0.5) - from - 0.5), box.bottom - top);
    }
    drawLine(g, straight(x(mean), box.top, x(mean), box.bottom), colors.lit, 2.5, [7, 4]);
    drawLine(g, straight(x(median), box.top, x(median), box.bottom), colors.ink, 2.5, [2, 4]);
    g.textAlign = "right";
    g.fillStyle = colors.lit;
    g.fillText(`┅ mean ${mean.toFixed(1)}`, box.right, box.top + 6);
    g.fillStyle = colors.ink;
    g.fillText(`┈ median ${median}`, box.right, box.top + 26);
  }

  // Pointing ------------------------------------------------------------------------------------------------------
  /** @type {Draw} */
  function point(g, width, _height, colors) {
    if (!chosen) return;
    const scale = scaleOf(width);
    const y = MASKS_TOP + chosen.row * ROW;
    const { starts } = rows[chosen.row];
    const [from, to] = stretchAt(chosen) ?? [chosen.frame, chosen.frame + 1];
    g.strokeStyle = g.fillStyle = colors.lit;
    g.lineWidth = 3;
    g.strokeRect(scale.start(from) - 1, y - 2, Math.max(3, scale.start(to) - scale.start(from) + 2), ROW + 1);
    for (const start of starts) {
      g.beginPath(); // a small wedge where a span starts
      g.moveTo(scale.start(start), y + 1);
      g.lineTo(scale.start(start) + 8, y + ROW / 2 - 1);
      g.lineTo(scale.start(start), y + ROW - 3);
      g.fill();
    }
  }
  const stretchAt = (/** @type {{ row: number, frame: number }} */ { row, frame }) =>
    rows[row].stretches.find(([from, to]) => from <= frame && frame < to);

  /** @param {number} row @param {number} frame */
  function choose(row, frame) {
    row = Math.min(Math.max(row, 0), shown - 1);
    frame = Math.min(Math.max(frame, 0), counts.T - 1);
    chosen = { row, frame };
    view.repoint();
    const where = `Utterance ${row + 1}, frame ${frame} (${((frame + 0.5) * hop).toFixed(2)} s): `;
    const stretch = stretchAt(chosen);
    if (!stretch) return say(`${where}visible.`);
    const [from, to] = stretch;
    const spans = rows[row].starts.filter((start) => from <= start && start < to);
    const made = spans.length === 1 ? "one span, from" : `${spans.length} spans, from`;
    return say(`${where}hidden, in a stretch of ${to - from} frames made by ${made} ${spans.join(", ")}.`);
  }
  function leave() {
    chosen = null;
    view.repoint();
    say(summary());
  }

  const label = "Hidden frames of some utterances, and how long the stretches are";
  const view = picture(root, body, label, height, paint, point);
  view.node.addEventListener("pointermove", (event) => {
    const { x, y } = view.at(event);
    const row = Math.floor((y - MASKS_TOP) / ROW);
    const scale = scaleOf(view.width);
    if (row >= 0 && row < shown && x >= scale.left) choose(row, scale.frameAt(x, counts.T));
    else if (chosen) leave();
  });
  view.node.addEventListener("pointerleave", leave);
  /** @type {(rowStep: number, frameStep: number) => () => void} */
  const move = (rowStep, frameStep) => () =>
    chosen ? choose(chosen.row + rowStep, chosen.frame + frameStep) : choose(0, rows[0].stretches[0]?.[0] ?? 0);
  const to = (/** @type {() => number} */ frame) => () => choose(chosen?.row ?? 0, frame());
  keys(view.node, {
    ArrowLeft: move(0, -1),
    ArrowRight: move(0, 1),
    ArrowUp: move(-1, 0),
    ArrowDown: move(1, 0),
    Home: to(() => 0),
    End: to(() => counts.T - 1),
    Escape: leave,
  });
  const stop = onTheme(view.redraw);
  draw();
  return stop;
}

export default { render };
