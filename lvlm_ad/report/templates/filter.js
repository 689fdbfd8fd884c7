// Hides the rows of tables in which no word of the search occurs.
"use strict";
(() => {
  const input = document.getElementById("search");
  if (!input) return;
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = 0;
    document.querySelectorAll("table.board tbody tr").forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      kept += row.hidden ? 0 : 1;
    });
    document.getElementById("kept").textContent = words.length ? kept + " rows" : "";
  };
  input.addEventListener("input", apply);
})();
