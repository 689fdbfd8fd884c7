// Hides the rows in which, notes included, no word of the search occurs, and tables of which no row is left.
"use strict";
(() => {
  const input = document.getElementById("search");
  if (!input) return;
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (row) => {
      const text = (row.textContent + " " + row.dataset.words).toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      return !row.hidden;
    };
    let kept = 0;
    document.querySelectorAll(".group").forEach((group) => {
      group.querySelectorAll(".heat tbody tr, .notes li").forEach(matches);
      const here = [...group.querySelectorAll(".board tbody tr")].filter(matches).length;
      group.hidden = here === 0;
      kept += here;
    });
    document.getElementById("kept").textContent = words.length ? (kept || "no") + (kept === 1 ? " row" : " rows") : "";
  };
  input.addEventListener("input", apply);
})();
