// Take the reader's answers: predictions, quizzes, exercises. They are kept in this browser alone.
(() => {
  const KEPT = "borrowing-strength.answers";
  const OPEN = "borrowing-strength.open";
  const page = document.documentElement;
  // Where storage is blocked, every page of the book has a store that forgets.
  let forgets = !(localStorage instanceof Storage);

  // ---- what is kept ----
  const answers = () => {
    try {
      return JSON.parse(localStorage.getItem(KEPT)) ?? {};
    } catch {
      return {};
    }
  };

  const keep = (question, changes) => {
    const all = answers();
    const name = question.dataset.question;
    all[name] = { ...all[name], kind: question.dataset.kind, ...changes };
    try {
      localStorage.setItem(KEPT, JSON.stringify(all));
    } catch {
      forgets = true;
    }
  };

  const kept = (question) => answers()[question.dataset.question] ?? {};

  // A try counts until the first right one.
  const keepTry = (question, given, right) => {
    const { tries = 0, right: before = false } = kept(question);
    keep(question, { given, tries: before ? tries : tries + 1, right: before || right });
  };

  const say = (question, text, verdict = "") => {
    const status = question.querySelector(".question-status");
    status.textContent = text;
    question.dataset.verdict = verdict;
  };

  const minus = (number) => String(number).replace("-", "−");

  // ---- Check yourself: a choice opens its reason ----
  const startCheck = (question) => {
    const button = question.querySelector("button");
    const open = (radio, remember) => {
      const choice = radio.closest(".choice");
      const right = "right" in choice.dataset;
      const again = "open" in choice.dataset;
      choice.dataset.open = "";
      button.hidden = true;
      say(question, right ? "Right." : "That is not it. Read why, and choose again.", right ? "right" : "wrong");
      if (remember && !again) keepTry(question, radio.value, right);
    };
    let byArrow = false;
    question.addEventListener("keydown", (event) => {
      const radio = event.target;
      if (radio.type !== "radio") return;
      byArrow = event.key.startsWith("Arrow");
      // Space chooses by itself what is not chosen yet; what an arrow has chosen it opens.
      if (["Enter", " "].includes(event.key) && radio.checked) open(radio, true);
    });
    question.addEventListener("pointerdown", () => (byArrow = false));
    question.addEventListener("change", (event) => {
      if (!byArrow) return open(event.target, true);
      // An arrow key on its way to another choice must not count as an answer.
      button.hidden = false;
      say(question, "Press Enter to open this answer.");
    });
    button.addEventListener("click", () => {
      const radio = question.querySelector("input:checked");
      radio.focus();
      open(radio, true);
    });
    const before = kept(question).given;
    const radio = question.querySelector(`input[value="${CSS.escape(before ?? "")}"]`);
    if (radio) {
      radio.checked = true;
      open(radio, false);
    }
  };

  // ---- Predict: "Show me" shows what follows, with the reader's mark ----
  const startPredict = (question) => {
    const shown = document.getElementById(`${question.id}-answer`);
    const button = question.querySelector("button");
    const slider = question.querySelector("input[type=range]");
    const unit = slider?.dataset.unit ? ` ${slider.dataset.unit}` : "";

    const readOut = () => {
      question.querySelector(".read-out").textContent = minus(slider.value) + unit;
      slider.setAttribute("aria-valuetext", minus(slider.value) + unit);
    };
    const prediction = () =>
      slider ? slider.value : question.querySelector("input:checked")?.value;
    const choiceText = (choice) => choice.querySelector("label").textContent.trim();

    const tell = () => {
      const given = prediction();
      if (given === undefined) return say(question, "You made no prediction. You still can.");
      if (slider) {
        markCharts(question, shown, Number(given));
        return say(question, `Your prediction: ${minus(given)}${unit}.`);
      }
      const chosen = question.querySelector("input:checked").closest(".choice");
      const right = question.querySelector(".choice[data-right]");
      if (!right) return say(question, `Your prediction: ${choiceText(chosen)}`);
      if (chosen === right) return say(question, "You predicted right.", "right");
      say(question, `You predicted: ${choiceText(chosen)} It is: ${choiceText(right)}`, "wrong");
    };

    const show = (open) => {
      if (open) shown.removeAttribute("hidden");
      else shown.setAttribute("hidden", "until-found");
      shown.dataset.open = open ? "yes" : "no";
      question.dataset.open = open ? "yes" : "no";
      button.setAttribute("aria-expanded", open);
      button.textContent = open ? "Hide it again" : "Show me";
      // Charts measure their room again.
      if (open) window.dispatchEvent(new Event("resize"));
    };

    button.addEventListener("click", () => {
      const open = shown.dataset.open !== "yes";
      show(open);
      if (!open) return say(question, "");
      tell();
      const given = prediction();
      if (given === undefined) return;
      const right = question.querySelector(".choice[data-right]");
      if (right) keepTry(question, given, right.querySelector("input").value === given);
      else keep(question, { given });
    });
    // A search in the page, or a link to what waits, finds it.
    shown.addEventListener("beforematch", () => show(true));
    const linked = () => {
      const target = location.hash && document.getElementById(location.hash.slice(1));
      if (target && shown.contains(target) && shown.dataset.open !== "yes") {
        show(true);
        target.scrollIntoView();
      }
    };
    window.addEventListener("hashchange", linked);
    if (slider) {
      slider.addEventListener("input", readOut);
      // Charts are drawn late, and again at another width.
      new MutationObserver(() => {
        if (shown.querySelector(".prediction-mark") || shown.dataset.open !== "yes") return;
        if (kept(question).given !== undefined) markCharts(question, shown, Number(slider.value));
      }).observe(shown, { childList: true, subtree: true });
      const markAgain = () =>
        shown.querySelector(".prediction-mark") && markCharts(question, shown, Number(slider.value));
      new ResizeObserver(() => setTimeout(markAgain, 400)).observe(shown);
    }

    const before = kept(question).given;
    if (before !== undefined) {
      if (slider) slider.value = before;
      else {
        const radio = question.querySelector(`input[value="${CSS.escape(before)}"]`);
        if (radio) radio.checked = true;
      }
    }
    if (slider) readOut();
    show(before !== undefined || localStorage.getItem(OPEN) === "yes");
    if (before !== undefined) tell();
    linked();
  };

  // Vega's drawings name their axes; where its labels stand tells where any number stands.
  const markCharts = (question, shown, value) => {
    const { axis, chart } = question.dataset;
    if (!axis) return;
    for (const drawing of shown.querySelectorAll("svg")) {
      drawing.querySelector(".prediction-mark")?.remove();
      const texts = [...drawing.querySelectorAll("text")].map((text) => text.textContent);
      const whole = drawing.getScreenCTM();
      // A drawing for another width of the window is not shown.
      if (!drawing.getBoundingClientRect().width || (chart && !texts.includes(chart))) continue;
      const place = (element, x, y) =>
        new DOMPoint(x, y).matrixTransform(whole.inverse().multiply(element.getScreenCTM()));
      const { ticks, frame } = findAxis(drawing, axis, place);
      if (!frame) continue;
      const [first, last] = [ticks[0], ticks.at(-1)];
      const along = first.at + ((value - first.value) / (last.value - first.value)) * (last.at - first.at);
      const box = frame.getBBox();
      const start = place(frame, box.x, box.y);
      const end = place(frame, box.x + box.width, box.y + box.height);
      const ends = axis === "x" ? [along, start.y, along, end.y] : [start.x, along, end.x, along];
      drawing.append(drawMark(ends, `you: ${minus(value)}`, axis === "x" && along > (start.x + end.x) / 2));
    }
  };

  // The first axis of numbers in a direction, and the frame it belongs to.
  const findAxis = (drawing, direction, place) => {
    for (const labels of drawing.querySelectorAll(".role-axis-label")) {
      const ticks = [...labels.querySelectorAll("text")].map((label) => {
        const { x, y } = place(label, 0, 0);
        return { x, y, at: direction === "x" ? x : y, value: readNumber(label.textContent.replaceAll(",", "")) };
      });
      if (ticks.length < 2 || ticks.some(({ value }) => Number.isNaN(value))) continue;
      const across = Math.abs(ticks[0].y - ticks[1].y) < Math.abs(ticks[0].x - ticks[1].x);
      if (across !== (direction === "x")) continue;
      let group = labels.closest(".role-axis").parentElement;
      while (group && !group.querySelector(":scope > path.background")) group = group.parentElement;
      return { ticks, frame: group?.querySelector(":scope > path.background") };
    }
    return {};
  };

  const drawMark = ([x1, y1, x2, y2], text, toTheLeft) => {
    const svg = (name, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const mark = svg("g", { class: "prediction-mark" });
    const label = svg("text", {
      x: toTheLeft ? x1 - 5 : x1 + 5,
      y: x1 === x2 ? y1 + 14 : y1 - 5,
      "text-anchor": toTheLeft ? "end" : "start",
    });
    label.textContent = text;
    mark.append(svg("line", { x1, y1, x2, y2 }), label);
    return mark;
  };

  // ---- Exercises: fingerprints, as in chapters/exercises/checks.py ----
  const fetchKey = () => {
    const { key, rounds, hints } = JSON.parse(document.getElementById("answer-key").textContent);
    const packed = Uint8Array.from(atob(key), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json().then((prints) => ({ prints, rounds, hints }));
  };

  const digest = async (name, content, rounds) => {
    const text = new TextEncoder();
    const secret = await crypto.subtle.importKey("raw", text.encode(content), "PBKDF2", false, ["deriveBits"]);
    const salted = { name: "PBKDF2", hash: "SHA-256", salt: text.encode(name), iterations: rounds };
    const bits = new Uint8Array(await crypto.subtle.deriveBits(salted, secret, 256));
    return [...bits].map((byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, 24);
  };

  // What Python's json.dumps writes.
  const content = (given, print) => {
    if (print.kind === "flag") return String(given[0]);
    if (print.kind === "text") {
      const escaped = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
      return JSON.stringify(given[0]).replace(/[\u007f-\uffff]/g, escaped);
    }
    const most = 2 ** 53;
    const places = given.map((number, index) => {
      const place = Math.floor((number - print.offsets[index]) / (2 * print.tolerance));
      return Math.min(most, Math.max(-most, place));
    });
    return `[${places.join(", ")}]`;
  };

  const verdict = async (name, given) => {
    const { prints, rounds, hints } = await fetchKey();
    const { print, mistakes } = prints[name];
    const matches = async (values, wanted) =>
      String(wanted.shape) === String(print.shape) &&
      (await digest(name, content(values, wanted), rounds)) === wanted.digest;
    if (await matches(given, print)) return { right: true, text: "Right." };
    for (const mistake of mistakes)
      if (await matches(given, mistake.print)) return { right: false, text: mistake.message };
    if (print.kind === "number")
      for (const [factor, hint] of hints) {
        const changed = given.map((number) => factor * number);
        // Of numbers near 0, neither sign nor size says anything.
        if (Math.max(...changed.map(Math.abs)) > 2 * print.tolerance && (await matches(changed, print)))
          return { right: false, text: hint };
      }
    return { right: false, text: "this is not the value." };
  };

  // 0,25 and −0.25 are numbers; so is 25 %, whose sign the hints then speak of.
  const readNumber = (text) => {
    const plain = text.trim().replace("−", "-").replace(/\s*%$/, "").replace(/^([-+]?\d*),(\d+)$/, "$1.$2");
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : Number.NaN;
  };

  const readBoxes = (boxes, kind) => {
    const texts = boxes.map((box) => box.value.trim());
    return texts.map(kind === "number" ? readNumber : (text) => text.toLowerCase());
  };

  const startExercise = (question) => {
    const boxes = [...question.querySelectorAll(".boxes input, .boxes select")];
    const button = question.querySelector("button");
    const kind = boxes[0].inputMode === "decimal" ? "number" : boxes[0].tagName === "SELECT" ? "flag" : "text";

    const check = async () => {
      for (const box of boxes) box.removeAttribute("aria-invalid");
      const given = readBoxes(boxes, kind);
      const unread = boxes.find((box, index) => box.value.trim() === "" || Number.isNaN(given[index]));
      if (unread) {
        unread.setAttribute("aria-invalid", "true");
        unread.focus();
        const where = boxes.length > 1 ? ` ${unread.placeholder}` : "";
        return say(question, unread.value.trim() ? `“${unread.value}” is not a number.` : `Box${where} is empty.`, "wrong");
      }
      if (!window.crypto?.subtle)
        return say(question, "This browser checks answers only over https or from a file of your own.", "wrong");
      const { right, text } = await verdict(question.dataset.name, given);
      say(question, right ? text : `Not yet: ${text}`, right ? "right" : "wrong");
      keepTry(question, boxes.map((box) => box.value), right);
    };

    // A list that is pasted fills the boxes that follow.
    const spread = (event) => {
      const pasted = event.clipboardData.getData("text").match(/[-+−]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/gi) ?? [];
      const start = boxes.indexOf(event.target);
      if (pasted.length < 2 || pasted.length > boxes.length - start) return;
      event.preventDefault();
      pasted.forEach((number, index) => (boxes[start + index].value = number));
    };

    button.addEventListener("click", check);
    question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target !== button) check();
    });
    if (kind === "number") question.addEventListener("paste", spread);
    const { given, right } = kept(question);
    given?.forEach((text, index) => boxes[index] && (boxes[index].value = text));
    if (right) say(question, "You had this right.", "right");
  };

  // ---- Answers in words ----
  const download = () => {
    const written = Object.entries(answers()).filter(([, { kind, given }]) => kind === "text" && given?.trim());
    const parts = written.map(([, { title, given }]) => `## ${title}\n\n${given.trim()}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([parts.join("\n")], { type: "text/markdown" }));
    link.download = "my-answers.md";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  const startText = (question) => {
    const box = question.querySelector("textarea");
    const title = `${document.querySelector("h1").firstChild.textContent}, ${question.closest("section").querySelector("h2, h3").firstChild.textContent}`;
    // Its wrapper holds the same text, and so makes it as high as the text, on paper too.
    const grow = () => (box.parentNode.dataset.text = box.value);
    box.value = kept(question).given ?? "";
    grow();
    box.addEventListener("input", () => {
      grow();
      keep(question, { given: box.value, title });
      if (forgets) say(question, "Your browser keeps nothing for this page: download your answer before you leave.");
    });
    question.querySelector("button").addEventListener("click", download);
  };

  // ---- Progress ----
  const state = ({ kind, given, right, tries } = {}) => {
    if (given === undefined || (kind === "text" && !given.trim())) return ["not answered", ""];
    if (kind === "text") return ["written", "done"];
    if (kind === "predict") return right === undefined ? ["predicted", "done"] : tries === 1 && right ? ["predicted right", "right"] : ["predicted", "done"];
    if (!right) return [`not yet right, ${tries} ${tries === 1 ? "try" : "tries"}`, "wrong"];
    return [tries === 1 ? "right at the first try" : `right at try ${tries}`, "right"];
  };

  const startProgress = (list) => {
    const summary = list.querySelector(".progress-summary");
    const clear = list.querySelector(".progress-clear");
    const open = list.querySelector(".progress-open");
    let cleared = null;
    const show = () => {
      const all = answers();
      const counts = { done: 0, right: 0, wrong: 0, first: 0 };
      const items = [...list.querySelectorAll("li")];
      for (const item of items) {
        const [text, mark] = state(all[item.dataset.question]);
        item.querySelector(".progress-state").textContent = text;
        item.dataset.state = mark;
        if (mark) counts[mark] += 1;
        if (mark === "right" && all[item.dataset.question].tries === 1) counts.first += 1;
      }
      const answered = counts.done + counts.right + counts.wrong;
      const notes = [`${answered} of ${items.length} answered; ${counts.right} right, ${counts.first} of them at the first try.`];
      if (forgets) notes.push("Your browser blocks storage for this site, so answers last only until you leave a page.");
      else if (location.protocol === "file:") notes.push("Read from disk, some browsers keep each page's answers apart; this list then stays empty.");
      summary.textContent = notes.join(" ");
    };
    clear.addEventListener("click", () => {
      const before = localStorage.getItem(KEPT);
      if (cleared === null) localStorage.removeItem(KEPT);
      else localStorage.setItem(KEPT, cleared);
      cleared = cleared === null ? (before ?? "{}") : null;
      clear.textContent = cleared === null ? "Clear my answers" : "Cleared. Put them back";
      show();
    });
    list.querySelector(".progress-download").addEventListener("click", download);
    open.checked = localStorage.getItem(OPEN) === "yes";
    open.addEventListener("change", () => localStorage.setItem(OPEN, open.checked ? "yes" : "no"));
    show();
  };

  const starts = { predict: startPredict, check: startCheck, exercise: startExercise, text: startText };
  for (const question of document.querySelectorAll(".asked")) starts[question.dataset.kind](question);
  document.querySelectorAll(".progress-list").forEach(startProgress);
  // From here on the script itself says what is hidden.
  page.classList.add("answering");
})();
