// Draws the page's ipywidgets with the browser's own elements: their names, values, keys and touch are
// the browser's. It reads the state that ipywidgets wrote into the page. A widget of a kind that is
// not listed here is left to the widget manager, which is loaded for it.
(() => {
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const { vega, manager, top } = document.currentScript.dataset;
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
    // Tracks below each other end together where the values are short.
    const longest = Math.max(3, words(min).length, words(max).length);
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
    const back = element("button", { type: "button", className: "explore-back" }, `back to ${model.get("description")}`);
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
    back.addEventListener("click", () => {
      stop();
      model.set("value", min);
    });
    show();
    return element("span", { className: "explore-player" }, button, back);
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

  // Controls that most readers do not need.
  function accordion(model) {
    const folds = model.get("children").map((reference, at) => {
      const child = modelOf(reference);
      const summary = element("summary", {}, model.get("titles")[at]);
      return element("details", { className: "explore-fold" }, summary, KINDS[child.kind](child));
    });
    return element("div", { className: "explore-folds" }, ...folds);
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
    AccordionModel: accordion,
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
      drawn.append(tools(drawn, each));
      const draw = () => each.draw(still);
      // What the page begins with waits for nothing.
      if (each.get("_aside") === top) draw();
      else whenNear(still ?? place, draw);
    }
    return true;
  }

  // What a reader sets stands in the address, "#fig-own-lines.cluster=42": a reload keeps it, a link
  // shares it. Values are the words of the controls, which outlive a change of their order.
  const explorers = [];

  function settingsOf(chart) {
    const links = [...models.values()].filter(({ kind, state }) => kind === "LinkModel" && modelOf(state.target[0]) === chart);
    return links
      .map(({ state: { source, target } }) => {
        const [control, trait, name] = [modelOf(source[0]), source[1], target[1]];
        return { control, trait, name, first: control.get(trait) };
      })
      .filter(({ name }) => name !== "preset");
  }

  const wordOf = ({ control, trait }) => {
    const value = control.get(trait);
    return trait === "index" ? control.get("_options_labels")[value] : String(value);
  };

  function give({ control, trait, first }, word) {
    const { min, max, _options_labels: labels } = control.state;
    const value = trait === "index" ? labels.indexOf(word) : typeof first === "boolean" ? word === "true" : Math.round(word);
    const known = word !== null && (trait === "index" ? value >= 0 : typeof first === "boolean" || (value >= min && value <= max));
    control.set(trait, known ? value : first);
  }

  function wordsOf({ name, settings }, whole) {
    const changed = settings.filter(({ control, trait, first }) => control.get(trait) !== first);
    const named = changed.length || !whole ? changed : settings.slice(0, 1);
    return named.map((setting) => [`${name}.${setting.name}`, wordOf(setting)]);
  }

  const addressOf = (words) => `${location.pathname}${location.search}${words.length ? `#${new URLSearchParams(words)}` : ""}`;
  const inAddress = () => new URLSearchParams(location.hash.slice(1));
  const isNamed = (words, { name, settings }) => settings.some((setting) => words.has(`${name}.${setting.name}`));

  let writing;
  function writeAddress() {
    clearTimeout(writing);
    writing = setTimeout(() => {
      const words = explorers.flatMap((explorer) => wordsOf(explorer, false));
      const before = inAddress();
      // The anchor of a section stays until something is set.
      if (words.length || explorers.some((explorer) => isNamed(before, explorer))) {
        history.replaceState(history.state, "", addressOf(words));
      }
    }, 300);
  }

  function readAddress() {
    const words = inAddress();
    const named = explorers.filter((explorer) => isNamed(words, explorer));
    if (!named.length) return;
    for (const { name, settings } of explorers) {
      for (const setting of settings) give(setting, words.get(`${name}.${setting.name}`));
    }
    return named[0].drawn;
  }

  // Behind a prediction nothing is seen: whoever follows a link to it has had its answer told.
  function showLinked(drawn) {
    drawn?.closest("[hidden]")?.dispatchEvent(new Event("beforematch"));
    drawn?.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  // Below the chart: what can be done with a state, and what was kept to compare with.
  function tools(drawn, chart) {
    const id = drawn.closest("figure[id]")?.id ?? `explorer-${explorers.length + 1}`;
    const explorer = { name: id, drawn, settings: settingsOf(chart) };
    explorers.push(explorer);
    for (const { control, trait } of explorer.settings) control.on(`change:${trait}`, writeAddress);
    const said = element("span", { className: "explore-said", role: "status" });
    const button = (text, act) => {
      const made = element("button", { type: "button" }, text);
      made.addEventListener("click", act);
      return made;
    };
    const copy = button("Copy link", async () => {
      const address = addressOf(wordsOf(explorer, true));
      try {
        await navigator.clipboard.writeText(new URL(address, location.href).href);
        said.textContent = "Link copied.";
      } catch {
        history.replaceState(history.state, "", address);
        said.textContent = "The link is now the address of this page.";
      }
      setTimeout(() => (said.textContent = ""), 4000);
    });
    const again = button("Start again", () => explorer.settings.forEach(({ control, trait, first }) => control.set(trait, first)));
    return element("div", { className: "explore-tools" }, ...ghost(explorer, button), again, copy, said);
  }

  // The marks of a state to compare with stay behind the chart, faint; what the chart said, below.
  function ghost({ drawn, settings }, button) {
    let kept = [];
    const said = element("span", { className: "explore-kept" });
    const charts = () => [...drawn.querySelectorAll(".explore-charts svg.marks")];
    const forget = () => {
      kept = [];
      drawn.querySelectorAll(".explore-ghost").forEach((old) => old.remove());
      said.textContent = "";
      [keep.textContent, back.hidden] = ["Keep this as A", true];
    };
    const keep = button("Keep this as A", () => {
      if (kept.length) return forget();
      kept = settings.map(({ control, trait }) => control.get(trait));
      said.textContent = `A: ${charts().map(wordsIn).join(". ")}`;
      for (const chart of charts()) chart.before(marksOf(chart));
      [keep.textContent, back.hidden] = ["Forget A", false];
    });
    const back = button("Back to A", () => settings.forEach(({ control, trait }, at) => control.set(trait, kept[at])));
    back.hidden = true;
    // In another room the marks would stand elsewhere.
    let room = 0;
    new ResizeObserver(([{ contentRect: { width } }]) => {
      if (room && room !== width && kept.length) forget();
      room = width;
    }).observe(drawn);
    return [keep, back, said];
  }

  const wordsIn = (chart) => [...chart.querySelectorAll(".role-title-text text tspan, .role-title-text text:not(:has(tspan))")].map((line) => line.textContent).join(" ");

  function marksOf(chart) {
    const copy = chart.cloneNode(true);
    copy.setAttribute("class", "explore-ghost");
    copy.setAttribute("aria-hidden", "true");
    copy.querySelectorAll(".role-title, .role-axis, .role-legend, .mark-text").forEach((part) => part.remove());
    return copy;
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
  const linked = readAddress();
  const [arrival] = performance.getEntriesByType("navigation");
  // After a reload the browser itself returns to where the page was.
  if (arrival?.type === "navigate") window.addEventListener("load", () => showLinked(linked));
  window.addEventListener("hashchange", () => showLinked(readAddress()));
})();
