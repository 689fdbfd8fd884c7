// Hides the rows that the search of all tables, or the filter of their own, does not ask for, and their notes with them.
"use strict";
(() => {
  const search = document.getElementById("search");
  if (!search) return;
  const LIMITS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };

  // What a cell shows, without its interval.
  const shown = (cell) => (cell.querySelector(".value") || cell).textContent.trim();

  // A comparison holds for what is a number, as it is shown; anything else is looked for as text.
  const asks = (text) => {
    const limit = /^(<=|>=|<|>|=)\s*(-?\d*[.,]?\d+)\s*%?$/.exec(text);
    if (!limit) return (cell) => shown(cell).toLowerCase().includes(text);
    const holds = LIMITS[limit[1]];
    const bound = Number(limit[2].replace(",", "."));
    return (cell) => {
      const value = shown(cell).replace(/\s*%$/, "");
      return value !== "" && !isNaN(value) && holds(Number(value), bound);
    };
  };

  const counted = (count) => (count || "no") + (count === 1 ? " row" : " rows");

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let all = 0;
    document.querySelectorAll(".group").forEach((group) => {
      const column = group.querySelector(".column").value;
      const wanted = group.querySelector(".wanted").value.trim().toLowerCase();
      const kind = group.querySelector(".kind").value;
      const ask = asks(wanted);
      const matches = (row) => {
        const text = (row.textContent + " " + row.dataset.words).toLowerCase();
        const cells = column === "" ? [...row.cells] : [row.cells[column]];
        return (
          words.every((word) => text.includes(word)) &&
          (!kind || row.classList.contains(kind)) &&
          (!wanted || cells.some(ask) || (column === "" && row.dataset.words.toLowerCase().includes(wanted)))
        );
      };
      const kept = new Set();
      group.querySelectorAll(".board tbody.rows tr").forEach((row) => {
        row.hidden = !matches(row);
        if (!row.hidden) kept.add(row.dataset.row);
      });
      group.querySelectorAll(".heat tbody tr, .notes li").forEach((row) => (row.hidden = !kept.has(row.dataset.row)));
      group.querySelectorAll(".board tbody.heading").forEach((heading) => {
        heading.hidden = !heading.nextElementSibling.querySelector("tr:not([hidden])");
      });
      group.querySelector(".found").textContent = wanted || kind ? counted(kept.size) : "";
      const own = Boolean(wanted || kind);
      // A table that its own filter empties keeps the filter in sight.
      group.hidden = kept.size === 0 && !own;
      group.querySelector(".all").parentElement.hidden = kept.size > 0 || !own;
      all += kept.size;
    });
    document.getElementById("kept").textContent = words.length ? counted(all) : "";
  };

  document.querySelectorAll("form").forEach((form) => {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", apply);
  });
  document.querySelectorAll(".all").forEach((button) => {
    button.addEventListener("click", () => {
      const form = button.closest(".group").querySelector(".filter");
      form.reset();
      apply();
      form.querySelector(".wanted").focus();
    });
  });

  // Paper has no triangle to click.
  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...closed()];
    opened.forEach((one) => (one.open = true));
  });
  window.addEventListener("afterprint", () => opened.forEach((one) => (one.open = false)));
})();
