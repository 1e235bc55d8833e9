// Spectrogram, phones and words over one time axis, and under them what each codebook calls every frame. Point at a frame:
// its codes, and the phones they usually mean. Choose a code: every place where it occurs is lit, and can be played.
const LEFT = 92;
const RIGHT = 12;
const WORDS = 28;
const PHONES = 42;
const SPECTRUM = 190;
const TRACK = 40;
const GAP = 6;
const AXIS = 30;
const MOST_BARS = 7; // phones of a code
const MOST_PLACES = 24; // that are listed
/** @type {[name: string, margin: number | null][]} s before and after a code; null: the whole word */
const AROUND = [
  ["the code alone", 0],
  ["with 50 ms around it", 0.05],
  ["with its word", null],
];

/**
 * @typedef {{ id: string, speaker: string, text: string, phones: Interval[], words: Interval[],
 *   samples: number, frames: number, columns: number }} Sent
 * @typedef {Sent & { sound: Int16Array, codes: Uint16Array, image: OffscreenCanvas }} Clip `codes` are (T, G)
 * @typedef {{ groups: number, entries: number, few: number, rows: number, rate: number, hop: number,
 *   first: number }} Shape
 * @typedef {{ clips: Sent[], shape: Shape, phones: string[], kinds: Record<string, string>, kind_of: string[][],
 *   counts: Bytes, codes: Bytes, spectrograms: Bytes, sound: Bytes }} Traits `kinds`: kind → color
 * @typedef {{ book: number, code: number }} Code
 * @typedef {{ place: Clip, from: number, to: number }} Occurrence of a code in the frames [from, to)
 */

/**
 * Where a share of `n` frames may well lie (Wilson's interval, 95 %): wide where n is small.
 * @param {number} share @param {number} n
 */
