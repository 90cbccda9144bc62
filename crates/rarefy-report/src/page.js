(() => {
  const root = document.documentElement, button = document.querySelector("#theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });
  document.querySelectorAll("table.sortable th").forEach((head, column) => head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0], rows = [...body.rows];
    const value = row => { const text = row.cells[column].textContent, n = parseFloat(text); return isNaN(n) ? text : n; };
    const sign = head.dataset.up = head.dataset.up === "1" ? "-1" : "1";
    rows.sort((a, b) => { const x = value(a), y = value(b); return (x < y ? -1 : x > y ? 1 : 0) * sign; });
    body.append(...rows);
  }));
})();
