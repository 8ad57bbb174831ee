// Draws the page's ipywidgets with the browser's own elements: their names, values, keys and touch are
// the browser's. It reads the state that ipywidgets wrote into the page. A widget of a kind that is
// not listed here is left to the widget manager, which is loaded for it.
(() => {
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const { vega, manager } = document.currentScript.dataset;
  const folder = vega.slice(0, vega.lastIndexOf("/") + 1);
  const models = new Map();
  let counted = 0;

  const loading = new Map();
  function load(address) {
    if (!loading.has(address)) {
      loading.set(address, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        Object.assign(script, { src: address, async: false, onload: resolve, onerror: reject });
        document.head.append(script);
      }));
    }
    return loading.get(address);
  }

  // As much of a model of ipywidgets as the chart's own script asks for.
  class Model {
    constructor({ model_name, state }) {
      this.kind = model_name;
      this.state = { ...state };
      this.listeners = {};
    }

    get(name) {
      return this.state[name];
    }

    set(name, value) {
      const given = typeof name === "object" ? name : { [name]: value };
      const changed = Object.keys(given).filter((key) => this.state[key] !== given[key]);
      Object.assign(this.state, given);
      for (const key of changed) this.tell(`change:${key}`);
      if (changed.length) this.tell("change");
    }

    on(event, listener) {
      (this.listeners[event] ??= []).push(listener);
    }

    tell(event) {
      for (const listener of this.listeners[event] ?? []) listener();
    }

    save_changes() {}
  }

  const modelOf = (reference) => models.get(reference.replace("IPY_MODEL_", ""));

  function link({ source, target }) {
    const ends = [source, target].map(([reference, name]) => [modelOf(reference), name]);
    const follow = ([from, its], [to, name]) =>
      from.on(`change:${its}`, () => to.set(name, from.get(its)));
    follow(ends[0], ends[1]);
    follow(ends[1], ends[0]);
  }

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made && key !== "list") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function row(model, kind, ...children) {
    return element("div", { className: `explore-control explore-${kind}` }, ...children);
  }

  // A slider over whole or broken numbers, or over positions in a list.
  function slider(model, trait, { min, max, step, words }) {
    const id = `control-${++counted}`;
    const input = element("input", { type: "range", id, min, max, step });
    const output = element("output", { htmlFor: id });
    const name = model.get("description");
    const show = () => {
      input.value = model.get(trait);
      output.textContent = words(model.get(trait));
      input.setAttribute("aria-valuetext", output.textContent);
      input.style.setProperty("--share", (input.value - min) / (max - min));
    };
    input.addEventListener("input", () => model.set(trait, Number(input.value)));
    model.on(`change:${trait}`, show);
    show();
    const label = element("label", { htmlFor: id }, name);
    const longest = Math.max(words(min).length, words(max).length);
    output.style.minWidth = `${longest}ch`;
    // Two hundred steps are too fine for a finger: long sliders get step buttons.
    const by = (steps, text, says) => {
      const button = element("button", { type: "button", className: "explore-step", "aria-label": `${says} ${name}` }, text);
      button.addEventListener("click", () => {
        const wanted = model.get(trait) + steps * step;
        if (wanted >= min && wanted <= max) model.set(trait, wanted);
      });
      return button;
    };
    const long = trait === "index" && (max - min) / step >= 30;
    const track = long ? [by(-1, "\u2039", "previous"), input, by(1, "\u203a", "next")] : [input];
    return row(model, "slider", label, ...track, output);
  }

  function selectionSlider(model) {
    const labels = model.get("_options_labels");
    return slider(model, "index", { min: 0, max: labels.length - 1, step: 1, words: (at) => labels[at] });
  }

  function numberSlider(model) {
    const step = model.get("step") || 1;
    const digits = (String(step).split(".")[1] ?? "").length;
    const words = (value) => value.toFixed(digits);
    return slider(model, "value", { min: model.get("min"), max: model.get("max"), step, words });
  }

  function dropdown(model) {
    const id = `control-${++counted}`;
    const options = model.get("_options_labels").map((label) => element("option", {}, label));
    const select = element("select", { id }, ...options);
    const show = () => (select.selectedIndex = model.get("index"));
    select.addEventListener("input", () => model.set("index", select.selectedIndex));
    model.on("change:index", show);
    show();
    return row(model, "list", element("label", { htmlFor: id }, model.get("description")), select);
  }

  function radios(model) {
    const id = `control-${++counted}`;
    const inputs = model.get("_options_labels").map((label, at) => {
      const input = element("input", { type: "radio", name: id });
      input.addEventListener("input", () => model.set("index", at));
      return [input, element("label", {}, input, element("span", {}, label))];
    });
    const show = () => inputs.forEach(([input], at) => (input.checked = at === model.get("index")));
    model.on("change:index", show);
    show();
    const name = element("span", { id, className: "explore-name" }, model.get("description"));
    const group = element("div", { className: "explore-options" }, ...inputs.map(([, label]) => label));
    const made = row(model, "radios", name, group);
    made.setAttribute("role", "radiogroup");
    made.setAttribute("aria-labelledby", id);
    return made;
  }

  function checkbox(model) {
    const input = element("input", { type: "checkbox" });
    const show = () => (input.checked = model.get("value"));
    input.addEventListener("input", () => model.set("value", input.checked));
    model.on("change:value", show);
    show();
    return row(model, "box", element("label", {}, input, element("span", {}, model.get("description"))));
  }

  // Moves its number by a step per interval until the end; a second press holds it.
  function play(model) {
    const { min, max, step, interval } = model.state;
    const button = element("button", { type: "button", className: "explore-play" });
    let frame = null;
    const show = () => {
      const name = model.named ?? "";
      button.textContent = frame === null ? "\u25b6\ufe0e Play" : "\u23f8\ufe0e Pause";
      button.setAttribute("aria-label", `${frame === null ? "play" : "pause"} ${name}`.trim());
    };
    const stop = () => {
      cancelAnimationFrame(frame);
      frame = null;
      show();
    };
    const move = (from, began) => (now) => {
      const wanted = Math.min(max, from + step * Math.floor((now - began) / interval));
      // Whoever takes hold of the slider meanwhile has it.
      if (model.get("value") !== model.shown) return stop();
      model.shown = wanted;
      model.set("value", wanted);
      if (wanted >= max) return stop();
      frame = requestAnimationFrame(move(from, began));
    };
    button.addEventListener("click", () => {
      if (frame !== null) return stop();
      if (model.get("value") >= max) model.set("value", min);
      model.shown = model.get("value");
      frame = requestAnimationFrame((now) => move(model.shown, now)(now));
      show();
    });
    show();
    return button;
  }

  function box(model) {
    const children = model.get("children").map(modelOf);
    const classes = model.get("_dom_classes").join(" ");
    const played = children.find((child) => child.kind === "PlayModel");
    if (played) played.named = children[0].get("description");
    const made = element("div", { className: classes });
    for (const child of children) {
      const part = KINDS[child.kind](child);
      if (child === played) made.firstChild.append(part);
      else made.append(part);
    }
    return played ? made.firstChild : made;
  }

  // A chart is drawn when it comes near the window; until then its first state stands there.
  function chart(model) {
    const el = element("div", { className: "explore-chart" });
    window.signalChart.initialize({ model });
    model.draw = async (still) => {
      const aside = model.get("_aside");
      await Promise.all([load(vega), load(folder + aside)]);
      const { state, buffers } = window.explorerData[aside];
      Object.assign(model.state, state);
      for (const { path, data } of buffers) {
        model.state[path[0]] = Uint8Array.from(atob(data), (byte) => byte.charCodeAt(0));
      }
      await window.signalChart.render({ model, el });
      still?.classList.add("explore-replaced");
    };
    return el;
  }

  const KINDS = {
    BoxModel: box,
    HBoxModel: box,
    VBoxModel: box,
    SelectionSliderModel: selectionSlider,
    IntSliderModel: numberSlider,
    FloatSliderModel: numberSlider,
    DropdownModel: dropdown,
    ToggleButtonsModel: radios,
    RadioButtonsModel: radios,
    CheckboxModel: checkbox,
    PlayModel: play,
    AnyModel: chart,
  };

  function isKnown(model) {
    if (model.kind === "AnyModel" && !model.get("_aside")) return false;
    return model.kind in KINDS && (model.get("children") ?? []).map(modelOf).every(isKnown);
  }

  function whenNear(place, act) {
    const watching = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watching.disconnect();
        act();
      },
      { rootMargin: "100% 0px" },
    );
    watching.observe(place);
  }

  function drawView(view) {
    const model = models.get(JSON.parse(view.textContent).model_id);
    if (!model || !isKnown(model)) return false;
    const place = view.parentElement;
    const still = place.closest(".cell_output")?.querySelector(".explore-static");
    const drawn = box(model);
    view.replaceWith(drawn);
    const charts = (of) => [of, ...(of.get("children") ?? []).map(modelOf).flatMap(charts)];
    for (const each of charts(model).filter((one) => one.draw)) {
      whenNear(still ?? place, () => each.draw(still));
    }
    return true;
  }

  // The widget manager reads the whole state from the page, so what lies aside is put back.
  async function leaveToManager(script, every) {
    for (const model of Object.values(every.state).filter(({ state }) => state._aside)) {
      const aside = model.state._aside;
      await load(folder + aside);
      const { state, buffers } = window.explorerData[aside];
      Object.assign(model, { buffers }).state = { ...model.state, ...state };
    }
    script.textContent = JSON.stringify(every);
    for (const address of manager.split(" ")) await load(address);
  }

  // Charts measure their room when the window changes. It also changes once a sidebar has moved.
  const article = document.querySelector("article");
  let width = article.offsetWidth;
  let waiting;
  new ResizeObserver(() => {
    if (article.offsetWidth === width) return;
    width = article.offsetWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => window.dispatchEvent(new Event("resize")), 150);
  }).observe(article);

  for (const script of document.querySelectorAll(STATE)) {
    const every = JSON.parse(script.textContent);
    for (const [id, model] of Object.entries(every.state)) models.set(id, new Model(model));
    for (const { kind, state } of models.values()) {
      if (kind === "LinkModel" || kind === "DirectionalLinkModel") link(state);
    }
    const views = [...document.querySelectorAll(VIEW)];
    if (views.filter((view) => !drawView(view)).length) leaveToManager(script, every);
  }
})();
