// What an anywidget needs of Jupyter, in a page without Jupyter: a model that holds its state and tells of changes.

/**
 * @typedef {Record<string, unknown>} State the traits of a widget, by their names
 * @typedef {{ state: State, buffers: { path: [string], data: string }[] }} Saved buffers are traits in base64
 * @typedef {HTMLElement & { model?: ReturnType<typeof modelOf> }} Place
 */

/** @param {State} state */
function modelOf(state) {
  /** @type {Record<string, (() => void)[]>} */
  const calls = {};
  return {
    get: (/** @type {string} */ name) => state[name],
    set(/** @type {string} */ name, /** @type {unknown} */ value) {
      state[name] = value;
      for (const call of calls[`change:${name}`] ?? []) call();
    },
    on(/** @type {string} */ event, /** @type {() => void} */ call) {
      calls[event] ??= [];
      calls[event].push(call);
    },
    off(/** @type {string} */ event, /** @type {() => void} */ call) {
      calls[event] = (calls[event] ?? []).filter((other) => other !== call);
    },
    save_changes() {}, // there is no kernel to save to
    send() {},
  };
}

/**
 * Put the widget that a place's data describe where its picture stands; if that fails, the picture stays.
 * @param {Place} place
 */
async function standAlone(place) {
  /** @type {Saved} */
  const { state, buffers } = JSON.parse(place.querySelector("script")?.textContent ?? "");
  for (const { path, data } of buffers)
    state[path[0]] = new DataView(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)).buffer);
  place.model = modelOf(state);
  const url = URL.createObjectURL(new Blob([String(state._esm)], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const style = document.createElement("style");
  const el = document.createElement("div");
  style.textContent = String(state._css);
  place.prepend(style, el);
  await widget.render({ model: place.model, el });
  place.replaceChildren(style, el);
}
await Promise.all([.../** @type {NodeListOf<Place>} */ (document.querySelectorAll(".stand-alone"))].map(standAlone));

export {};
