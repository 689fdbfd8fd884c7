// Hides rows that do not match the search over all tables or their own table's filter, together with their notes.
"use strict";
(() => {
  const search = document.getElementById("search");
  if (!search) return;
  const LIMITS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };

  // A cell's text without its interval.
  const text = (cell) => (cell.querySelector(".value") || cell).textContent.trim();

  // "I-AUROC>80 <=95" gives two limits; each begins with a column's name, or has the column of the limit before it.
  const ONE = "([^<>=]*?)\\s*(<=|>=|<|>|=)\\s*(-?\\d*[.,]?\\d+)\\s*%?\\s*(?:$|[,;&]+\\s*|and\\s+|(?=[\\s<>=a-z]))";
  const limitsOf = (wanted) => {
    if (!new RegExp("^(?:" + ONE + ")+$").test(wanted)) return [];
    return [...wanted.matchAll(new RegExp(ONE, "g"))].map((match) => ({ name: match[1].trim(), sign: match[2], number: match[3] }));
  };

  // Find a column by its heading, its name in files, or the beginning of a word in either; "auroc" finds the first one.
  const plain = (name) => name.toLowerCase().replace(/[^a-z0-9#]/g, "");
  const columnNamed = (select, name) => {
    const options = [...select.options].slice(1);
    const names = (option) => [plain(option.text), plain(option.dataset.name)];
    const exact = options.find((one) => names(one).includes(plain(name)));
    const words = (option) => (option.text + " " + option.dataset.name).toLowerCase().split(/[^a-z0-9]+/);
    const option = exact || (plain(name).length > 1 && options.find((one) => words(one).some((word) => word.startsWith(plain(name)))));
    return option && { index: Number(option.value), text: option.text, exact: Boolean(exact) };
  };

  // The condition that a table's filter sets for rows, and a sentence that describes it.
  const condition = (select, wanted, typed) => {
    const chosen = select.value === "" ? null : { index: Number(select.value), text: select.selectedOptions[0].text };
    const limits = limitsOf(wanted);
    if (!wanted) return { meets: () => true, words: "" };
    if (!limits.length) {
      // "Model: gpt" searches one column.
      const [, name, rest] = /^([^:]+):\s*(.+)$/.exec(typed) || [];
      const named = !chosen && name && columnNamed(select, name);
      const [column, part] = named && named.exact ? [named, rest] : [chosen, typed];
      const texts = (row) => (column ? [text(row.cells[column.index])] : [...[...row.cells].map(text), row.dataset.words]);
      const meets = (row) => texts(row).some((one) => one.toLowerCase().includes(part.toLowerCase()));
      return { meets, words: "Shows rows with \u201c" + part + "\u201d in " + (column ? column.text : "any column or note") + "." };
    }
    let column = chosen;
    for (const limit of limits) {
      if (limit.name) column = columnNamed(select, limit.name);
      if (!column) {
        const what = limit.name ? "No column is called \u201c" + limit.name + "\u201d." : "A limit needs a column.";
        return { meets: () => true, words: what + " Choose one, or write its heading before the limit: I-AUROC>80." };
      }
      limit.column = column;
    }
    const meets = (row) =>
      limits.every(({ column, sign, number }) => {
        // A range of ranks counts as its first number.
        const value = text(row.cells[column.index]).replace(/\s*%$/, "").replace(/\u2013\d+$/, "");
        return value !== "" && !isNaN(value) && LIMITS[sign](Number(value), Number(number.replace(",", ".")));
      });
    const words = limits.map(({ column, sign, number }) => column.text + " " + sign + " " + number).join(" and ");
    return { meets, words: "Shows rows with " + words + ", by the numbers as shown." };
  };

  const rowCount = (count) => (count || "no") + (count === 1 ? " row" : " rows");

  // Conditions of published results; a row without such a condition, such as a run's, stays.
  const conditions = [...document.querySelectorAll("select.condition")];
  const meetsAll = (row) =>
    conditions.every(({ value, dataset }) => {
      const own = row.getAttribute("data-" + dataset.name);
      return !value || own === null || own.split(", ").includes(value);
    });

  const apply = () => {
    const chosen = conditions.some((select) => select.value);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let total = 0;
    document.querySelectorAll(".group").forEach((group) => {
      const typed = group.querySelector(".wanted").value.trim();
      const wanted = typed.toLowerCase().replaceAll("\u2265", ">=").replaceAll("\u2264", "<=");
      const kind = group.querySelector(".kind").value;
      const asked = condition(group.querySelector(".column"), wanted, typed);
      const matches = (row) => {
        const all = (row.textContent + " " + row.dataset.words).toLowerCase();
        return words.every((word) => all.includes(word)) && (!kind || row.classList.contains(kind)) && meetsAll(row) && asked.meets(row);
      };
      const kept = new Set();
      group.querySelectorAll(".board tbody.rows tr").forEach((row) => {
        row.hidden = !matches(row);
        if (!row.hidden) kept.add(row.dataset.row);
      });
      group.querySelectorAll(".heat tbody tr, .notes li:not([data-row='-1'])").forEach((row) => (row.hidden = !kept.has(row.dataset.row)));
      group.querySelectorAll(".board tbody.heading").forEach((heading) => {
        heading.hidden = !heading.nextElementSibling.querySelector("tr:not([hidden])");
      });
      group.querySelector(".reads").textContent = asked.words;
      group.querySelector(".count").textContent = wanted || kind ? rowCount(kept.size) : "";
      const own = Boolean(wanted || kind);
      // A table that is empty because of its own filter stays, so that the filter can be changed.
      group.hidden = kept.size === 0 && !own;
      group.querySelector(".all").parentElement.hidden = kept.size > 0 || !own;
      total += kept.size;
    });
    document.getElementById("kept").textContent = words.length || chosen ? rowCount(total) : "";
    const all = document.querySelectorAll(".board tbody.rows tr").length;
    document.getElementById("printed").textContent = total < all ? "This printout has " + total + " of " + rowCount(all) + ", as filtered. The page in a browser has all." : "";
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
