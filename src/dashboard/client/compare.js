/*
 * Some runs over each other.
 */
(() => {
  const { Run, follow, duration, written, make, cell, number, badge } = globalThis.lockstepFeed;
  const { mount } = globalThis.lockstepCharts;
  const byId = (id) => document.getElementById(id);
  const summaries = JSON.parse(byId("runs").textContent);
  if (summaries.length === 0) return;
  const runs = new Map(summaries.map((summary) => [summary.id, new Run(summary)]));
  const charts = new Map();

  /** Points of each run over the epochs: runs on other data can be compared too. */
  const show = (id, y, pointsOf, valueOf, points) => {
    const series = [...runs.values()].map((run, index) => {
      const all = pointsOf(run);
      return {
        label: run.summary.id,
        colour: index % 8 + 1,
        x: all.map((point) => run.epochOf(point)),
        values: all.map(valueOf),
        points,
      };
    });
    const spec = {
      kind: "line",
      x: { label: "Epoch", format: "number", values: [] },
      y,
      series,
      sync: "all",
    };
    const chart = charts.get(id);
    if (chart) chart.update(spec);
    else charts.set(id, mount(byId(`chart-${id}`), spec));
  };

  const draw = () => {
    const validations = (run) => run.validationPoints;
    const points = (run) => run.points;
    show(
      "accuracy",
      { label: "Accuracy", format: "percent", max: 1 },
      validations,
      (p) => p.accuracy,
      true,
    );
    show("loss", { label: "Loss", format: "loss", min: 0 }, points, (p) => p.loss, false);
    show("validation", { label: "Loss", format: "loss", min: 0 }, validations, (p) => p.loss, true);
    show(
      "speed",
      { label: "Images per second", format: "rate", min: 0 },
      points,
      (p) => p.imagesPerSecond,
      false,
    );
    const rows = [...runs.values()].map(({ summary, state, best, epochs }, index) =>
      make(
        "tr",
        {},
        make(
          "th",
          { scope: "row" },
          make("span", { className: `swatch back-${index % 8 + 1}`, "aria-hidden": "true" }),
          " ",
          make(
            "a",
            { href: `/runs/${encodeURIComponent(summary.id)}` },
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
