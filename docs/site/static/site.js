// Marks what is laid out otherwise on a phone; site.css does the rest.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table.docutils")) {
    const cells = [...table.querySelectorAll("tbody td")];
    if (!cells.some((cell) => cell.textContent.length > 90)) continue;
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    table.classList.add("stacked");
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, at) => {
        cell.dataset.label = heads[at] ?? "";
        if (!cell.textContent.trim()) cell.replaceChildren();
      });
    }
  }
  for (const picture of document.querySelectorAll('article img[src$=".svg"]')) {
    picture.parentElement.classList.add("plot");
  }
});
