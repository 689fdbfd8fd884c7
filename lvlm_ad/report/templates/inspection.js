// Fills the lists of an inspection. Texts are only ever set as textContent, so nothing in a name or an answer can run.
"use strict";
(() => {
  const rows = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 60;
  const $ = (id) => document.getElementById(id);
  const COLOURS = { alarm: "is-defect", pass: "is-good", undecided: "is-wrong" };
  const address = (file) => file.split("/").map(encodeURIComponent).join("/");

  const stackOf = (row, lazy) => {
    const stack = make("span", "stack");
    if (!row.overlay) {
      stack.append(make("span", "none", row.status === "unreadable" ? "not readable" : "no picture"));
      return stack;
    }
    const image = make("img");
    image.loading = lazy ? "lazy" : "eager";
    image.decoding = "async";
    image.alt = row.path;
    image.src = address(row.overlay);
    stack.append(image);
    return stack;
  };

  const facts = (row) => {
    const line = make("span", "row");
    line.append(make("span", COLOURS[row.decision], row.decision));
    line.append(make("span", "", row.score === null ? "no score" : row.score.toFixed(2)));
    if (row.status !== "ok") line.append(make("span", "is-wrong", row.status));
    return line;
  };

  // The enlarged picture, and where it stands in its list.
  let list = null;
  let open = 0;
  const enlarge = (from, at) => {
    if (at < 0 || at >= from.shown.length) return;
    list = from;
    open = at;
    const row = from.shown[at];
    $("large-name").textContent = row.path;
    $("large-stack").replaceWith(Object.assign(stackOf(row, false), { id: "large-stack" }));
    const words = $("large-words");
    words.replaceChildren(facts(row));
    if (row.note) words.append(make("p", "note", row.note));
    if (row.reason) words.append(make("pre", "", row.reason));
    if (row.regions) words.append(make("p", "note", "Regions, number:score: " + row.regions));
    if (row.cost_usd) words.append(make("p", "note", "Cost: " + row.cost_usd.toFixed(4) + " USD"));
    if (row.map) words.append(make("p", "note", "Map: " + row.map));
    $("large-before").disabled = at === 0;
    $("large-after").disabled = at + 1 === from.shown.length;
    if (!$("large").open) $("large").showModal();
  };

  const card = (from, at) => {
    const row = from.shown[at];
    const button = make("button", "card");
    button.type = "button";
    const words = make("span", "words");
    words.append(make("span", "name", row.path), facts(row));
    const why = row.decision === "undecided" ? row.note || row.reason : row.reason || row.note;
    if (why) words.append(make("span", "excerpt", why));
    button.append(stackOf(row, true), words);
    button.addEventListener("click", () => enlarge(from, at));
    const item = make("li");
    item.append(button);
    return item;
  };

  const listIn = (section, all) => {
    const one = { shown: all, page: 0 };
    const find = (name) => section.querySelector(name);
    one.draw = () => {
      const from = one.page * PAGE;
      const until = Math.min(from + PAGE, one.shown.length);
      find(".gallery").replaceChildren(...Array.from({ length: until - from }, (_, index) => card(one, from + index)));
      const pages = Math.max(1, Math.ceil(one.shown.length / PAGE));
      find(".count").textContent = one.shown.length + " of " + all.length + " pictures.";
      find(".page-at").textContent = "page " + (one.page + 1) + " of " + pages;
      find(".before").disabled = one.page === 0;
      find(".after").disabled = one.page + 1 >= pages;
      find(".pages").hidden = pages === 1;
    };
    const turn = (step) => {
      one.page += step;
      one.draw();
      section.scrollIntoView();
    };
    find(".before").addEventListener("click", () => turn(-1));
    find(".after").addEventListener("click", () => turn(1));
    one.filter = (keep) => {
      one.shown = all.filter(keep);
      one.page = 0;
      one.draw();
    };
    return one;
  };

  const lists = [...document.querySelectorAll("section[id]")].map((section) =>
    listIn(section, rows.filter((row) => (row.decision === "undecided") === (section.id === "undecided"))),
  );
  const apply = () => {
    const text = $("f-text").value.trim().toLowerCase();
    const decision = $("f-decision").value;
    const searched = (row) => [row.path, row.reason, row.note, row.status].join("\n").toLowerCase();
    const keep = (row) => (!decision || row.decision === decision) && (!text || searched(row).includes(text));
    lists.forEach((one) => one.filter(keep));
  };
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", apply);
  $("large-before").addEventListener("click", () => enlarge(list, open - 1));
  $("large-after").addEventListener("click", () => enlarge(list, open + 1));
  $("large-close").addEventListener("click", () => $("large").close());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ($("large").open) {
      if (event.key === "ArrowLeft") enlarge(list, open - 1);
      else if (event.key === "ArrowRight") enlarge(list, open + 1);
    } else if (event.key === "/" && !event.target.matches("input, select")) {
      event.preventDefault();
      $("f-text").focus();
    }
  });
  apply();
})();
