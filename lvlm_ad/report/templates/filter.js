// Hides rows that do not match the search over all tables or their own table's filter, together with their notes.
"use strict";
(() => {
  const search = document.getElementById("search");
  if (!search) return;
  const LIMITS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };

  // A cell's text without its interval.
  const text = (cell) => (cell.querySelector(".value") || cell).textContent.trim();

  // "<0.5" compares numbers as they are shown; anything else is searched as text.
  const condition = (wanted) => {
    const limit = /^(<=|>=|<|>|=)\s*(-?\d*[.,]?\d+)\s*%?$/.exec(wanted);
    if (!limit) return (cell) => text(cell).toLowerCase().includes(wanted);
    const compare = LIMITS[limit[1]];
    const bound = Number(limit[2].replace(",", "."));
    return (cell) => {
      const value = text(cell).replace(/\s*%$/, "");
      return value !== "" && !isNaN(value) && compare(Number(value), bound);
    };
  };

  const rowCount = (count) => (count || "no") + (count === 1 ? " row" : " rows");

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let total = 0;
    document.querySelectorAll(".group").forEach((group) => {
      const column = group.querySelector(".column").value;
      const wanted = group.querySelector(".wanted").value.trim().toLowerCase();
      const kind = group.querySelector(".kind").value;
      const meets = condition(wanted);
      const matches = (row) => {
        const all = (row.textContent + " " + row.dataset.words).toLowerCase();
        const cells = column === "" ? [...row.cells] : [row.cells[column]];
        return (
          words.every((word) => all.includes(word)) &&
          (!kind || row.classList.contains(kind)) &&
          (!wanted || cells.some(meets) || (column === "" && row.dataset.words.toLowerCase().includes(wanted)))
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
      group.querySelector(".count").textContent = wanted || kind ? rowCount(kept.size) : "";
      const own = Boolean(wanted || kind);
      // A table that is empty because of its own filter stays, so that the filter can be changed.
      group.hidden = kept.size === 0 && !own;
      group.querySelector(".all").parentElement.hidden = kept.size > 0 || !own;
      total += kept.size;
    });
    document.getElementById("kept").textContent = words.length ? rowCount(total) : "";
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

  // Print every table: paper cannot be unfolded.
  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...closed()];
    opened.forEach((one) => (one.open = true));
  });
  window.addEventListener("afterprint", () => opened.forEach((one) => (one.open = false)));
})();
