// Moves the threshold: counts, rates, cost and the images at stake follow. Needs make.js, figures.js and the gallery's data.
"use strict";
(() => {
  const source = document.getElementById("decisions-data");
  if (!source) return;
  const run = JSON.parse(source.textContent);
  const gallery = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById("d-" + id);
  const { COUNTS } = figures;
  const BARS = 40;
  const SHOWN = 8;
  // Images that set the thresholds are not judged by them.
  const leftOut = new Set(run.left_out);
  const judged = gallery.cards.filter((_, at) => !leftOut.has(at));
  const images = judged.map((card) => ({ card, defect: card.label, category: card.category, score: card.runs[0].score }));
  const scores = images.map((one) => one.score).filter((score) => score !== null);
  if (!scores.length) return;
  const categories = Object.keys(run.thresholds);
  const few = (list) => list.reduce((low, one) => Math.min(low, one), Infinity);
  const lowest = Math.min(0, few(scores));
  const highest = Math.max(1, -few(scores.map((one) => -one)));
  // A step that a hundred or more fill the range; one step above the highest score nothing alarms.
  const step = Math.pow(10, Math.floor(Math.log10((highest - lowest) / 50)));
  let own = null;

  const short = (value, digits) => String(Number(value.toPrecision(digits)));
  const number = (value) => short(value, 6);
  // As Python rounds: a quarter of a percent is the only tie that a binary fraction meets.
  const percent = (share) => (share === null ? "\u2013" : (100 * share - (((100 * share) % 1) === 0.25 ? 0.05 : 0)).toFixed(1));
  const end = (share, digits) => {
    const text = (100 * share).toFixed(digits);
    return share < 1 && Number(text) === 100 ? (100 - Math.pow(10, -digits)).toFixed(digits) : text;
  };
  const span = ([low, high]) => {
    let digits = 1;
    while (digits < 6 && end(low, digits) === end(high, digits)) digits++;
    return end(low, digits) + "\u2013" + end(high, digits);
  };

  // A category's rule: the run's threshold, or one for all. A threshold of null lets everything pass.
  const rule = (category) => {
    const { value, strict } = run.thresholds[category];
    const limit = own === null ? value : own;
    return (score) => limit !== null && (strict ? score > limit : score >= limit);
  };
  const undecided = (category) => own === null && run.thresholds[category].undecided;

  const count = (category) => {
    const counts = Object.fromEntries(COUNTS.map((name) => [name, 0]));
    const alarms = rule(category);
    for (const one of byCategory.get(category)) {
      const name = one.score === null ? (one.defect ? "abstain_defect" : "abstain_good") : alarms(one.score) ? (one.defect ? "tp" : "fp") : one.defect ? "fn" : "tn";
      counts[name]++;
    }
    return counts;
  };
  const byCategory = new Map(categories.map((name) => [name, images.filter((one) => one.category === name)]));

  // The table by category.
  const write = (row, of, threshold) => {
    if (!row) return;
    const cell = (name) => row.querySelector('[data-cell="' + name + '"]');
    cell("threshold").textContent = threshold;
    COUNTS.forEach((name) => (cell(name).textContent = name in of ? of[name] : ""));
    for (const name of Object.keys(run.rates)) {
      const value = of[name] === undefined ? null : of[name];
      cell(name).dataset.sort = value === null ? "" : value;
      cell(name).replaceChildren(make("span", "value", percent(value)), ...(value === null ? [] : [make("span", "ends", span(of.interval[name]))]));
    }
  };
  const rows = new Map([...document.querySelectorAll("table.decisions tr[data-row]")].map((row) => [row.dataset.row, row]));

  const tile = (head, value, below) => {
    const box = make("div", "tile");
    const shown = make("dd", "", value);
    if (below) shown.append(make("span", "under", below));
    box.append(make("dt", "", head), shown);
    return box;
  };

  // The prices; null unless all four are given.
  const PRICES = ["miss", "false_alarm", "check", "prevalence"];
  const field = (name) => ($(name).value === "" || !$(name).validity.valid ? null : Number($(name).value));
  const prices = () => {
    const given = Object.fromEntries(PRICES.map((name) => [name, field(name)]));
    if (Object.values(given).includes(null)) return null;
    return { ...given, prevalence: given.prevalence / 100, model: run.model_cost || 0 };
  };
  const costWords = (of) => {
    const given = prices();
    if (!given) return "Give all four numbers to see what a part costs on average. They are not sent anywhere.";
    const part = figures.cost(of, given, false);
    if (part === null) return "No cost: both good and defective images are needed.";
    const without = [
      ["to pass everything", given.prevalence * given.miss],
      ["to scrap everything", (1 - given.prevalence) * given.false_alarm],
      ["to inspect everything", given.check],
    ];
    const [cheapest, least] = without.reduce((best, one) => (one[1] < best[1] ? one : best));
    const model = run.model_cost === null ? "The price of the model's answers is unknown and left out." : run.model_cost ? "The model's answer is included with " + short(run.model_cost, 4) + " USD." : "";
    return [
      "A part costs " + short(part, 4) + " on average, and " + short(figures.cost(of, given, true), 4),
      "if misses and false alarms are as frequent as the upper ends of their intervals.",
      "Without a model: " + without.map(([name, one]) => name + " " + short(one, 4)).join(", ") + ".",
      model,
      part > least ? "At these prices the model is of no use: it is cheaper " + cheapest + "." : "",
    ].filter(Boolean).join(" ");
  };

  // The images at stake: each is drawn once, and links into the gallery.
  const drawn = new Map();
  const item = (one) => {
    if (!drawn.has(one)) {
      const link = make("a");
      link.href = "#image=" + encodeURIComponent(one.card.id);
      if (one.card.image) {
        const picture = make("img");
        picture.alt = "";
        picture.loading = "lazy";
        picture.decoding = "async";
        picture.src = gallery.folder + "/" + one.card.image;
        link.append(picture);
      }
      const words = make("span", "words");
      words.append(make("span", "name", one.card.id), make("span", one.defect ? "is-defect" : "is-good", one.defect ? "defective" : "good"), " " + (one.score === null ? one.card.runs[0].status : short(one.score, 3)));
      link.append(words);
      const entry = make("li");
      entry.append(link);
      drawn.set(one, entry);
    }
    return drawn.get(one);
  };
  const STAKES = {
    near: ["Nearest to the threshold", "their decision changes first"],
    missed: ["Missed defects", "lowest score first"],
    alarmed: ["False alarms", "highest score first"],
    silent: ["No answer", "a person decides"],
  };
  for (const [name, [head, order]] of Object.entries(STAKES)) {
    const part = make("section");
    part.append(make("h3", "", head), make("p", "note"), make("ul", "stakes"));
    part.dataset.stake = name;
    part.dataset.order = order;
    $("stake").append(part);
  }
  // An image stands in one list only: one that is wrong and near is among the nearest.
  const stakes = (chosen) => {
    const among = images.filter((one) => chosen.includes(one.category) && !undecided(one.category));
    const answered = among.filter((one) => one.score !== null);
    const limit = (one) => (own === null ? run.thresholds[one.category].value : own);
    const wrong = (defect) => answered.filter((one) => one.defect === defect && rule(one.category)(one.score) !== defect);
    const by = (list, rank) => list.map((one) => [rank(one), one]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
    const near = by(answered.filter((one) => limit(one) !== null), (one) => Math.abs(one.score - limit(one)));
    return {
      near: near.slice(0, SHOWN),
      missed: by(wrong(true), (one) => one.score),
      alarmed: by(wrong(false), (one) => -one.score),
      silent: among.filter((one) => one.score === null),
    };
  };
  const drawStakes = (chosen) => {
    const taken = new Set();
    for (const [name, list] of Object.entries(stakes(chosen))) {
      const part = document.querySelector('[data-stake="' + name + '"]');
      const left = list.filter((one) => !taken.has(one));
      const shown = left.slice(0, SHOWN);
      shown.forEach((one) => taken.add(one));
      part.hidden = !shown.length;
      const hidden = list.length - left.length;
      part.querySelector(".note").textContent =
        (name === "near" ? "" : list.length + (list.length === 1 ? " image; " : " images; ")) + part.dataset.order +
        (hidden ? "; " + hidden + " shown above" : "") + (shown.length < left.length ? "; the first " + shown.length + " of the rest" : "");
      part.querySelector("ul").replaceChildren(...shown.map(item));
    }
  };

  // The distribution of scores: defective above the line, good below it.
  const place = (score) => ((score - lowest) / (highest + step - lowest)) * 100 + "%";
  const drawBars = (chosen) => {
    const sizes = [new Array(BARS).fill(0), new Array(BARS).fill(0)];
    const among = images.filter((one) => chosen.includes(one.category) && one.score !== null);
    const bar = (score) => Math.min(BARS - 1, Math.floor(((score - lowest) / (highest - lowest)) * BARS + 1e-9));
    among.forEach((one) => sizes[Number(one.defect)][bar(one.score)]++);
    const most = Math.max(1, ...sizes[0], ...sizes[1]);
    const width = (highest - lowest) / BARS;
    const plot = $("plot");
    plot.replaceChildren();
    $("most").textContent = "longest bar: " + most + (most === 1 ? " image" : " images");
    sizes.forEach((every, defect) =>
      every.forEach((size, at) => {
        if (!size) return;
        const box = make("i", defect ? "up" : "down");
        box.style.left = place(lowest + at * width);
        box.style.width = "calc(" + place(lowest + width) + " - 1px)";
        box.style.height = (46 * size) / most + "%";
        box.title = size + (defect ? " defective" : " good") + ", score " + number(lowest + at * width) + " to " + number(lowest + (at + 1) * width);
        plot.append(box);
      }));
  };
  const drawLines = (chosen) => {
    document.querySelectorAll("#d-plot b").forEach((line) => line.remove());
    const line = (value, name) => {
      const mark = make("b", name);
      mark.style.left = place(value);
      $("plot").append(mark);
    };
    const runs = [...new Set(chosen.map((name) => run.thresholds[name].value))].filter((value) => value !== null);
    runs.forEach((value) => line(value, "run"));
    if (own !== null) line(own, "own");
  };

  let chosen = categories;
  let saying = 0;
  const thresholdOf = (names) => {
    const values = [...new Set(names.map((name) => run.thresholds[name].value))];
    return values.length === 1 ? values[0] : null;
  };
  const middle = (names) => {
    const values = names.map((name) => run.thresholds[name].value).filter((one) => one !== null).sort((a, b) => a - b);
    return values.length ? values[Math.floor(values.length / 2)] : (lowest + highest) / 2;
  };
  // What the chosen categories come to: the counts of all, and the means of their rates.
  const chosenFigures = (every) => {
    const among = chosen.filter((name) => every.has(name)).map((name) => every.get(name));
    const both = among.filter((one) => one.miss !== null && one.false_alarm !== null);
    return { counts: figures.sum(among), shown: figures.mean(among), priced: figures.mean(both) };
  };
  const drawTable = (every) => {
    const none = { interval: {} };
    const all = [...every.values()];
    categories.forEach((name, at) => write(rows.get(String(at)), every.get(name) || none, own === null ? run.thresholds[name].text : number(own)));
    write(rows.get("mean"), figures.mean(all), "");
    write(rows.get("pooled"), figures.rates(figures.sum(all)), "");
  };
  const drawRates = ({ counts, shown, priced }) => {
    COUNTS.forEach((name) => ($(name).textContent = counts[name]));
    const tiles = Object.entries(run.rates).map(([name, head]) => tile(head, percent(shown[name]), shown[name] === null ? "" : span(shown.interval[name])));
    const share = field("prevalence");
    if (share !== null) tiles.push(tile("Precision on the line", percent(figures.precisionAt(share / 100, shown)), "with " + number(share) + " % defective"));
    $("rates").replaceChildren(...tiles);
    $("cost").textContent = costWords(priced);
    // Paper shows the prices and the cost only if they are given.
    ["prices", "cost"].forEach((name) => $(name).classList.toggle("given", prices() !== null));
  };
  const inWords = ({ counts }, value) => {
    let whose = value === null ? "The run's thresholds" : (run.stored ? "The run's threshold, " : "Threshold ") + number(value);
    if (own !== null) whose = "Threshold " + number(own) + (categories.length > 1 ? " for every category" : "");
    const bad = counts.tp + counts.fn + counts.abstain_defect;
    const good = counts.fp + counts.tn + counts.abstain_good;
    const silent = counts.abstain_defect + counts.abstain_good;
    const person = silent ? ", " + silent + " for a person to decide" : "";
    const where = chosen.length < categories.length ? chosen[0] + ". " : "";
    return where + whose + ": " + counts.tp + " of " + bad + " defective images found, " + counts.fp + " false alarms among " + good + " good images" + person + ".";
  };
  const update = () => {
    const every = new Map(categories.filter((name) => !undecided(name)).map((name) => [name, figures.rates(count(name))]));
    const current = chosenFigures(every);
    drawTable(every);
    drawRates(current);
    drawLines(chosen);
    drawStakes(chosen);
    const value = own === null ? thresholdOf(chosen) : own;
    const words = inWords(current, value);
    $("slider").setAttribute("aria-valuetext", words);
    $("plot").setAttribute("aria-label", "Image scores of defective and good images, from " + number(lowest) + " to " + number(highest) + ". " + words);
    $("own").disabled = own === null;
    if (own === null) {
      $("number").value = value === null ? "" : number(value);
      $("slider").value = value === null ? middle(chosen) : value;
    }
    // Thresholds that differ have no place on the slider.
    $("slider").classList.toggle("unused", value === null);
    // Once the threshold rests it is read aloud, and pictures outside of the screen load: printing does not wait for them.
    clearTimeout(saying);
    saying = setTimeout(() => {
      $("state").textContent = words;
      document.querySelectorAll(".stakes img").forEach((image) => (image.loading = "eager"));
    }, 300);
  };

  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      update();
    });
  };

  $("panel").hidden = false;
  if (categories.length > 1) $("category").append(new Option("all: counts of all, mean rates", ""));
  $("category").append(...categories.map((name) => new Option(name, name)));
  Object.assign($("slider"), { min: lowest, max: highest + step, step });
  $("ends").append(...[lowest, (lowest + highest) / 2, highest].map((value) => {
    const mark = make("span", "", number(value));
    mark.style.left = place(value);
    return mark;
  }));
  PRICES.forEach((name) => ($(name).value = run.prices && run.prices[name] !== null ? number(run.prices[name] * (name === "prevalence" ? 100 : 1)) : ""));
  $("slider").addEventListener("input", () => {
    own = Number($("slider").value);
    $("number").value = number(own);
    soon();
  });
  $("number").addEventListener("input", () => {
    if ($("number").value === "" || !Number.isFinite(Number($("number").value))) return;
    own = Number($("number").value);
    $("slider").value = own;
    soon();
  });
  $("own").addEventListener("click", () => {
    own = null;
    update();
    $("slider").focus();
  });
  $("category").addEventListener("input", () => {
    chosen = $("category").value ? [$("category").value] : categories;
    drawBars(chosen);
    update();
  });
  $("prices").addEventListener("input", soon);
  ["controls", "prices"].forEach((name) => $(name).addEventListener("submit", (event) => event.preventDefault()));
  drawBars(chosen);
  update();
})();
