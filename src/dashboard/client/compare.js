/*
 * Some runs over each other.
 */
(() => {
  const { Run, follow, duration, written, make, cell, number, badge, addressOf } =
    globalThis.lockstepFeed;
  const byId = (id) => document.getElementById(id);
  const summaries = JSON.parse(byId("runs").textContent);
  if (summaries.length === 0) return;
  const runs = new Map(summaries.map((summary) => [summary.id, new Run(summary)]));
  const { draw: drawCurves, lookOf, swatchOf } = globalThis.lockstepCurves;

  const draw = () => {
    drawCurves(
      [...runs.values()].map((run, index) => ({
        run,
        label: run.summary.id,
        look: lookOf(index),
      })),
    );
    const rows = [...runs.values()].map(({ summary, state, best, epochs }, index) =>
      make(
        "tr",
        {},
        make(
          "th",
          { scope: "row" },
          make("span", { className: swatchOf(index), "aria-hidden": "true" }),
          " ",
          make(
            "a",
            { href: `/runs/${addressOf(summary.id)}` },
            make("bdi", {}, summary.id),
          ),
        ),
        cell(badge(state)),
        cell(summary.model),
        number(summary.workers ?? "–"),
        number(`${epochs.length} / ${summary.ofEpochs ?? "–"}`),
        number(written(best?.accuracy, "percent")),
        number(best?.epoch ?? "–"),
        number(duration(epochs.reduce((sum, { seconds }) => sum + seconds, 0))),
      )
    );
    byId("results").tBodies[0].replaceChildren(...rows);
  };

  draw();
  follow(runs, draw, (isOpen) => byId("connection").hidden = isOpen);
})();
