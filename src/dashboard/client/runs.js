/*
 * The list of runs.
 */
(() => {
  const { duration, written, when, make, cell, number, badge, recoveryText } =
    globalThis.lockstepFeed;
  const byId = (id) => document.getElementById(id);
  const POLL_MS = 2000;
  const chosen = new Set();
  const table = byId("runs");
  let shown = "";

  const updateCompare = () => {
    const link = byId("compare");
    const ids = [...chosen];
    link.setAttribute("aria-disabled", String(ids.length < 2));
    link.href = `/compare?${ids.map((id) => `run=${encodeURIComponent(id)}`).join("&")}`;
    link.textContent = ids.length < 2 ? "Compare" : `Compare ${ids.length} runs`;
  };
  byId("compare").addEventListener("click", (event) => {
    if (chosen.size < 2) event.preventDefault();
  });

  const rowOf = (run) => {
    const box = make("input", { type: "checkbox", "aria-label": `Compare ${run.id}` });
    box.checked = chosen.has(run.id);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(run.id);
      else chosen.delete(run.id);
      updateCompare();
    });
    const link = make(
      "a",
      { href: `/runs/${encodeURIComponent(run.id)}` },
      make("bdi", {}, run.id),
    );
    const state = cell(badge(run.state), run.message ? { title: run.message } : {});
    if (run.isRecovering) {
      state.append(" ", make("span", { className: "badge warn" }, "Recovering"));
    }
    if (run.recoveries > 0) {
      state.append(make("span", { className: "note line" }, recoveryText(run)));
    }
    const epochs = `${run.epochs}${run.ofEpochs === null ? "" : ` / ${run.ofEpochs}`}`;
    return make(
      "tr",
      {},
      cell(box),
      make("th", { scope: "row", className: "name" }, link),
      state,
      cell(run.model),
      number(run.workers ?? "–"),
      number(epochs, { "data-value": run.epochs }),
      number(written(run.best?.accuracy, "percent"), { "data-value": run.best?.accuracy ?? "" }),
      number(run.seconds ? duration(run.seconds) : "–", { "data-value": run.seconds }),
      cell(when(run.started), { "data-value": Date.parse(run.started) || "" }),
    );
  };

  const draw = (runs) => {
    const version = JSON.stringify(runs);
    if (version === shown) return;
    shown = version;
    const focused = document.activeElement?.getAttribute("aria-label");
    const ids = new Set(runs.map(({ id }) => id));
    for (const id of chosen) if (!ids.has(id)) chosen.delete(id);
    table.tBodies[0].replaceChildren(...runs.map(rowOf));
    // A column that the reader sorted by stays so.
    const sorted = table.tHead.querySelector("[aria-sort]");
    if (sorted) {
      const order = sorted.getAttribute("aria-sort");
      sorted.setAttribute("aria-sort", order === "ascending" ? "descending" : "ascending");
      sorted.querySelector("button").click();
    }
    if (focused) {
      for (const box of table.querySelectorAll("input")) {
        if (box.getAttribute("aria-label") === focused) box.focus();
      }
    }
    byId("empty").hidden = runs.length > 0;
    updateCompare();
  };

  const comparisonRow = (comparison) => {
    const { id, state, variants, finished, runs, best, created } = comparison;
    const link = make("a", { href: `/comparisons/${encodeURIComponent(id)}` }, make("bdi", {}, id));
    return make(
      "tr",
      {},
      make("th", { scope: "row", className: "name" }, link),
      cell(badge(state)),
      number(variants),
      number(`${finished} / ${runs}`, { "data-value": finished }),
      number(written(best?.accuracy, "percent"), { "data-value": best?.accuracy ?? "" }),
      cell(make("bdi", { className: "name" }, best?.label ?? "–")),
      cell(when(created), { "data-value": Date.parse(created) || "" }),
    );
  };

  let shownComparisons = "";
  const drawComparisons = (comparisons) => {
    const version = JSON.stringify(comparisons);
    if (version === shownComparisons) return;
    shownComparisons = version;
    byId("comparisons-section").hidden = comparisons.length === 0;
    byId("comparisons").tBodies[0].replaceChildren(...comparisons.map(comparisonRow));
  };

  const poll = async () => {
    if (!document.hidden) {
      try {
        const response = await fetch("/api/runs");
        if (response.ok) draw(await response.json());
        const compared = await fetch("/api/comparisons");
        if (compared.ok) drawComparisons(await compared.json());
      } catch {
        // The server is gone; it may come back.
      }
    }
    setTimeout(poll, POLL_MS);
  };

  draw(JSON.parse(byId("runs-data")?.textContent ?? "[]"));
  drawComparisons(JSON.parse(byId("comparisons-data")?.textContent ?? "[]"));
  setTimeout(poll, POLL_MS);
})();
