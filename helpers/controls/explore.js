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

// What the chart says in words is spoken once the control rests: the lines that are new.
function speaker(el) {
  const spoken = el.appendChild(document.createElement("div"));
  spoken.className = "explore-spoken";
  spoken.setAttribute("role", "status");
  const lines = () => {
    const texts = el.querySelectorAll("svg.marks :is(.role-title-text, .mark-text.role-mark) text");
    return [...texts].flatMap((text) => {
      const parts = text.querySelectorAll("tspan");
      return (parts.length ? [...parts] : [text]).map((part) => part.textContent);
    });
  };
  let before = [];
  const speak = () => {
    const now = lines();
    const fresh = now.filter((line) => !before.includes(line));
    if (fresh.length) spoken.textContent = fresh.join(" ");
    before = now;
  };
  let waiting;
  return {
    start: () => (before = lines()),
    speak: () => {
      clearTimeout(waiting);
      waiting = setTimeout(speak, 600);
    },
  };
}

// A click, a tap or a drag takes the nearest point of a kind, so that a finger need not hit it.
const REACH = 24;
function nearest(view, at, isWanted) {
  const found = { distance: REACH, item: null };
  const search = (item, x, y) => {
    if (item.marktype === "group") {
      for (const group of item.items) {
        for (const mark of group.items) search(mark, x + group.x, y + group.y);
      }
    } else if (item.marktype === "symbol" && item.role === "mark") {
      for (const point of item.items.filter(isWanted)) {
        const distance = Math.hypot(x + point.x - at[0], y + point.y - at[1]);
        if (distance < found.distance) Object.assign(found, { distance, item: point });
      }
    }
  };
  search(view.scenegraph().root, 0, 0);
  return found.item;
}

// Where an event is in the frame of a chart.
function placeOf(svg, { clientX, clientY }) {
  const frame = svg.querySelector(".root path.background").getScreenCTM();
  const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(frame.inverse());
  return [x, y];
}

const holds = (field) => ({ datum }) => datum?.[field] !== undefined;

// A finger cannot hover: a tap shows what a point would tell a mouse.
function linkTaps(view, svg) {
  svg.addEventListener("click", (event) => {
    if (event.pointerType !== "touch") return;
    const item = nearest(view, placeOf(svg, event), ({ tooltip }) => tooltip);
    view.tooltip()(view, event, item, item?.tooltip);
  });
}

// A chart says in its usermeta which control a click on a point sets: {pick: {control, field, first}}.
function linkPicks(view, svg, model, { control, field, first }) {
  svg.classList.add("explore-picks");
  svg.addEventListener("click", (event) => {
    const item = nearest(view, placeOf(svg, event), holds(field));
    if (!item) return;
    model.set(control, item.datum[field] - first);
    model.save_changes();
  });
}

// {drag: {which, by, field, from, steps, middle}}: a point is dragged up and down, which sets two controls: which
// point, and by how many steps, counted from the middle of that control, it is away from its field `from`.
function linkDrags(view, svg, model, { which, by, field, from, steps, middle }) {
  let held = null;
  svg.classList.add("explore-drags");
  svg.addEventListener("pointerdown", (event) => {
    held = nearest(view, placeOf(svg, event), holds(field))?.datum;
    if (!held) return;
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    held = { at: held[field], from: held[from] };
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [, down] = placeOf(svg, event);
    const moved = view.scale("y").invert(down) - held.from;
    const position = middle + Math.round(moved * steps);
    model.set({ [which]: held.at - 1, [by]: Math.min(2 * middle, Math.max(0, position)) });
    model.save_changes();
  });
  const release = () => (held = null);
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  // A finger that starts on a point drags it; elsewhere it scrolls the page.
  svg.addEventListener("touchstart", (event) => {
    if (nearest(view, placeOf(svg, event.touches[0]), holds(field))) event.preventDefault();
  }, { passive: false });
}

// A style that limits the height of the place of a chart, as on a phone, limits its frame.
function fitHeight(el, view) {
  const svg = view.container().querySelector("svg.marks");
  const whole = view.signal("height");
  return () => {
    const room = parseFloat(getComputedStyle(el).maxHeight);
    // Where charts are zoomed (explore.css), their pixels are smaller than those of the room.
    const scale = svg.getBoundingClientRect().height / svg.height.baseVal.value;
    const around = svg.height.baseVal.value - view.signal("height");
    const height = Math.max(80, Math.min(whole, (room || Infinity) / scale - around));
    if (Math.abs(height - view.signal("height")) > 1) view.signal("height", height).runAsync();
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
  const { view } = await vegaEmbed(figure, spec, { renderer: "svg", actions: false, hover: false, patch });
  const svg = figure.querySelector("svg");
  const { pick, drag } = spec.usermeta ?? {};
  linkTaps(view, svg);
  if (pick) linkPicks(view, svg, model, pick);
  if (drag) linkDrags(view, svg, model, drag);
  return { view, followed };
}

// JupyterLab draws ipywidgets' own controls; on the published page they are the browser's.
function mendControls(explorer) {
  const mend = (controls) => {
    addSteps(controls);
    nameControls(controls);
  };
  const every = () => explorer.querySelectorAll(".explore-controls > *");
  const changes = { childList: true, subtree: true, attributeFilter: ["class", "aria-valuetext"] };
  // Folded controls are drawn late: what changes outside of any control may bring new ones.
  const changed = ({ target }) => {
    if (target.closest(".explore-charts")) return [];
    const control = target.closest(".explore-controls > *");
    return control ? [control] : [...every()];
  };
  new MutationObserver((records) => mend(new Set(records.flatMap(changed)))).observe(explorer, changes);
  mend(every());
}

async function render({ model, el }) {
  await vegaIsThere(model);
  // Only in the page does a chart have a width.
  while (!el.isConnected) await new Promise(requestAnimationFrame);
  const explorer = el.closest(".explore");
  if (!explorer.querySelector(".explore-control")) mendControls(explorer);

  const states = await unpack(model.get("states"));
  const charts = el.appendChild(document.createElement("div"));
  charts.className = "explore-charts";
  if (model.get("columns")) charts.style.setProperty("--columns", model.get("columns"));
  const figures = model.get("specs").map((spec) => {
    const figure = charts.appendChild(document.createElement("div"));
    return draw(figure, spec, model, states);
  });
  const { start, speak } = speaker(el);
  const views = await Promise.all(figures);
  start();
  for (const { view, followed } of views) {
    for (const name of followed) {
      model.on(`change:${name}`, () => {
        view.signal(name, Number(model.get(name))).runAsync();
        speak();
      });
    }
  }
  linkMotion(charts, model);
  if (views.length === 1) {
    const fit = fitHeight(el, views[0].view);
    fit();
    window.addEventListener("resize", () => setTimeout(fit, 200));
  }
  return () => views.forEach(({ view }) => view.finalize());
}

// Between settings that are names, marks move (explore.css says how long); on a slider the hand moves them.
// Whoever goes through the names in a hurry does not wait for the marks.
const HURRY = 400;
function linkMotion(charts, model) {
  let moving;
  let before = -Infinity;
  const move = () => {
    const now = performance.now();
    const since = now - before;
    before = now;
    // One choice may set several names.
    if (since > 20) charts.classList.toggle("explore-moving", since > HURRY);
    clearTimeout(moving);
    moving = setTimeout(() => charts.classList.remove("explore-moving"), 700);
  };
  for (const chosen of model.get("moving")) model.on(`change:${chosen}`, move);
}

function initialize({ model }) {
  if (model.get("presets").length) linkPresets(model);
}

export default { initialize, render };
