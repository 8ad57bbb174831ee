// A Vega-Lite chart whose signals follow the widget's traits of the same name.

// The published page brings Vega along; elsewhere the kernel sends it.
function vegaIsThere(model) {
  if (window.vegaEmbed) return Promise.resolve();
  return new Promise((resolve) => {
    model.on("msg:custom", ({ vega }) => {
      if (!window.vegaEmbed) new Function(vega + ";window.vegaEmbed ??= vegaEmbed")();
      resolve();
    });
    model.send("vega");
  });
}

// A binary trait is an array of 16-bit integers.
function valueOf(model, name) {
  const value = model.get(name);
  if (!(value instanceof DataView)) return value;
  return new Int16Array(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
}

// Choosing a preset sets its controls; moving a control names the preset it now agrees with, if any.
function linkPresets(model) {
  const presets = model.get("presets");
  const agrees = (preset) => Object.entries(preset).every(([name, at]) => model.get(name) === at);
  model.on("change:preset", () => model.set(presets[model.get("preset")]));
  model.on("change", () => {
    const agreeing = presets.findIndex((preset, at) => at > 0 && agrees(preset));
    model.set("preset", Math.max(agreeing, 0));
    model.save_changes();
  });
}

// Screen readers get each control's name and state, and the value shown instead of its position.
function nameControls(box) {
  const set = (element, name, text) => {
    if (element && element.getAttribute(name) !== text) element.setAttribute(name, text);
  };
  let label = "";
  for (const control of box.querySelectorAll(".explore-controls > *")) {
    // A play button follows the control it plays and has no label of its own.
    label = control.querySelector(".widget-label")?.textContent ?? label;
    const handle = control.querySelector(".noUi-handle");
    set(handle, "aria-label", label);
    set(handle, "aria-valuetext", control.querySelector(".widget-readout")?.textContent ?? "");
    for (const icon of control.querySelectorAll("i.fa")) {
      set(icon.parentElement, "aria-label", `${icon.className.split("fa-")[1]} ${label}`);
    }
    if (!control.matches(".widget-toggle-buttons")) continue;
    set(control, "role", "group");
    set(control, "aria-label", label);
    for (const button of control.querySelectorAll("button")) {
      set(button, "aria-pressed", String(button.classList.contains("mod-active")));
    }
  }
}

async function render({ model, el }) {
  await vegaIsThere(model);
  // Only in the page does the chart have a width.
  while (!el.isConnected) await new Promise(requestAnimationFrame);
  const box = el.closest(".explore");
  const changes = { childList: true, subtree: true, attributeFilter: ["class", "aria-valuetext"] };
  new MutationObserver(() => nameControls(box)).observe(box, changes);
  nameControls(box);

  const followed = [];
  const patch = (spec) => {
    for (const signal of spec.signals) {
      if (signal.update || model.get(signal.name) === undefined) continue;
      signal.value = valueOf(model, signal.name);
      followed.push(signal.name);
    }
    return spec;
  };
  const chart = el.appendChild(document.createElement("div"));
  const options = { renderer: "svg", actions: false, patch };
  const { view } = await vegaEmbed(chart, model.get("spec"), options);
  for (const name of followed) {
    model.on(`change:${name}`, () => view.signal(name, valueOf(model, name)).runAsync());
  }
  return () => view.finalize();
}

function initialize({ model }) {
  if (model.get("presets").length) linkPresets(model);
}

export default { initialize, render };
