// The first click on a heading sorts downwards (sortable.js). Ranks and names are better sorted upwards first: this
// marks their headings as sorted downwards before the first click, so that it turns the order.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll('thead th[data-first="ascending"]').forEach((head) => {
    const fresh = () => !head.hasAttribute("aria-sort");
    const label = () => {
      if (fresh()) head.setAttribute("aria-label", "Click to sort table by " + head.textContent + " in ascending order");
    };
    label();
    head.addEventListener("focus", label);
    head.addEventListener("click", () => {
      if (fresh()) head.setAttribute("aria-sort", "descending");
    });
  });
});
