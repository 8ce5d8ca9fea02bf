"use strict";
// Tables whose heads are pressed sort their rows; the first press on numbers shows the largest first.
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const words = head.classList.contains("text");
      const before = head.getAttribute("aria-sort");
      const ascending = before ? before === "descending" : words;
      const sign = ascending ? 1 : -1;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (words) return sign * x.localeCompare(y, undefined, { numeric: true });
        if (x === "" || y === "") return (x === "") - (y === ""); // what does not exist comes last either way
        return sign * (Number(x) - Number(y));
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    });
  });
});
// Pictures one below the other, as large as the page.
document.querySelectorAll("button[data-enlarge]").forEach((button) => {
  button.addEventListener("click", () => {
    const large = button.closest("figure").querySelector(".panels").classList.toggle("large");
    button.setAttribute("aria-pressed", String(large));
  });
});
// What belongs to a run that is switched off is hidden.
document.querySelectorAll("input[data-run]").forEach((box) => {
  const show = () =>
    document.querySelectorAll(`[data-of="${box.dataset.run}"]`).forEach((part) => {
      part.classList.toggle("hidden", !box.checked);
    });
  box.addEventListener("change", show);
  show(); // a browser that goes back remembers what was chosen
});
// A link to something that is folded away unfolds it.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
};
window.addEventListener("hashchange", unfold);
unfold();
