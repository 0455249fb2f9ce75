/*
 * Sortable tables: <table data-sortable>. A column sorts by its cells' data-value (a number) or text; a
 * header with data-fixed doesn't sort.
 */
globalThis.lockstepTables = (() => {
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell?.dataset.value ?? cell?.textContent.trim() ?? "";
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };

  const compare = (a, b) => {
    // What has no value stands last, whichever the direction.
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };

  const sort = (table, column, ascending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, column) }));
    const [empty, full] = [rows.filter((r) => r.value === ""), rows.filter((r) => r.value !== "")];
    full.sort((a, b) => (ascending ? 1 : -1) * compare(a.value, b.value));
    body.append(...[...full, ...empty].map(({ row }) => row));
  };

  const makeSortable = (table) => {
    const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headers.forEach((header, column) => {
      if ("fixed" in header.dataset || header.querySelector("button")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        // Numbers are most wanted from the greatest down, names from A to Z.
        const first = table.tBodies[0].rows[0];
        const usual = first && typeof valueOf(first, column) === "number"
          ? "descending"
          : "ascending";
        const now = header.getAttribute("aria-sort");
        const other = now === "ascending" ? "descending" : "ascending";
        const order = now ? other : usual;
        for (const each of headers) each.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", order);
        sort(table, column, order === "ascending");
      });
    });
  };

  document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
  return { makeSortable };
})();