function wilson(share, n) {
  const z2 = 1.96 ** 2;
  const middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const half = (1.96 * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/**
 * Utterances with their slices of the arrays that Python has sent as one each.
 * @param {import("@anywidget/types").AnyModel<Traits>} model
 * @returns {Promise<{ clips: Clip[], counts: Int32Array }>}
 */
async function unpack(model) {
  const [codes, spectra, counts] = await Promise.all([
    inflate(model.get("codes")),
    inflate(model.get("spectrograms")),
    inflate(model.get("counts")),
  ]);
  const sound = int16(model.get("sound"));
  const { groups, rows } = model.get("shape");
  const at = { samples: 0, codes: 0, columns: 0 };
  const all = new Uint16Array(codes.buffer);
  const clips = model.get("clips").map((clip) => {
    const from = { ...at };
    at.samples += clip.samples;
    at.codes += clip.frames * groups;
    at.columns += clip.columns;
    return {
      ...clip,
      sound: sound.subarray(from.samples, at.samples),
      codes: all.subarray(from.codes, at.codes),
      image: heatmap(spectra.subarray(from.columns * rows, at.columns * rows), rows, clip.columns, true),
    };
  });
  return { clips, counts: new Int32Array(counts.buffer) };
}

/** @type {import("@anywidget/types").Render<Traits>} */
async function render({ model, el }) {
  const { root, controls, body, say } = frame(
    el,
    "codebook",
    "Point at a frame, click a code to light it, click a phone or a word to hear it. Keys: ← → frame, ↑ ↓ codebook, " +
      "Enter lights the code, Space plays it, Escape puts the light out.",
  );
  const { clips, counts } = await unpack(model);
  const { groups, entries, few, hop, first, rate } = model.get("shape");
  const phones = model.get("phones");
  const kinds = model.get("kinds");
  const kindOf = model.get("kind_of");
  const sound = player(rate, say);
  let clip = clips[0];
  let t = Math.floor(clip.frames / 2);
  let book = 0;
  /** @type {Code | null} */
  let chosen = null;
  let around = 1; // position in AROUND

  const books = Array.from({ length: groups }, (_, g) => g);
  /** @type {(place: Clip, frame: number, g: number) => number} */
  const codeAt = (place, frame, g) => place.codes[frame * groups + g];
  /** @type {(g: number, p: number, code: number) => number} frames of the counted speech in which it met phones[p] */
  const count = (g, p, code) => counts[(g * phones.length + p) * entries + code];
  /**
   * The frames around `frame` that have the same code, [from, to).
   * @param {Clip} place @param {number} frame @param {number} g
   */
  function run(place, frame, g) {
    const code = codeAt(place, frame, g);
    let [from, to] = [frame, frame + 1];
    while (from > 0 && codeAt(place, from - 1, g) === code) from--;
    while (to < place.frames && codeAt(place, to, g) === code) to++;
    return [from, to];
  }
  /**
   * The phones that a code has met in the counted speech, the commonest first, and in how many frames.
   * @param {number} g @param {number} code
   */
  function meanings(g, code) {
    const found = phones.map((phone, p) => /** @type {[phone: string, n: number]} */ ([phone, count(g, p, code)]));
    const frames = found.reduce((sum, [, n]) => sum + n, 0);
    return { frames, phones: found.filter(([, n]) => n).sort((a, b) => b[1] - a[1]) };
  }
  /** @type {(n: number, what: string) => string} */
  const many = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  const middle = (/** @type {number} */ frame) => first + frame * hop; // s
  const total = phones.map((_, p) => counts.subarray(p * entries, (p + 1) * entries).reduce((a, b) => a + b, 1));
  /**
   * For speech whose phones nobody knows: in each frame the phone that all its codes together make likeliest. The codes
   * are taken as independent of each other given the phone, and half a frame is added to every count.
   * @param {Clip} place
   */
  function guessed(place) {
    /** @type {Interval[]} */
    const found = [];
    for (let frame = 0; frame < place.frames; frame++) {
      const score = phones.map((_, p) => {
        const seen = books.map((g) => count(g, p, codeAt(place, frame, g)));
        return seen.reduce((sum, n) => sum + Math.log(n + 0.5), (1 - groups) * Math.log(total[p]));
      });
      const phone = phones[score.indexOf(Math.max(...score))];
      const last = found.at(-1);
      if (last?.[2] === phone) last[1] = middle(frame + 0.5);
      else found.push([middle(frame - 0.5), middle(frame + 0.5), phone]);
    }
    return found;
  }
  /** @type {(g: number, code: number) => ReturnType<typeof shade>} */
  const colorOf = (g, code) => shade(kinds[kindOf[g][code]], code);

  // Controls and picture ----------------------------------------------------------------------------------------------
  const titles = clips.map(({ speaker, text, id }) => `${speaker}: ${text || id}`);
  const chooser = select(controls, "utterance", titles, 0, (i) => show(clips[i], Math.floor(clips[i].frames / 2)));
  button(controls, "▶ play it all", () => sound.play([clip.sound]));
  const margins = AROUND.map(([name]) => name);
  select(controls, "hear a code", margins, around, (i) => {
    around = i;
  });

  /** @type {TimeScale} */
  let scale;
  const phonesTop = clips.some(({ words }) => words.length) ? WORDS : 0;
  const top = { words: 0, phones: phonesTop, spectrum: phonesTop + PHONES + 2 };
  const trackTop = (/** @type {number} */ g) => top.spectrum + SPECTRUM + GAP + g * (TRACK + 3);
  const bottom = trackTop(groups) + 2;
  const view = picture(root, body, "Spectrogram and codes", bottom + AXIS, draw, point);

  /** @type {Draw} */
  function draw(g, width, _height, colors) {
    const seconds = clip.samples / rate;
    scale = timeScale(LEFT, width - RIGHT, seconds, hop, first);
    label(g, colors);
    if (clip.words.length) band(g, clip.words, scale, top.words, WORDS - 2, colors);
    band(g, clip.phones.length ? clip.phones : guessed(clip), scale, top.phones, PHONES - 2, colors);
    g.imageSmoothingEnabled = true;
    g.drawImage(clip.image, LEFT, top.spectrum, scale.right - LEFT, SPECTRUM);
    for (let b = 0; b < groups; b++) track(g, b, colors);
    timeAxis(g, scale, bottom, colors);
  }

  /** @param {Context2D} g @param {Colors} colors */
  function label(g, colors) {
    g.fillStyle = colors.ink;
    g.textAlign = "right";
    /** @type {(text: string, y: number) => void} */
    const write = (text, y) => g.fillText(text, LEFT - 8, y);
    if (clip.words.length) write("words", top.words + WORDS / 2);
    write(clip.phones.length ? "phones" : "guessed", top.phones + PHONES / 2);
    const height = (/** @type {number} */ kHz) => top.spectrum + SPECTRUM * (1 - (2000 * kHz) / rate);
    write("0 kHz", height(0) - 6);
    for (const kHz of [2, 4, 6]) write(String(kHz), height(kHz));
    for (let b = 0; b < groups; b++) write(`codebook ${b + 1}`, trackTop(b) + TRACK / 2);
  }

  /** @param {Context2D} g @param {number} b @param {Colors} colors */
  function track(g, b, colors) {
    for (let frame = 0; frame < clip.frames; ) {
      const [from, to] = run(clip, frame, b);
      const code = codeAt(clip, frame, b);
      const { fill, ink } = colorOf(b, code);
      const x = scale.start(from);
      const right = scale.start(to);
      const lit = chosen?.book === b && chosen.code === code;
      g.globalAlpha = chosen && !lit ? 0.22 : 1;
      g.fillStyle = fill;
      g.fillRect(x, trackTop(b), right - x - 0.7, TRACK);
      g.fillStyle = chosen && !lit ? colors.ink : ink;
      fitted(g, String(code), x + 1, right - 2, trackTop(b) + TRACK / 2, 14, 10);
      g.globalAlpha = 1;
      if (lit) {
        g.strokeStyle = colors.lit;
        g.lineWidth = 3;
        g.strokeRect(x + 1, top.spectrum + 1, right - x - 2, trackTop(b) + TRACK - top.spectrum - 2);
      }
      frame = to;
    }
  }

  /** @type {Draw} */
  function point(g, _width, _height, colors) {
    const x = scale.start(t);
    const right = scale.start(t + 1);
    g.strokeStyle = colors.lit;
    g.fillStyle = colors.lit;
    g.globalAlpha = 0.25;
    g.fillRect(x, top.spectrum, right - x, SPECTRUM);
    g.globalAlpha = 1;
    g.lineWidth = 1.5;
    g.strokeRect(x, top.spectrum, right - x, bottom - top.spectrum);
    for (let b = 0; b < groups; b++) {
      const [from, to] = run(clip, t, b);
      g.strokeStyle = colors.ink;
      g.lineWidth = b === book ? 3.5 : 1.5;
      g.strokeRect(scale.start(from) + 0.5, trackTop(b), scale.start(to) - scale.start(from) - 1.5, TRACK);
    }
  }

  const used = Object.entries(kinds).filter(([kind]) => kindOf.flat().includes(kind));
  legend(body, "color: what a code usually means, shade: which code", used);

  // What the codes usually mean ---------------------------------------------------------------------------------------
  const panels = make("div", { class: "w2v2-entries" }, body);
  const bars = books.map(() => {
    const panel = make("section", {}, panels);
    const title = make("h4", {}, panel);
    const note = make("p", {}, panel);
    const lines = Array.from({ length: MOST_BARS }, () => {
      const line = make("div", { class: "w2v2-bar" }, panel);
      const name = make("b", {}, line);
      const rail = make("span", { class: "w2v2-rail" }, line);
      const bar = make("i", {}, rail);
      const reach = make("s", {}, rail);
      return { line, name, bar, reach, text: make("span", {}, line) };
    });
    return { panel, title, note, lines };
  });

  /** @param {number} b */
  function drawBars(b) {
    const code = codeAt(clip, t, b);
    const { frames, phones: met } = meanings(b, code);
    const { panel, title, note, lines } = bars[b];
    const { fill, ink } = colorOf(b, code);
    title.textContent = `Codebook ${b + 1}, code ${code}`;
    title.style.background = fill;
    title.style.color = ink;
    panel.classList.toggle("w2v2-few", frames < few);
    note.textContent =
      frames === 0
        ? "Never used in the counted speech: nothing is known of it."
        : `n = ${many(frames, "frame")} in the counted speech${frames < few ? ": too few to say what it means" : ""}`;
    lines.forEach(({ line, name, bar, reach, text }, i) => {
      line.style.visibility = i < met.length ? "visible" : "hidden";
      if (i >= met.length) return;
      const [phone, n] = met[i];
      const [low, high] = wilson(n / frames, frames);
      name.textContent = phone;
      bar.style.width = `${(100 * n) / frames}%`;
      reach.style.left = `${100 * low}%`;
      reach.style.width = `${100 * (high - low)}%`;
      text.textContent = `${Math.round((100 * n) / frames)} % · ${n.toLocaleString("en")}`;
    });
  }

  /** @param {number} b @param {number} code */
  function usually(b, code) {
    const { frames, phones: met } = meanings(b, code);
    if (!frames) return "never seen before";
    if (frames < few) return `seen in only ${many(frames, "frame")}`;
    return `[${met[0][0]}] in ${Math.round((100 * met[0][1]) / frames)} % of its ${many(frames, "frame")}`;
  }
  function describe() {
    const phone = labelAt(clip.phones, middle(t));
    const word = labelAt(clip.words, middle(t));
    const where = (phone ? `, in [${phone}]` : "") + (word ? ` of “${word}”` : "");
    const codes = books.map((b) => `codebook ${b + 1} says ${codeAt(clip, t, b)} (${usually(b, codeAt(clip, t, b))})`);
    say(`Frame ${t} at ${middle(t).toFixed(2)} s${where}: ${codes.join("; ")}.`);
  }

  // Where a chosen code occurs ----------------------------------------------------------------------------------------
  const places = make("div", { class: "w2v2-places" }, body);

  /** @param {Code} of */
  function occurrences({ book: b, code }) {
    /** @type {Occurrence[]} */
    const found = [];
    for (const place of clips)
      for (let frame = 0; frame < place.frames; ) {
        const [from, to] = run(place, frame, b);
        if (codeAt(place, frame, b) === code) found.push({ place, from, to });
        frame = to;
      }
    return found;
  }
  /**
   * Every speaker's first, every speaker's second, …: so that a list that is cut off still has all voices.
   * @param {Occurrence[]} found
   */
  function mixed(found) {
    /** @type {Map<string, number>} */
    const turns = new Map();
    return found
      .map((one) => {
        const turn = (turns.get(one.place.speaker) ?? 0) + 1;
        turns.set(one.place.speaker, turn);
        return { one, turn };
      })
      .sort((a, b) => a.turn - b.turn)
      .map(({ one }) => one);
  }
  /** @param {Occurrence} what */
  function slice({ place, from, to }) {
    let start = middle(from - 0.5);
    let end = middle(to - 0.5);
    const margin = AROUND[around][1];
    const word = place.words.find(([a, b]) => a <= middle(from) && middle(from) < b);
    if (margin === null && word) [start, end] = word;
    else [start, end] = [start - (margin ?? 0.1), end + (margin ?? 0.1)];
    return place.sound.subarray(Math.max(0, Math.round(start * rate)), Math.round(end * rate));
  }

  function listPlaces() {
    places.replaceChildren();
    if (!chosen) {
      make("p", { class: "w2v2-help" }, places).textContent =
        "No code is lit. Click one in the tracks, or press Enter.";
      return;
    }
    const found = mixed(occurrences(chosen));
    const listed = found.slice(0, MOST_PLACES);
    const head = make("div", { class: "w2v2-controls" }, places);
    const all = listed.length === found.length;
    make("strong", {}, head).textContent = `Code ${chosen.code} of codebook ${chosen.book + 1}: ${summary(found)}`;
    button(head, all ? "▶ play all" : `▶ play the first ${MOST_PLACES}`, () => sound.play(listed.map(slice)));
    button(head, "light out", () => light(null));
    const row = make("div", { class: "w2v2-chips", role: "group", "aria-label": "places of this code" }, places);
    rove(row, 1)(listed.map((one) => button(row, `▶ ${title(one)}`, () => visit(one))));
  }
  /** @param {Occurrence[]} found */
  function summary(found) {
    /** @type {(of: unknown[], what: string) => string} */
    const number = (of, what) => many(new Set(of).size, what);
    const clips = found.map(({ place }) => place);
    const speakers = clips.map(({ speaker }) => speaker);
    return `${number(found, "place")} in ${number(clips, "utterance")} by ${number(speakers, "speaker")}`;
  }
  /** @param {Occurrence} one */
  function title({ place, from, to }) {
    const time = middle((from + to - 1) / 2);
    const phone = labelAt(place.phones, time);
    const word = labelAt(place.words, time);
    const said = (word ? ` “${word}”` : "") + (phone ? ` [${phone}]` : "");
    return `${place.speaker}${said} ${Math.round(1000 * hop * (to - from))} ms`;
  }
  /** @param {Occurrence} one */
  function visit(one) {
    show(one.place, Math.floor((one.from + one.to - 1) / 2));
    sound.play([slice(one)]);
  }

  /** @param {Code | null} next */
  function light(next) {
    chosen = next;
    view.redraw();
    listPlaces();
  }
  const lightOwn = () => light({ book, code: codeAt(clip, t, book) });

  // What pointer and keys do ------------------------------------------------------------------------------------------
  function update() {
    view.repoint();
    for (let b = 0; b < groups; b++) drawBars(b);
    describe();
  }
  /** @param {Clip} next @param {number} frame */
  function show(next, frame) {
    clip = next;
    chooser.selectedIndex = clips.indexOf(clip);
    t = frame;
    view.redraw();
    update();
  }
  /** @param {number} frame */
  function move(frame, b = book) {
    frame = Math.min(Math.max(frame, 0), clip.frames - 1);
    b = Math.min(Math.max(b, 0), groups - 1);
    if (frame === t && b === book) return;
    [t, book] = [frame, b];
    update();
  }
  const trackAt = (/** @type {number} */ y) => books.find((b) => y >= trackTop(b) && y < trackTop(b) + TRACK);

  view.node.addEventListener("pointermove", (event) => {
    const { x, y } = view.at(event);
    if (x >= LEFT && x <= scale.right) move(scale.frameAt(x, clip.frames), trackAt(y) ?? book);
  });
  view.node.addEventListener("click", (event) => {
    const { x, y } = view.at(event);
    const time = scale.time(x);
    if (x < LEFT || x > scale.right) return;
    move(scale.frameAt(x, clip.frames), trackAt(y) ?? book);
    if (trackAt(y) !== undefined) return lightOwn();
    const said = (y < top.phones ? clip.words : clip.phones).find(([start, end]) => start <= time && time < end);
    if (said) sound.play([clip.sound.subarray(Math.round(said[0] * rate), Math.round(said[1] * rate))]);
  });
  keys(view.node, {
    ArrowLeft: () => move(t - 1),
    ArrowRight: () => move(t + 1),
    ArrowUp: () => move(t, book - 1),
    ArrowDown: () => move(t, book + 1),
    Home: () => move(0),
    End: () => move(clip.frames - 1),
    Enter: lightOwn,
    Escape: () => light(null),
    " ": () => {
      const [from, to] = run(clip, t, book);
      sound.play([slice({ place: clip, from, to })]);
    },
  });

  view.redraw();
  update();
  listPlaces();
  const stopWatching = onTheme(view.redraw);
  return () => {
    stopWatching();
    sound.stop();
  };
}

export default { render };
