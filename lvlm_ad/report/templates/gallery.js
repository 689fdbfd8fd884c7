// Fills the gallery from the page's data. Texts are only ever set as textContent, so nothing in an answer can run.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 60;
  const $ = (id) => document.getElementById(id);
  const many = data.runs.length > 1;
  const inputs = { text: $("f-text"), category: $("f-category"), defect: $("f-defect"), status: $("f-status"), verdict: $("f-verdict"), order: $("f-order") };
  // Maps and places are those of one run; the places of an only run are shown at once.
  const layersOn = { truth: true, marks: false, map: -1, places: many ? -1 : 0 };
  let shown = data.cards.map((_, at) => at);
  let page = 0;
  let open = -1;

  // What scrolls must be reachable by keyboard.
  const scrolling = (tag, text) => {
    const element = make(tag, "", text);
    element.tabIndex = 0;
    return element;
  };

  const picture = (file, alt) => {
    const image = make("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = alt;
    image.src = data.folder + "/" + file;
    return image;
  };

  const later = window.requestIdleCallback || ((act) => setTimeout(act, 200));
  const score = (value) => (value === null ? "no score" : value.toFixed(2));
  const kind = (card) => (card.label ? card.defect : "good");

  const fill = (select, every, all) => {
    select.append(new Option(all, ""), ...every.map((one) => new Option(Array.isArray(one) ? one[1] : one, Array.isArray(one) ? one[0] : one)));
  };
  const distinct = (of) => [...new Set(data.cards.flatMap(of))].sort();
  fill(inputs.category, distinct((card) => card.category), "all");
  fill(inputs.defect, distinct(kind), "all");
  fill(inputs.status, distinct((card) => card.runs.map((run) => run.status)), "all");
  fill(inputs.verdict, ["right", "wrong", "even", ["none", "no verdict"]], "all");
  const orders = [["high", "highest score first"], ["low", "lowest score first"], ["wrong", "most wrong first"], ["right", "most right first"]];
  if (many) orders.unshift(["apart", "most different first"]);
  fill(inputs.order, orders, "as in the data set");
  if (many) inputs.order.value = "apart";
  $("cards").classList.toggle("many", many);

  const worst = (card) => Math.min(...card.runs.map((run) => (run.separation === null ? 2 : run.separation)));
  const apart = (card) => {
    const all = card.runs.map((run) => run.separation).filter((one) => one !== null);
    return all.length ? Math.max(...all) - Math.min(...all) : -1;
  };
  const top = (card) => Math.max(...card.runs.map((run) => (run.score === null ? -1 : run.score)));
  const ranks = { high: (card) => -top(card), low: top, wrong: worst, right: (card) => -worst(card), apart: (card) => -apart(card) };

  // Each card's text in lower case, built at the first search: answers may be long and many.
  const searched = new Map();
  const searchText = (card) => {
    if (!searched.has(card)) {
      const texts = card.runs.flatMap((run) => [run.text, ...run.notes, ...run.steps.map((step) => step.answer)]);
      searched.set(card, [card.id, ...texts].join("\n").toLowerCase());
    }
    return searched.get(card);
  };

  const select = () => {
    const text = inputs.text.value.trim().toLowerCase();
    const wanted = inputs.verdict.value;
    const keep = (card) =>
      (!inputs.category.value || card.category === inputs.category.value) &&
      (!inputs.defect.value || kind(card) === inputs.defect.value) &&
      (!inputs.status.value || card.runs.some((run) => run.status === inputs.status.value)) &&
      (!wanted || card.runs.some((run) => (run.verdict || "none") === wanted)) &&
      (!text || searchText(card).includes(text));
    shown = data.cards.map((_, at) => at).filter((at) => keep(data.cards[at]));
    const rank = ranks[inputs.order.value];
    if (rank) shown = shown.map((at) => [rank(data.cards[at]), at]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((pair) => pair[1]);
    page = 0;
    draw();
  };

  // The run that a map or a line belongs to; the letter stays visible if the name is cut off.
  const runLabel = (number, name) => {
    const label = make("span", name);
    label.append(make("b", "", data.letters[number]), " " + data.runs[number]);
    return label;
  };

  const empty = (why, label) => {
    const stack = make("span", "stack");
    stack.append(make("span", "none", why));
    if (label) stack.append(label);
    return stack;
  };

  const stackOf = (card, files, alt, label) => {
    if (!files[0]) return empty(card.problem || "none");
    const stack = make("span", "stack");
    files.filter(Boolean).forEach((file, at) => stack.append(picture(file, at ? "" : alt)));
    if (label) stack.append(label);
    return stack;
  };

  const verdict = (run) => run.verdict && make("span", run.verdict === "wrong" ? "is-wrong" : "", run.verdict);

  const drawn = (at) => {
    const card = data.cards[at];
    const item = make("li");
    const button = make("button", "card");
    button.type = "button";
    button.dataset.at = at;
    const pair = make("span", "pair");
    pair.append(stackOf(card, [card.image, card.truth], card.id));
    if (card.marks) pair.append(stackOf(card, [card.image, card.marks], "with the borders and numbers of its regions"));
    if (!many && card.runs[0].places) pair.append(stackOf(card, [card.image, card.runs[0].places, card.truth], "with the places that the answer names"));
    card.runs.forEach((run, number) => {
      if (!run.map) {
        if (data.no_map[number]) pair.append(empty(data.no_map[number], many && runLabel(number, "run-label")));
        return;
      }
      const alt = "anomaly map" + (many ? " of " + data.letters[number] + " " + data.runs[number] : "");
      pair.append(stackOf(card, [run.map, many && run.places, card.truth], alt, many && runLabel(number, "run-label")));
    });
    const panels = pair.children.length;
    const columns = panels <= 3 ? panels : Math.ceil(Math.sqrt(panels));
    pair.style.gridTemplateColumns = "repeat(" + columns + ", minmax(0, 1fr))";
    const words = make("span", "words");
    words.append(make("span", "name", card.id));
    card.runs.forEach((run, number) => {
      const row = make("span", "row");
      if (many) row.append(runLabel(number, ""));
      else row.append(make("span", card.label ? "is-defect" : "is-good", kind(card)));
      row.append(make("span", "", score(run.score)));
      const judged = verdict(run);
      if (judged) row.append(judged);
      if (run.status !== "ok") row.append(make("span", "is-wrong", run.status));
      words.append(row);
    });
    const first = card.runs[0].text || card.runs[0].notes[0];
    if (!many && first) words.append(make("span", "excerpt", first.slice(0, 200)));
    button.append(pair, words);
    button.addEventListener("click", () => enter(shown.indexOf(at)));
    item.append(button);
    return item;
  };

  const draw = () => {
    const from = page * PAGE;
    $("cards").replaceChildren(...shown.slice(from, from + PAGE).map(drawn));
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    $("count").textContent = shown.length + " of " + data.cards.length + " images";
    const onPaper = Math.min(shown.length - from, PAGE);
    $("on-paper").textContent = onPaper + " of " + data.cards.length + " images" + (shown.length < data.cards.length ? ", as filtered" : "");
    $("clear").hidden = shown.length === data.cards.length;
    $("page-at").textContent = "page " + (page + 1) + " of " + pages;
    $("before").disabled = page === 0;
    $("after").disabled = page + 1 >= pages;
    $("pages").hidden = !shown.length;
    // Load the pictures outside of the screen when the browser is idle: printing does not wait for them.
    later(() => $("cards").querySelectorAll("img").forEach((image) => (image.loading = "eager")));
  };

  const turn = (step) => {
    page += step;
    draw();
    $("images").scrollIntoView();
  };

  const toggle = (text, key, on, act) => {
    const button = make("button", "", text);
    button.type = "button";
    button.dataset.key = key;
    button.setAttribute("aria-pressed", String(on));
    button.title = "key " + key;
    button.addEventListener("click", () => {
      act();
      layered();
    });
    return button;
  };

  const layered = () => {
    const card = data.cards[shown[open]];
    const stack = $("large-stack");
    stack.replaceChildren();
    if (!card.image) stack.append(make("span", "none", card.problem || "no picture"));
    else stack.append(picture(card.image, card.id));
    const run = card.runs[layersOn.map];
    if (run && run.map) {
      const map = picture(run.map, "anomaly map");
      map.style.opacity = card.image ? "0.65" : "1";
      stack.append(map);
    }
    if (layersOn.marks && card.marks) stack.append(picture(card.marks, "borders and numbers of regions"));
    const placed = card.runs[layersOn.places];
    if (placed && placed.places) stack.append(picture(placed.places, "places that the answer names"));
    if (layersOn.truth && card.truth) stack.append(picture(card.truth, "outline of the ground truth"));
    const buttons = [];
    if (card.truth) buttons.push(toggle("Ground truth", "1", layersOn.truth, () => (layersOn.truth = !layersOn.truth)));
    if (card.marks) buttons.push(toggle("Marks", "2", layersOn.marks, () => (layersOn.marks = !layersOn.marks)));
    card.runs.forEach((one, at) => {
      if (!one.map) return;
      const act = () => (layersOn.map = layersOn.map === at ? -1 : at);
      buttons.push(toggle(many ? "Map " + data.letters[at] : "Map", String(at + 3), layersOn.map === at, act));
      if (many) buttons[buttons.length - 1].setAttribute("aria-label", "Map " + data.letters[at] + " " + data.runs[at]);
    });
    card.runs.forEach((one, at) => {
      if (!one.places) return;
      const act = () => (layersOn.places = layersOn.places === at ? -1 : at);
      const key = String(at + 3 + card.runs.length);
      buttons.push(toggle(many ? "Places " + data.letters[at] : "Places", key, layersOn.places === at, act));
      if (many) buttons[buttons.length - 1].setAttribute("aria-label", "Places " + data.letters[at] + " " + data.runs[at]);
    });
    const focused = document.activeElement && document.activeElement.dataset.key;
    $("large-layers").replaceChildren(...buttons);
    const again = buttons.find((button) => button.dataset.key === focused);
    if (again) again.focus();
  };

  // One question of a conversation: its picture, its text on demand, and its answer.
  const stepOf = (card, step, place, count) => {
    const section = make("section", "step");
    if (count > 1) section.append(make("h4", "", "Question " + (place + 1) + " of " + count));
    // The only question about the image itself needs no second picture.
    if (step.picture && (count > 1 || step.picture !== card.image)) section.append(picture(step.picture, "picture of question " + (place + 1)));
    if (step.text !== null) {
      const details = make("details");
      details.append(make("summary", "", "Text of the question"), scrolling("pre", data.questions[step.text]));
      section.append(details);
    }
    if (step.outcome !== "ok") section.append(make("p", "note", "The answer ended: " + step.outcome + "."));
    section.append(scrolling("pre", step.answer));
    return section;
  };

  const enlarge = (at) => {
    if (at < 0 || at >= shown.length) return;
    open = at;
    const card = data.cards[shown[at]];
    $("large-name").textContent = card.id;
    const words = $("large-words");
    words.replaceChildren();
    const facts = make("p", "row");
    facts.append(make("span", card.label ? "is-defect" : "is-good", card.label ? "defective: " + card.defect : "good"));
    words.append(facts);
    card.runs.forEach((run, number) => {
      if (many) {
        const head = make("h3");
        head.append(runLabel(number, ""));
        words.append(head);
      }
      const line = make("p");
      let text = run.score === null ? "No image score" : "Image score " + score(run.score);
      if (run.separation !== null) {
        const than = card.label ? ["above", "good"] : ["below", "defective"];
        const share = Math.round(100 * run.separation) + " % of the " + than[1] + " images";
        text += (run.score === null ? ", which counts as 0" : "") + ": " + than[0] + " " + share;
        if (run.verdict) text += ", " + run.verdict;
      }
      line.append(text + ". Answer: " + run.status + ".");
      words.append(line);
      if (!run.map && data.no_map[number]) words.append(make("p", "note", data.no_map[number] + "."));
      run.notes.forEach((note) => words.append(make("p", "note", note)));
      if (run.steps.length) run.steps.forEach((step, place) => words.append(stepOf(card, step, place, run.steps.length)));
      else if (run.text) words.append(scrolling("pre", run.text + (run.more ? "\n\u2026 " + run.more : "")));
    });
    layered();
    $("large-before").disabled = at === 0;
    $("large-after").disabled = at + 1 === shown.length;
    if (!$("large").open) $("large").showModal();
  };

  // The address contains the enlarged image's name: it can be sent to others, and going back closes the view.
  const PREFIX = "#image=";
  const named = () => {
    try {
      return location.hash.startsWith(PREFIX) ? decodeURIComponent(location.hash.slice(PREFIX.length)) : null;
    } catch {
      return null;
    }
  };
  const address = (at) => PREFIX + encodeURIComponent(data.cards[shown[at]].id);
  let entered = false;
  const enter = (at) => {
    history.pushState(null, "", address(at));
    entered = true;
    enlarge(at);
  };
  // A link elsewhere on the page opens its image whatever the filters hide, and has the focus again afterwards.
  let opener = null;
  const follow = () => {
    const id = named();
    if (id === null) return $("large").close();
    const find = () => shown.findIndex((one) => data.cards[one].id === id);
    if (find() < 0 && data.cards.some((card) => card.id === id)) $("clear").click();
    const link = document.activeElement;
    opener = link && link.matches("a[href^='" + PREFIX + "']") ? link : null;
    if (find() >= 0) enlarge(find());
  };
  const step = (by) => {
    enlarge(open + by);
    history.replaceState(null, "", address(open));
  };
  window.addEventListener("popstate", follow);
  $("before").addEventListener("click", () => turn(-1));
  $("after").addEventListener("click", () => turn(1));
  $("large-before").addEventListener("click", () => step(-1));
  $("large-after").addEventListener("click", () => step(1));
  $("large-close").addEventListener("click", () => $("large").close());
  $("large").addEventListener("close", () => {
    if (named() !== null) {
      if (entered) history.back();
      else history.replaceState(null, "", location.pathname + location.search);
    }
    entered = false;
    const wanted = Math.floor(open / PAGE);
    if (wanted !== page) {
      page = wanted;
      draw();
    }
    const card = $("cards").children[open % PAGE];
    if (opener) opener.focus();
    else if (card) card.firstChild.focus();
    opener = null;
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  Object.values(inputs).forEach((input) => input.addEventListener("input", select));
  $("clear").addEventListener("click", () => {
    Object.values(inputs).forEach((input) => input !== inputs.order && (input.value = ""));
    select();
  });
  window.addEventListener("beforeprint", () => [...document.images].forEach((image) => (image.decoding = "sync")));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if ($("large").open) {
      if (event.key === "ArrowLeft") step(-1);
      else if (event.key === "ArrowRight") step(1);
      else {
        const button = [...$("large-layers").children].find((one) => one.dataset.key === event.key);
        if (button) button.click();
      }
      return;
    }
    if (typing) return;
    if (event.key === "/") {
      event.preventDefault();
      inputs.text.focus();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const cards = [...document.querySelectorAll(".card")];
      const at = cards.indexOf(document.activeElement);
      const to = at < 0 ? 0 : at + (event.key === "ArrowRight" ? 1 : -1);
      if (cards[to]) {
        event.preventDefault();
        cards[to].focus();
      }
    }
  });
  select();
  follow();
})();
