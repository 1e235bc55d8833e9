// Gumbel softmax: turn logits and temperature, draw noise, and see what is chosen, how softly, and how often.
const TOP = 62;
const CHART = 210;
const LOWEST = -6;
const HIGHEST = 10; // LOWEST to HIGHEST: the scores that the first chart shows

/**
 * @typedef {{ temperatures: number[], temperature: number, logits: number[], counts: number[], counted: number,
 *   noise: Bytes }} Traits `temperature`, `logits` and `counted` are those to begin with
 */

/** @param {number[]} logits */
function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

const winner = (/** @type {number[]} */ scores) => scores.indexOf(Math.max(...scores));

/**
 * What one draw of noise makes of the logits: the scores, the soft sample, and the entry that is chosen.
 * @param {number[]} logits @param {number[]} noise @param {number} temperature
 */
function sample(logits, noise, temperature) {
  const scores = logits.map((logit, v) => logit + noise[v]);
  return { scores, soft: softmax(scores.map((score) => score / temperature)), chosen: winner(scores) };
}

/**
 * The share of the draws that choose each entry.
 * @param {number[]} logits @param {number[][]} draws
 */
function shares(logits, draws) {
  const counts = logits.map(() => 0);
  for (const noise of draws) counts[winner(logits.map((logit, v) => logit + noise[v]))]++;
  return counts.map((count) => count / draws.length);
}

