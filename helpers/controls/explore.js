// Vega-Lite charts whose signals follow the widget's traits of the same name.

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

// The states arrive deflated: the low bytes of all 16-bit integers, then their high bytes.
async function unpack(states) {
  const stream = new Blob([states]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = bytes.length / 2;
  return Int16Array.from({ length: size }, (_, at) => bytes[at] | (bytes[size + at] << 8));
}

// Choosing a preset sets its controls. Once a control rests, the preset it now agrees with is named:
// not before, so that the chart is repainted first.
function linkPresets(model) {
  const presets = model.get("presets");
  const agrees = (preset) => Object.entries(preset).every(([name, at]) => model.get(name) === at);
  model.on("change:preset", () => model.set(presets[model.get("preset")]));
  const name = () => {
    const agreeing = presets.findIndex((preset, at) => at > 0 && agrees(preset));
    model.set("preset", Math.max(agreeing, 0));
    model.save_changes();
  };
  let waiting;
  model.on("change", () => {
    clearTimeout(waiting);
    waiting = setTimeout(name, 250);
  });
}

// In JupyterLab. Screen readers get each control's name and state, and the value shown instead of its position.
function nameControls(controls) {
  const set = (element, name, text) => {
    if (element && element.getAttribute(name) !== text) element.setAttribute(name, text);
  };
  for (const control of controls) {
    const label = control.querySelector(".widget-label")?.textContent ?? "";
    const handle = control.querySelector(".noUi-handle");
    set(handle, "aria-label", label);
    set(handle, "aria-valuetext", control.querySelector(".widget-readout")?.textContent ?? "");
    for (const step of control.querySelectorAll(".explore-step")) {
      set(step, "aria-label", `${step.dataset.name} ${label}`);
    }
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

// Two hundred steps are too fine for a finger: long sliders that do not play get step buttons.
function addSteps(controls) {
  for (const control of controls) {
    const handle = control.querySelector(".noUi-handle");
    const steps = handle?.getAttribute("aria-valuemax") - handle?.getAttribute("aria-valuemin");
    if (!(steps >= 30) || control.querySelector(".explore-step, .widget-play")) continue;
    const slider = handle.closest(".slider-container");
    const add = (where, text, name, key) => {
      const button = document.createElement("button");
      button.className = "explore-step";
      button.textContent = text;
      button.dataset.name = name;
      button.onclick = () => handle.dispatchEvent(new KeyboardEvent("keydown", { key }));
      slider.insertAdjacentElement(where, button);
    };
    add("beforebegin", "\u2039", "previous", "ArrowLeft");
    add("afterend", "\u203a", "next", "ArrowRight");
  }
}

// What the chart says in words is spoken once the control rests.
function speaker(el) {
  const spoken = el.appendChild(document.createElement("div"));
  spoken.className = "explore-spoken";
  spoken.setAttribute("role", "status");
  const text = () =>
    [...el.querySelectorAll(".role-title-text text, .mark-text.role-mark text")]
      .map((line) => line.innerHTML.replace(/<[^>]*>/g, " "))
      .join(" ");
  let waiting;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => (spoken.textContent = text()), 600);
  };
}

// Draw one chart; return its view and the signals that the widget's traits set.
async function draw(figure, spec, model, states) {
  const followed = [];
  const patch = (vega) => {
    for (const signal of vega.signals) {
      if (signal.name === "states") signal.value = states;
      else if (!signal.update && ["number", "boolean"].includes(typeof model.get(signal.name))) {
        signal.value = Number(model.get(signal.name));
        followed.push(signal.name);
      }
    }
    return vega;
  };
  const { view } = await vegaEmbed(figure, spec, { renderer: "svg", actions: false, patch });
  return { view, followed };
}

// JupyterLab draws ipywidgets' own controls; on the published page they are the browser's.
function mendControls(panel) {
  const mend = (controls) => {
    addSteps(controls);
    nameControls(controls);
  };
  const changes = { childList: true, subtree: true, attributeFilter: ["class", "aria-valuetext"] };
  const controlOf = ({ target }) => [...panel.children].filter((child) => child.contains(target));
  new MutationObserver((records) => mend(new Set(records.flatMap(controlOf)))).observe(panel, changes);
  mend(panel.children);
}

async function render({ model, el }) {
  await vegaIsThere(model);
  // Only in the page does a chart have a width.
  while (!el.isConnected) await new Promise(requestAnimationFrame);
  const panel = el.closest(".explore").querySelector(".explore-controls");
  if (!panel.querySelector(".explore-control")) mendControls(panel);

  const states = await unpack(model.get("states"));
  const charts = el.appendChild(document.createElement("div"));
  charts.className = "explore-charts";
  const figures = model.get("specs").map((spec) => {
    const figure = charts.appendChild(document.createElement("div"));
    return draw(figure, spec, model, states);
  });
  const speak = speaker(el);
  const views = await Promise.all(figures);
  for (const { view, followed } of views) {
    for (const name of followed) {
      model.on(`change:${name}`, () => {
        view.signal(name, Number(model.get(name))).runAsync();
        speak();
      });
    }
  }
  return () => views.forEach(({ view }) => view.finalize());
}

function initialize({ model }) {
  if (model.get("presets").length) linkPresets(model);
}

export default { initialize, render };
