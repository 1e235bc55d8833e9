// What an anywidget needs of Jupyter, in a page without Jupyter: a model that holds its state and tells of changes.
function modelOf(state) {
  const calls = {};
  return {
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      for (const call of calls[`change:${name}`] ?? []) call();
    },
    on: (event, call) => (calls[event] ??= []).push(call),
    off(event, call) {
      calls[event] = (calls[event] ?? []).filter((other) => other !== call);
    },
    save_changes() {}, // there is no kernel to save to
    send() {},
  };
}

// Put the widget that a place's data describe where its picture stands; if that fails, the picture stays.
async function standAlone(place) {
  const { state, buffers } = JSON.parse(place.querySelector("script").textContent);
  for (const { path, data } of buffers)
    state[path[0]] = new DataView(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)).buffer);
  place.model = modelOf(state);
  const url = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const style = document.createElement("style"), el = document.createElement("div");
  style.textContent = state._css;
  place.prepend(style, el);
  await widget.render({ model: place.model, el });
  place.replaceChildren(style, el);
}
await Promise.all([...document.querySelectorAll(".stand-alone")].map(standAlone));
