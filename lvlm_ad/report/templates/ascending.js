// Ranks and names are read from their beginning: the first click on their head orders upwards. sortable.js takes the
// first click of any head as downwards, and turns on the next.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll('thead th[data-first="ascending"]').forEach((head) => {
    const fresh = () => !head.hasAttribute("aria-sort");
    const say = () => {
      if (fresh()) head.setAttribute("aria-label", "Click to sort table by " + head.textContent + " in ascending order");
    };
    say();
    head.addEventListener("focus", say);
    head.addEventListener("click", () => {
      if (fresh()) head.setAttribute("aria-sort", "descending");
    });
  });
});
