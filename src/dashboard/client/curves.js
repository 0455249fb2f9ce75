/*
 * Curves of several runs over each other, in the figures accuracy, loss, validation and speed.
 */
globalThis.lockstepCurves = (() => {
  const { mount } = globalThis.lockstepCharts;
  const charts = new Map();
  const COLOURS = 8;

  /** The look of a line by its position: colours come again in dashes. */
  const lookOf = (index) => ({
    colour: index % COLOURS + 1,
    dash: Math.floor(index / COLOURS) % 2 === 1,
  });

  /** Points of each run over the epochs: runs on other data can be compared too. */
  const show = (lines, id, y, pointsOf, valueOf, points) => {
    const series = lines.map(({ run, label, look }) => {
      const all = pointsOf(run);
      return {
        label,
        ...look,
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
    else charts.set(id, mount(document.getElementById(`chart-${id}`), spec));
  };

  /** Draws all figures: [{ run, label, look }]. */
  const draw = (lines) => {
    const validations = (run) => run.validationPoints;
    const points = (run) => run.points;
    const loss = { label: "Loss", format: "loss", min: 0 };
    const accuracy = { label: "Accuracy", format: "percent", max: 1 };
    const speed = { label: "Images per second", format: "rate", min: 0 };
    show(lines, "accuracy", accuracy, validations, (point) => point.accuracy, true);
    show(lines, "loss", loss, points, (point) => point.loss, false);
    show(lines, "validation", loss, validations, (point) => point.loss, true);
    show(lines, "speed", speed, points, (point) => point.imagesPerSecond, false);
  };

  /** Classes of the sign that stands for a line. */
  const swatchOf = (index) => {
    const { colour, dash } = lookOf(index);
    return `swatch${dash ? " dashed" : ""} back-${colour}`;
  };

  return { draw, lookOf, swatchOf };
})();