/** @type {import("@anywidget/types").Render<Traits>} */
function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el,
    "gumbel",
    "Point at an entry, or focus the picture: ← → another entry, ↑ ↓ another draw, Esc leaves it.",
  );
  const now = {
    logits: [...model.get("logits")],
    temperature: model.get("temperature"),
    draw: 1,
    counted: model.get("counted"),
  };
  const V = now.logits.length;
  const flat = [...float32(model.get("noise"))];
  const draws = Array.from({ length: flat.length / V }, (_, n) => flat.slice(n * V, n * V + V));
  /** @type {number | null} */
  let entry = null;
  /** @type {ReturnType<typeof computed>} */
  let shown;

  /** @param {string} label @param {"temperature" | "counted"} name @param {number[]} values */
  function choice(label, name, values) {
    const show = (/** @type {number} */ i) => values[i].toLocaleString("en");
    const range = { min: 0, max: values.length - 1, step: 1, value: values.indexOf(now[name]), show };
    slider(controls, label, range, (i) => change({ [name]: values[i] }));
  }
  choice("temperature τ", "temperature", model.get("temperatures"));
  const turn = slider(controls, "draw", { min: 1, max: draws.length, step: 1, value: 1 }, (draw) => change({ draw }));
  choice("draws counted", "counted", model.get("counts"));
  now.logits.forEach((logit, v) => {
    slider(controls, `logit of entry ${v + 1}`, { min: -3, max: 5, step: 0.5, value: logit }, (value) => {
      now.logits[v] = value;
      change({});
    });
  });

  /** @param {Partial<typeof now>} values */
  function change(values) {
    Object.assign(now, values);
    shown = computed();
    view.redraw();
    say(summary());
  }
  function computed() {
    return {
      ...sample(now.logits, draws[now.draw - 1], now.temperature),
      softmax: softmax(now.logits),
      shares: shares(now.logits, draws.slice(0, now.counted)),
    };
  }

  const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(1)}%`;
  function summary() {
    const counted = shown.shares.map((share, v) => `${percent(share)} (${percent(shown.softmax[v])})`).join(", ");
    return (
      `Draw ${now.draw} chooses entry ${shown.chosen + 1}. At τ = ${now.temperature} the soft sample gives it ` +
      `${shown.soft[shown.chosen].toFixed(3)} of the weight. In ${now.counted.toLocaleString("en")} draws the entries are ` +
      `chosen with shares of ${counted}; in brackets what the softmax of the logits says.`
    );
  }
  /** @param {number} v */
  function ofEntry(v) {
    const noise = draws[now.draw - 1][v];
    const signed = `${noise < 0 ? "−" : "+"} ${Math.abs(noise).toFixed(2)}`;
    return (
      `Entry ${v + 1}: logit ${now.logits[v].toFixed(2)} ${signed} of noise is a score of ${shown.scores[v].toFixed(2)}; ` +
      `${shown.soft[v].toFixed(3)} of the soft sample, ${v === shown.chosen ? 1 : 0} of the hard one. Chosen in ` +
      `${percent(shown.shares[v])} of ${now.counted.toLocaleString("en")} draws, softmax ${percent(shown.softmax[v])}.`
    );
  }

  // The four charts -----------------------------------------------------------------------------------------------
  /** @param {number} width @returns {Box[]} */
  function boxes(width) {
    const each = width / 4;
    return [0, 1, 2, 3].map((i) => ({
      left: i * each + 46,
      right: (i + 1) * each - 10,
      top: TOP,
      bottom: TOP + CHART,
    }));
  }
  /** @type {(box: Box, v: number) => number} */
  const middle = (box, v) => box.left + ((v + 0.5) / V) * (box.right - box.left);
  const bar = (/** @type {Box} */ box) => (0.36 * (box.right - box.left)) / V; // half as wide as a bar

  /** @type {Draw} */
  function paint(g, width, _height, colors) {
    const [first, second, third, fourth] = boxes(width);
    paintScores(g, first, colors);
    paintBars(g, second, "soft sample", shown.soft, colors, shown.chosen);
    const hard = shown.soft.map((_, v) => (v === shown.chosen ? 1 : 0));
    paintBars(g, third, "hard sample", hard, colors, shown.chosen);
    paintBars(g, fourth, `share of ${now.counted.toLocaleString("en")} draws`, shown.shares, colors, null);
    shown.softmax.forEach((p, v) => {
      const y = fourth.bottom - p * CHART * 0.92;
      const x = middle(fourth, v);
      drawLine(g, straight(x - 1.25 * bar(fourth), y, x + 1.25 * bar(fourth), y), colors.lit, 3, [5, 3]);
    });
    g.fillStyle = colors.lit;
    g.textAlign = "right";
    g.fillText("┅ softmax", fourth.right, TOP + 8);
  }

  /** @param {Context2D} g @param {Box} box @param {Colors} colors */
  function paintScores(g, box, colors) {
    const y = (/** @type {number} */ score) => box.bottom - ((score - LOWEST) / (HIGHEST - LOWEST)) * CHART;
    const marks = [-5, 0, 5, 10].map((score) => mark(y(score), String(score).replace("-", "−")));
    frameOf(g, box, "logits and noise", marks, colors);
    drawLine(g, straight(box.left, y(0), box.right, y(0)), colors.soft, 1);
    now.logits.forEach((logit, v) => {
      const x = middle(box, v);
      const at = Math.min(Math.max(shown.scores[v], LOWEST), HIGHEST);
      drawLine(g, straight(x - bar(box), y(logit), x + bar(box), y(logit)), colors.context, 4);
      drawLine(g, straight(x, y(logit), x, y(at)), colors.lit, 2);
      diamond(g, x, y(at), v === shown.chosen ? 9 : 6, colors.lit);
    });
    g.textAlign = "left";
    g.fillStyle = colors.context;
    g.fillText("━ logit", box.left + 6, TOP + 8);
    g.fillStyle = colors.lit;
    g.fillText("◆ + noise", box.left + 80, TOP + 8);
  }

  /**
   * @param {Context2D} g @param {Box} box @param {string} title @param {number[]} values @param {Colors} colors
   * @param {number | null} chosen
   */
  function paintBars(g, box, title, values, colors, chosen) {
    const y = (/** @type {number} */ value) => box.bottom - value * CHART * 0.92;
    const marks = [0, 0.25, 0.5, 0.75, 1].map((value) => mark(y(value), String(value)));
    frameOf(g, box, title, marks, colors);
    values.forEach((value, v) => {
      const x = middle(box, v);
      g.fillStyle = chosen === null ? colors.wave : v === chosen ? colors.lit : colors.context;
      g.fillRect(x - bar(box), y(value), 2 * bar(box), box.bottom - y(value));
      g.fillStyle = colors.ink;
      g.textAlign = "center";
      if (chosen !== null) g.fillText(value === 1 || value === 0 ? String(value) : value.toFixed(2), x, y(value) - 9);
    });
  }

  /** @param {Context2D} g @param {Box} box @param {string} title @param {Mark[]} upright @param {Colors} colors */
  function frameOf(g, box, title, upright, colors) {
    const across = now.logits.map((_, v) => mark(middle(box, v), String(v + 1)));
    axes(g, box, across, upright, ["entry", ""], colors);
    g.font = `600 16px ${FONT}`;
    g.textAlign = "center";
    g.fillText(title, (box.left + box.right) / 2, TOP - 38);
    g.font = `14px ${FONT}`;
  }

  /** @param {Context2D} g @param {number} x @param {number} y @param {number} size @param {string} color */
  function diamond(g, x, y, size, color) {
    g.fillStyle = color;
    g.beginPath();
    g.moveTo(x, y - size);
    g.lineTo(x + size, y);
    g.lineTo(x, y + size);
    g.lineTo(x - size, y);
    g.fill();
  }

  // Pointing ------------------------------------------------------------------------------------------------------
  /** @type {Draw} */
  function point(g, width, _height, colors) {
    if (entry === null) return;
    g.strokeStyle = colors.quiet;
    g.lineWidth = 2;
    g.setLineDash([4, 3]);
    for (const box of boxes(width)) {
      const half = (box.right - box.left) / V / 2;
      g.strokeRect(middle(box, entry) - half + 1, TOP - 22, 2 * half - 2, CHART + 46);
    }
    g.setLineDash([]);
  }
  /** @param {number | null} v */
  function choose(v) {
    entry = v === null ? null : Math.min(Math.max(v, 0), V - 1);
    view.repoint();
    say(entry === null ? summary() : ofEntry(entry));
  }
  /** @param {number} step */
  function drawAgain(step) {
    const draw = Math.min(Math.max(now.draw + step, 1), draws.length);
    turn.set(draw);
    change({ draw });
    if (entry !== null) choose(entry);
  }

  const label = "Logits and noise, soft sample, hard sample, and shares of many draws";
  const view = picture(root, body, label, TOP + CHART + 54, paint, point);
  view.node.addEventListener("pointermove", (event) => {
    const { x } = view.at(event);
    const box = boxes(view.width).find(({ left, right }) => left <= x && x < right);
    const v = box ? Math.floor(((x - box.left) / (box.right - box.left)) * V) : null;
    if (v !== entry) choose(v);
  });
  view.node.addEventListener("pointerleave", () => choose(null));
  keys(view.node, {
    ArrowLeft: () => choose((entry ?? 1) - 1),
    ArrowRight: () => choose((entry ?? -1) + 1),
    ArrowUp: () => drawAgain(1),
    ArrowDown: () => drawAgain(-1),
    Home: () => choose(0),
    End: () => choose(V - 1),
    Escape: () => choose(null),
  });
  change({});
  return onTheme(view.redraw);
}

export default { render };
