// CTC: choose what is heard and what shall be written, step through the frames, see α, β, posteriors, the best path.
const BLANK = "–";
const LEFT = 46;
const GAP = 22;
const LEGEND = 34;
const WAVE = 62;
const TITLE = 34;

/**
 * @typedef {{ tokens: string[], frames: number, letters: number, said: string, frame: number }} Toy for typed words
 * @typedef {{ name: string, text: string, tokens: string[], frames: number, length: number }} Sent `length` in samples
 * @typedef {Sent & { logProbs: number[][], samples: Int16Array }} Clip
 * @typedef {{ clip: Clip | null, said: string, target: string, frame: number, sharpness: number }} Settings
 * @typedef {{ toy: Toy, sharpnesses: number[], clips: Sent[], log_probs: Bytes, samples: Bytes,
 *   sample_rate: number }} Traits
 */

// The lattice (w2v2_teach/ctc.py says it in Python); logarithms in nats, -Infinity where nothing is possible -----------

/** @param {number[]} values */
function logSum(values) {
  const most = Math.max(...values);
  return most === -Infinity ? most : most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
const logSoftmax = (/** @type {number[]} */ logits) => {
  const all = logSum(logits);
  return logits.map((logit) => logit - all);
};
const shareOf = (/** @type {number[]} */ logs) => logSoftmax(logs).map(Math.exp);

// Tokens of the states: a blank (token 0) before, between and after those of the target.
const extended = (/** @type {number[]} */ target) => [0, ...target.flatMap((token) => [token, 0])];

/**
 * The states from which a path may come into state s: s itself, the one before, and two before if that leaves out a
 * blank between different tokens.
 * @param {number[]} states @param {number} s
 */
function sources(states, s) {
  const from = [s];
  if (s >= 1) from.push(s - 1);
  if (s >= 2 && states[s] !== states[s - 2]) from.push(s - 2);
  return from;
}
const framesNeeded = (/** @type {number[]} */ target) =>
  target.length + target.filter((token, u) => u > 0 && token === target[u - 1]).length;

/**
 * α, β and posteriors (T, S) of a target, and the logarithm of its probability.
 * @param {number[][]} logProbs @param {number[]} target
 */
function lattice(logProbs, target) {
  const states = extended(target);
  const all = states.map((_, s) => s);
  const T = logProbs.length;
  const last = states.length - 1;
  /** @type {(t: number, s: number) => number} */
  const emission = (t, s) => logProbs[t][states[s]];
  const alpha = [all.map((s) => (s <= 1 ? emission(0, s) : -Infinity))];
  for (let t = 1; t < T; t++)
    alpha.push(all.map((s) => logSum(sources(states, s).map((from) => alpha[t - 1][from])) + emission(t, s)));
  /** @type {number[][]} */
  const beta = Array(T);
  beta[T - 1] = all.map((s) => (s >= last - 1 ? 0 : -Infinity));
  for (let t = T - 2; t >= 0; t--) {
    beta[t] = all.map(() => -Infinity);
    for (const s of all)
      for (const from of sources(states, s))
        beta[t][from] = logSum([beta[t][from], beta[t + 1][s] + emission(t + 1, s)]);
  }
  const logLikelihood = logSum(alpha[T - 1].slice(-2));
  const posteriors = alpha.map((row, t) => row.map((a, s) => Math.exp(a + beta[t][s] - logLikelihood)));
  return { states, alpha, beta, posteriors, logLikelihood };
}

/**
 * The likeliest path's state at each frame: a maximum where the lattice has a sum.
 * @param {number[][]} logProbs @param {number[]} target
 */
function bestPath(logProbs, target) {
  const states = extended(target);
  const all = states.map((_, s) => s);
  const last = states.length - 1;
  /** @type {number[][]} */
  const back = [];
  let score = all.map((s) => (s <= 1 ? logProbs[0][states[s]] : -Infinity));
  for (const frame of logProbs.slice(1)) {
    const best = all.map((s) => sources(states, s).reduce((a, b) => (score[b] > score[a] ? b : a)));
    back.unshift(best);
    score = all.map((s) => score[best[s]] + frame[states[s]]);
  }
  const path = [last === 0 || score[last] >= score[last - 1] ? last : last - 1];
  for (const best of back) path.unshift(best[path[0]]);
  return path;
}

/**
 * Frames (T, V) in which the letters of a word are heard, evenly spread over the time, as in course/widgets/ctc.py.
 * @param {number[]} word @param {number} T @param {number} V
 */
function spoken(word, T, V) {
  return Array.from({ length: T }, (_, t) => {
    /** @type {number[]} */
    const logits = Array(V).fill(0);
    logits[0] = 3;
    word.forEach((token, i) => {
      logits[token] += 6 * Math.exp(-((t + 0.5 - ((i + 0.5) * T) / word.length) ** 2) / 0.8);
    });
    return logSoftmax(logits);
  });
}

// The explorer --------------------------------------------------------------------------------------------------------

/** @type {import("@anywidget/types").Render<Traits>} */
function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el,
    "ctc",
    "Point at a cell, or focus the picture: ← → another frame, ↑ ↓ another state, Enter plays the sound.",
  );
  const sharpnesses = model.get("sharpnesses");
  const toy = model.get("toy");
  const sound = player(model.get("sample_rate"), say);
  const clips = unpack(model);
  /** @type {Settings} */
  const now = { clip: null, said: toy.said, target: toy.said, frame: toy.frame, sharpness: 1 };
  /** @type {number[][]} log probabilities, (T, V) */
  let frames;
  /** @type {ReturnType<typeof lattice>} */
  let found;
  /** @type {number[]} */
  let path;
  /** @type {number | null} */
  let state = null;

  const names = [`a word you type, ${toy.frames} frames`, ...clips.map((clip) => clip.name)];
  if (clips.length) select(controls, "what is heard", names, 0, hear);
  const said = textField(controls, "said", now.said, (text) => change({ said: text }));
  const target = textField(controls, "to be written", now.target, (text) => change({ target: text }));
  const each = { min: 1, max: toy.frames, step: 1, value: now.frame + 1 };
  const step = slider(controls, "frame", each, (t) => choose(t - 1));
  const asFactor = (/** @type {number} */ i) => `× ${sharpnesses[i]}`;
  const times = { min: 0, max: sharpnesses.length - 1, step: 1, value: sharpnesses.indexOf(1), show: asFactor };
  slider(controls, "sharpness of the frames", times, (i) => change({ sharpness: sharpnesses[i] }));
  const hearClip = () => now.clip && sound.play([now.clip.samples]);
  const play = button(controls, "play", hearClip);
  play.hidden = true;

  const tokens = () => (now.clip ?? toy).tokens;
  const shown = (/** @type {number} */ token) => (token === 0 ? BLANK : tokens()[token]);
  const ids = (/** @type {string} */ text) =>
    [...text.toLowerCase()].map((letter) => tokens().indexOf(letter === " " ? "|" : letter));

  /**
   * Take new settings, or return what is wrong with them and stay.
   * @param {Partial<Settings>} values
   */
  function change(values) {
    const next = { ...now, ...values };
    const word = ids(next.said);
    const text = ids(next.target);
    const T = (next.clip ?? toy).frames;
    if (!next.clip && word.includes(-1)) return unknown(next.said, word);
    if (!next.clip && word.length > toy.letters) return `at most ${toy.letters} letters`;
    if (text.includes(-1)) return unknown(next.target, text);
    const needed = framesNeeded(text);
    if (needed > T) return `needs ${needed} frames; there are ${T}`;
    Object.assign(now, next);
    const heard = now.clip ? now.clip.logProbs : spoken(word, T, toy.tokens.length);
    frames = heard.map((row) => logSoftmax(row.map((value) => now.sharpness * value)));
    found = lattice(frames, text);
    path = bestPath(frames, text);
    state = null;
    view.redraw();
    describe();
    return "";
  }
  /** @param {string} text @param {number[]} tokenIds -1 where there is no token */
  function unknown(text, tokenIds) {
    const letters = [...text].filter((_, i) => tokenIds[i] === -1).map((letter) => `“${letter}”`);
    const alphabet = tokens()
      .slice(1)
      .map((token) => (token === "|" ? "the space" : token));
    const all = alphabet.length > 12 && !now.clip ? `${alphabet[0]} to ${alphabet.at(-1)}` : alphabet.join(" ");
    return `no token for ${letters.join(", ")}; there are ${all}`;
  }
  /** @param {number} i 0 for a word that is typed, else a clip from 1 */
  function hear(i) {
    now.clip = i ? clips[i - 1] : null;
    const text = now.clip ? now.clip.text : toy.said;
    said.disabled = now.clip !== null;
    play.hidden = now.clip === null;
    const T = (now.clip ?? toy).frames;
    step.node.max = String(T);
    said.value = target.value = text;
    change({ said: text, target: text, frame: Math.min(now.frame, T - 1) });
    for (const field of [said, target]) field.dispatchEvent(new Event("input")); // takes back an earlier complaint
    choose(now.frame);
  }

  function describe() {
    const { posteriors, states, alpha, beta, logLikelihood } = found;
    const t = now.frame;
    const s = state ?? likeliest();
    const letter = `“${shown(states[s])}”`;
    const [past, ahead, all] = [shareOf(alpha[t])[s], shareOf(beta[t])[s], posteriors[t][s]].map((p) => p.toFixed(2));
    say(
      `${now.clip ? `Heard: ${now.clip.name}` : `Said: “${now.said}”`}; to be written: “${now.target}”. ` +
        `P = ${brief(Math.exp(logLikelihood))}, a loss of ${(-logLikelihood).toFixed(2)} nats. At frame ${t + 1} of ` +
        `${frames.length} the ${state === null ? "likeliest " : ""}state is number ${s + 1}, ${letter}: its share is ${past} by ` +
        `the frames so far (α), ${ahead} by those to come (β), ${all} by all; the frame itself gives ${letter} ` +
        `${Math.exp(frames[t][states[s]]).toFixed(2)}. Best path: ${path.map((at) => shown(states[at])).join("")}.`,
    );
  }
  const likeliest = () => found.posteriors[now.frame].indexOf(Math.max(...found.posteriors[now.frame]));
  const brief = (/** @type {number} */ p) => (p >= 0.001 ? String(+p.toPrecision(3)) : p.toExponential(2));

  // The picture ---------------------------------------------------------------------------------------------------
  const top = () => LEGEND + (now.clip ? WAVE : 0) + TITLE;
  const row = () => Math.min(26, Math.max(15, 340 / found.states.length));
  const height = () => top() + row() * found.states.length + 64;
  /** @param {number} width */
  function panels(width) {
    const each = (width - LEFT - 2 * GAP - 4) / 3;
    return [0, 1, 2].map((i) => timeScale(LEFT + i * (each + GAP), LEFT + i * (each + GAP) + each, frames.length));
  }

  /** @type {(scale: TimeScale, t: number, s: number) => Point} where the middle of a cell is */
  const cell = (scale, t, s) => [scale.x(t + 0.5), top() + row() * (s + 0.5)];

  /** @type {Draw} */
  function paint(g, width, _height, colors) {
    const scales = panels(width);
    const S = found.states.length;
    const T = frames.length;
    const y = top();
    const bottom = y + row() * S;
    const titles = ["α: heard up to here", "β: what can still come", "α · β: posteriors, best path"];
    const shares = [found.alpha.map(shareOf), found.beta.map(shareOf), found.posteriors];
    const from = [0, now.frame, 0];
    const to = [now.frame + 1, T, T]; // α is shown up to the frame, β from it on
    scales.forEach((scale, i) => {
      const dots = Uint8Array.from({ length: S * T }, (_, n) => Math.round(255 * shares[i][n % T][Math.floor(n / T)]));
      g.imageSmoothingEnabled = false;
      const [x, end] = [scale.x(from[i]), scale.x(to[i])];
      g.drawImage(heatmap(dots, S, T), from[i], 0, to[i] - from[i], S, x, y, end - x, bottom - y);
      g.strokeStyle = colors.soft;
      g.lineWidth = 1;
      g.strokeRect(scale.left - 0.5, y - 0.5, scale.right - scale.left + 1, bottom - y + 1);
      g.fillStyle = colors.ink;
      g.textAlign = "center";
      g.font = `600 16px ${FONT}`;
      g.fillText(titles[i], (scale.left + scale.right) / 2, y - 16);
      g.font = `14px ${FONT}`;
      const every = [1, 2, 5, 10].find((n) => scale.x(n) - scale.x(0) >= 26) ?? 20;
      for (let t = every === 1 ? 1 : every; t <= T; t += every) g.fillText(String(t), scale.x(t - 0.5), bottom + 32);
      g.fillText("frame", (scale.left + scale.right) / 2, bottom + 52);
    });
    g.textAlign = "right";
    g.fillStyle = colors.ink;
    found.states.forEach((token, s) => {
      g.fillText(shown(token), LEFT - 10, y + row() * (s + 0.5));
    });
    paintPath(g, scales[2], bottom, colors);
    paintKey(g, width, colors);
    if (now.clip) drawWave(g, now.clip.samples, now.clip.samples.length / T, scales[2], LEGEND, WAVE - 6, colors.wave);
  }

  /** @param {Context2D} g @param {TimeScale} scale @param {number} bottom @param {Colors} colors */
  function paintPath(g, scale, bottom, colors) {
    const spots = path.map((s, t) => cell(scale, t, s));
    drawLine(g, spots, colors.lit, 3);
    g.fillStyle = colors.lit;
    for (const [x, at] of spots) {
      g.beginPath();
      g.arc(x, at, 4, 0, 2 * Math.PI);
      g.fill();
    }
    g.fillStyle = colors.ink;
    path.forEach((s, t) => {
      fitted(g, shown(found.states[s]), scale.x(t) - 4, scale.x(t + 1) + 4, bottom + 13, 15, 11);
    });
    g.font = `14px ${FONT}`;
  }

  /**
   * What the colors mean.
   * @param {Context2D} g @param {number} width @param {Colors} colors
   */
  function paintKey(g, width, colors) {
    const x = width - 150;
    g.drawImage(ramp(), x, 6, 120, 14);
    g.fillStyle = colors.ink;
    g.textAlign = "right";
    g.fillText("share of the frame   0", x - 6, 13);
    g.textAlign = "left";
    g.fillText("1", x + 126, 13);
  }

  /**
   * The frame that is looked at, the state, and the ways into it (left) and out of it (middle).
   * @type {Draw}
   */
  function point(g, width, _height, colors) {
    const S = found.states.length;
    const t = now.frame;
    const y = top();
    const scales = panels(width);
    for (const scale of scales) {
      const [x, width] = [scale.x(t), scale.x(t + 1) - scale.x(t)];
      g.lineWidth = 2;
      g.strokeStyle = "#fff";
      g.strokeRect(x - 1, y - 1, width + 2, row() * S + 2);
      g.strokeStyle = colors.ink;
      g.strokeRect(x - 3, y - 3, width + 6, row() * S + 6);
    }
    if (state === null) return;
    const [before, after] = scales;
    for (let s = 0; s < S; s++) {
      const leads = t > 0 && sources(found.states, state).includes(s);
      const follows = t + 1 < frames.length && sources(found.states, s).includes(state);
      if (leads) drawLine(g, [cell(before, t - 1, s), cell(before, t, state)], colors.lit, 3);
      if (follows) drawLine(g, [cell(after, t, state), cell(after, t + 1, s)], colors.lit, 3);
    }
    for (const scale of scales) {
      g.strokeStyle = colors.lit;
      g.lineWidth = 3;
      g.strokeRect(scale.x(t), y + row() * state, scale.x(t + 1) - scale.x(t), row());
    }
  }

  /** @param {number} t @param {number | null} s */
  function choose(t, s = null) {
    now.frame = Math.min(Math.max(t, 0), frames.length - 1);
    state = s === null ? null : Math.min(Math.max(s, 0), found.states.length - 1);
    step.set(now.frame + 1);
    view.redraw();
    describe();
  }
  const label = "The lattice: α, β and posteriors of every state at every frame";
  const view = picture(root, body, label, height, paint, point);
  view.node.addEventListener("pointermove", (event) => {
    const { x, y } = view.at(event);
    const scale = panels(view.width).find(({ left, right }) => left <= x && x < right);
    if (!scale) return;
    const s = Math.floor((y - top()) / row());
    const t = Math.floor(scale.time(x));
    if (s >= 0 && s < found.states.length && (t !== now.frame || s !== state)) choose(t, s);
  });
  keys(view.node, {
    ArrowLeft: () => choose(now.frame - 1, state),
    ArrowRight: () => choose(now.frame + 1, state),
    ArrowUp: () => choose(now.frame, (state ?? likeliest()) - 1),
    ArrowDown: () => choose(now.frame, (state ?? likeliest()) + 1),
    Home: () => choose(0, state),
    End: () => choose(frames.length - 1, state),
    Escape: () => choose(now.frame),
    Enter: hearClip,
    " ": hearClip,
  });
  change({});
  const stop = onTheme(view.redraw);
  return () => {
    stop();
    sound.stop();
  };
}

/**
 * Python's clips: each with its log probabilities, row by row, and its samples.
 * @param {import("@anywidget/types").AnyModel<Traits>} model @returns {Clip[]}
 */
function unpack(model) {
  const values = float32(model.get("log_probs"));
  const samples = int16(model.get("samples"));
  let at = 0;
  let heard = 0;
  return model.get("clips").map((clip) => {
    const V = clip.tokens.length;
    const logProbs = Array.from({ length: clip.frames }, (_, t) => [...values.slice(at + t * V, at + t * V + V)]);
    at += clip.frames * V;
    heard += clip.length;
    return { ...clip, logProbs, samples: samples.slice(heard - clip.length, heard) };
  });
}

export default { render };
