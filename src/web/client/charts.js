/*
 * Charts on uPlot: a legend that switches series, values on hover and by the arrow keys, light and dark,
 * zoom by dragging, and the values as a table. What a chart shows is a ChartSpec of src/web/chart.ts.
 *
 *   const chart = lockstepCharts.mount(figure, spec);   // figure: the markup of chartFigure()
 *   chart.update(spec);                                  // new values, or other series
 *   chart.destroy();
 *
 * A figure whose id is in the page's data "charts" is mounted at once.
 */
globalThis.lockstepCharts = (() => {
  const visible = globalThis.lockstepVisible;
  const HEIGHT = 260;
  /** Above this many values, dots would only be clutter. */
  const MAX_POINTS = 40;
  /** Rows of the table of values: every n-th of more. */
  const MAX_ROWS = 500;
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

  const fixed = (value, digits) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

  const digitsFor = (value) => {
    const size = Math.abs(value);
    return size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 4;
  };

  const bytes = (value) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3));
    const scaled = value / 1000 ** step;
    return `${fixed(scaled, step > 0 && scaled < 100 ? 1 : 0)} ${units[step]}`;
  };

  /** Functions that format a value in full, by format. */
  const FORMATS = {
    number: (value) => fixed(value, digitsFor(value)),
    loss: (value) => Math.abs(value) >= 1e5 ? value.toExponential(2) : fixed(value, 4),
    percent: (value) => `${fixed(value * 100, 1)}%`,
    ms: (value) => `${fixed(value, value < 100 ? 1 : 0)} ms`,
    rate: (value) => `${fixed(value, value < 100 ? 1 : 0)} img/s`,
    bytes,
    "rate-of-learning": (value) => String(Number(value.toPrecision(4))),
    integer: (value) => value.toLocaleString("en", { maximumFractionDigits: 0 }),
  };

  /** Formats the values of an axis: short, and with equal digits. */
  const axisTexts = (format, values, step) => {
    const digits = Math.max(0, -Math.floor(Math.log10(step || 1) + 1e-9));
    return values.map((value) => {
      if (value === null) return ""; // a tick that a logarithmic axis doesn't name
      if (format === "percent") return `${fixed(value * 100, Math.max(0, digits - 2))}%`;
      if (format === "bytes") return bytes(value);
      if (format === "rate-of-learning") return String(Number(value.toPrecision(3)));
      if (Math.abs(value) >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
      if (Math.abs(value) >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
      return fixed(value, Math.min(digits, 6));
    });
  };

  // A colour is read from an element, since a custom property may be light-dark(…).
  const probe = document.createElement("span");
  probe.hidden = true;
  const colours = new Map();
  const colour = (name) => {
    if (!colours.has(name)) {
      if (!probe.isConnected) document.body.append(probe);
      probe.style.color = `var(--${name})`;
      colours.set(name, getComputedStyle(probe).color);
    }
    return colours.get(name);
  };
  const seriesColour = (name) => colour(`series-${name}`);
  const withAlpha = (rgb, alpha) => rgb.replace(/^rgb\(([^)]+)\)$/, `rgba($1, ${alpha})`);

  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  /** Classes of the small square that stands for a series. */
  const swatchOf = ({ pointsOnly, dash, faint, colour }) => {
    const shape = pointsOnly ? "dot" : dash ? "dashed" : faint ? "faint" : "";
    return `swatch ${shape} back-${colour}`;
  };

  /** All values over one axis: [x, values of the first series, …], with null where there is nothing. */
  const aligned = (spec) => {
    if (spec.series.every(({ x }) => !x)) {
      return [spec.x.values, ...spec.series.map(({ values }) => values)];
    }
    const tables = spec.series.map(({ x, values }) => [x ?? spec.x.values, values]);
    return uPlot.join(tables).map((column) => Array.from(column, (value) => value ?? null));
  };

  /** Layers on each other; a hidden one has no height. */
  const stacked = ([x, ...layers], shown) => {
    const sums = new Array(x.length).fill(0);
    return [
      x,
      ...layers.map((values, layer) =>
        values.map((value, index) => sums[index] += shown[layer] ? value ?? 0 : 0)
      ),
    ];
  };

  const yRange = ({ kind, y }) => (_plot, least, most) => {
    if (least === null || most === null) return [y.min ?? 0, y.max ?? 1];
    if (y.log) return [least / 1.3, most * 1.3];
    const low = y.min ?? (kind === "stack" || y.format === "loss" ? Math.min(0, least) : undefined);
    const span = most - (low ?? least) || Math.abs(most) || 1;
    const bottom = low ?? Math.max(least >= 0 ? 0 : -Infinity, least - 0.08 * span);
    return [bottom, y.max ?? most + 0.06 * span];
  };

  const xRange = (_plot, least, most) => {
    if (least === null || most === null) return [0, 1];
    return least === most ? [least - 0.5, most + 0.5] : [least, most];
  };

  /** uPlot's options of one series. */
  const seriesOptions = (
    spec,
    { label, colour: name, dash, faint, points, pointsOnly, values },
    isShown,
  ) => {
    const stack = spec.kind === "stack";
    const stroke = () => {
      if (!isShown()) return "transparent";
      return faint ? withAlpha(seriesColour(name), 0.4) : seriesColour(name);
    };
    const count = values.filter((value) => value !== null).length;
    return {
      label,
      stroke,
      width: pointsOnly ? 0 : stack || faint ? 1 : 2,
      ...(pointsOnly ? { paths: () => null } : {}),
      ...(dash ? { dash: [6 * devicePixelRatio, 4 * devicePixelRatio] } : {}),
      ...(stack ? { fill: () => withAlpha(seriesColour(name), 0.75) } : {}),
      spanGaps: true,
      points: {
        show: !stack && (pointsOnly || (points ?? count <= MAX_POINTS)),
        size: pointsOnly ? 9 : 6,
        width: 1,
        stroke,
        fill: pointsOnly ? stroke : () => colour("card"),
      },
    };
  };

  /** Steps of an axis: 1, 2 or 5 of each power of ten, so that labels need no odd digits. */
  const STEPS = Array.from(
    { length: 30 },
    (_, power) => [1, 2, 5].map((digit) => Number(`${digit}e${power - 12}`)),
  ).flat();

  const axes = ({ x, y }) => {
    const common = {
      stroke: () => colour("ink-2"),
      font: FONT,
      labelFont: FONT,
      labelSize: 20,
      grid: { stroke: () => colour("grid"), width: 1 },
      ticks: { stroke: () => colour("grid"), width: 1, size: 5 },
    };
    const whole = x.format === "integer" || x.format === undefined;
    return [
      {
        ...common,
        label: x.label,
        space: 56,
        grid: { show: false },
        size: 26,
        incrs: whole ? STEPS.filter((step) => step >= 1) : STEPS,
        values: (_plot, values, _axis, _space, step) =>
          axisTexts(x.format ?? "integer", values, step),
      },
      {
        ...common,
        label: y.label,
        gap: 6,
        incrs: STEPS,
        size: (_plot, values) => {
          const longest = Math.max(3, ...(values ?? []).map((text) => text.length));
          return longest * 7 + 16;
        },
        values: (_plot, values, _axis, _space, step) => axisTexts(y.format, values, step),
      },
    ];
  };

  /** Vertical lines with their names, and rings. */
  const drawMarks = (spec, plot, plotted) => {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    for (const { x, label, series } of spec.marks ?? []) {
      const { min, max } = plot.scales.x;
      if (!(x >= min && x <= max)) continue;
      const at = plot.valToPos(x, "x", true);
      ctx.strokeStyle = ctx.fillStyle = colour("ink-2");
      ctx.lineWidth = ratio;
      ctx.setLineDash([4 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.font = `${12 * ratio}px system-ui, sans-serif`;
      ctx.textBaseline = "bottom";
      const width = ctx.measureText(label).width;
      const left = Math.max(bbox.left, Math.min(at - width / 2, bbox.left + bbox.width - width));
      ctx.textAlign = "left";
      ctx.fillText(label, left, bbox.top - 4 * ratio);
      const value = series === undefined ? null : plotted[series + 1]?.[plotted[0].indexOf(x)];
      if (value === null || value === undefined || !plot.series[series + 1].show) continue;
      ctx.strokeStyle = seriesColour(spec.series[series].colour);
      ctx.lineWidth = 2 * ratio;
      ctx.beginPath();
      ctx.arc(at, plot.valToPos(value, "y", true), 7 * ratio, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.restore();
  };

  /** A spec whose names are safe to show. */
  const withVisibleNames = (spec) => ({
    ...spec,
    series: spec.series.map((each) => ({ ...each, label: visible(each.label) })),
    ...(spec.marks
      ? { marks: spec.marks.map((mark) => ({ ...mark, label: visible(mark.label) })) }
      : {}),
  });

  class Chart {
    constructor(figure, spec) {
      this.figure = figure;
      this.host = figure.querySelector(".chart-plot");
      this.legend = figure.querySelector(".chart-legend");
      this.said = figure.querySelector("[data-chart-said]");
      this.table = figure.querySelector(".chart-table");
      this.tip = make("div", "chart-tip");
      this.abort = new AbortController();
      const { signal } = this.abort;
      this.host.addEventListener("keydown", (event) => this.onKey(event), { signal });
      this.host.addEventListener("blur", () => this.leave(), { signal });
      document.addEventListener("lockstep-theme", () => this.recolour(), { signal });
      this.table?.addEventListener("toggle", () => this.fillTable(), { signal });
      this.observer = new ResizeObserver(() => this.resize());
      this.observer.observe(this.host);
      this.build(spec);
    }

    build(spec) {
      this.plot?.destroy();
      this.spec = spec;
      this.shown = spec.series.map(() => true);
      this.raw = aligned(spec);
      this.empty = this.raw[0].length === 0;
      this.host.classList.toggle("empty", this.empty);
      this.makeLegend();
      const { height = HEIGHT } = spec;
      const options = {
        width: Math.max(120, this.host.clientWidth),
        height,
        padding: [spec.marks?.length ? 22 : 10, 14, 0, 0],
        legend: { show: false },
        scales: {
          x: { time: false, range: xRange },
          y: { range: yRange(spec), ...(spec.y.log ? { distr: 3 } : {}) },
        },
        axes: axes(spec),
        cursor: {
          y: false,
          points: { show: spec.kind === "line", size: 8 },
          drag: { x: true, y: false },
          ...(spec.sync ? { sync: { key: spec.sync, setSeries: false } } : {}),
        },
        series: [
          {},
          ...spec.series.map((each, index) => seriesOptions(spec, each, () => this.shown[index])),
        ],
        ...(spec.kind === "stack" ? { bands: bandsOf(spec) } : {}),
        hooks: {
          setCursor: [() => this.showTip()],
          draw: [(plot) => drawMarks(spec, plot, this.plotted())],
        },
      };
      this.plot = new uPlot(options, this.plotted(), this.host);
      this.plot.root.setAttribute("aria-hidden", "true");
      this.plot.over.append(this.tip);
      this.leave();
      this.fillTable();
    }

    /** The data that uPlot draws. */
    plotted() {
      return this.spec.kind === "stack" ? stacked(this.raw, this.shown) : this.raw;
    }

    update(given) {
      const spec = withVisibleNames(given);
      const same = (key) => JSON.stringify(spec[key]) === JSON.stringify(this.spec[key]);
      const names = ({ series }) => series.map(({ label, colour }) => `${label}|${colour}`).join();
      const sparse = (s) => s.series.map(({ values }) => values.length <= MAX_POINTS).join();
      if (
        spec.kind !== this.spec.kind || !same("y") || names(spec) !== names(this.spec) ||
        sparse(spec) !== sparse(this.spec) || !same("marks")
      ) {
        return this.build(spec);
      }
      this.spec = spec;
      this.raw = aligned(spec);
      this.empty = this.raw[0].length === 0;
      this.host.classList.toggle("empty", this.empty);
      this.plot.setData(this.plotted());
      this.fillTable();
    }

    destroy() {
      this.abort.abort();
      this.observer.disconnect();
      this.plot.destroy();
      this.legend.replaceChildren();
    }

    resize() {
      const width = this.host.clientWidth;
      const { height = HEIGHT } = this.spec;
      if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height });
    }

    recolour() {
      colours.clear();
      this.plot.redraw(true, true);
    }

    makeLegend() {
      this.legend.replaceChildren(...this.spec.series.map((series, index) => {
        const button = make("button", "legend-item");
        button.type = "button";
        button.setAttribute("aria-pressed", "true");
        const swatch = make("span", swatchOf(series));
        swatch.setAttribute("aria-hidden", "true");
        button.append(swatch, make("bdi", "", series.label));
        button.addEventListener("click", () => this.toggle(index, button));
        return button;
      }));
    }

    toggle(index, button) {
      this.shown[index] = !this.shown[index];
      button.setAttribute("aria-pressed", String(this.shown[index]));
      // A hidden layer has no height, but goes on being where the one above it ends.
      if (this.spec.kind === "stack") this.plot.setData(this.plotted());
      else this.plot.setSeries(index + 1, { show: this.shown[index] });
    }

    /** Name and value of each series that has one at a place. */
    valuesAt(index) {
      const write = FORMATS[this.spec.y.format];
      const values = this.spec.series.flatMap((series, layer) => {
        const value = this.raw[layer + 1][index];
        if (!this.shown[layer] || value === null || value === undefined) return [];
        return [{ label: series.label, swatch: swatchOf(series), text: write(value), value }];
      });
      if (this.spec.kind !== "stack" || values.length < 2) return values;
      const total = values.reduce((sum, { value }) => sum + value, 0);
      return [...values.reverse(), { label: "Total", swatch: "swatch", text: write(total) }];
    }

    /** The place in words: "Epoch 3". */
    placeOf(index) {
      const { label, format = "integer" } = this.spec.x;
      return `${label} ${FORMATS[format](this.raw[0][index])}`;
    }

    showTip() {
      const { idx, left } = this.plot.cursor;
      const isHidden = idx === null || idx === undefined || left < 0 || this.empty;
      this.tip.hidden = isHidden;
      if (isHidden) return;
      const rows = this.valuesAt(idx).map(({ label, swatch, text }) => {
        const row = make("div", "tip-row");
        row.append(
          make("span", swatch),
          make("bdi", "", label),
          make("strong", "", text),
        );
        return row;
      });
      this.tip.replaceChildren(make("div", "tip-place", this.placeOf(idx)), ...rows);
      const room = this.plot.over.clientWidth;
      const width = this.tip.offsetWidth;
      const right = left + 14 + width <= room;
      this.tip.style.left = `${right ? left + 14 : Math.max(0, left - 14 - width)}px`;
    }

    leave() {
      this.plot?.setCursor({ left: -10, top: -10 });
      this.tip.hidden = true;
    }

    onKey(event) {
      const last = this.raw[0].length - 1;
      const now = this.tip.hidden ? undefined : this.plot.cursor.idx;
      const moves = {
        ArrowRight: now === undefined ? 0 : Math.min(last, now + 1),
        ArrowLeft: now === undefined ? last : Math.max(0, now - 1),
        Home: 0,
        End: last,
      };
      if (event.key === "Escape") return this.leave();
      if (!Object.hasOwn(moves, event.key) || last < 0) return;
      event.preventDefault();
      const index = moves[event.key];
      this.plot.setCursor({
        left: this.plot.valToPos(this.raw[0][index], "x"),
        top: this.plot.over.clientHeight / 2,
      });
      const values = this.valuesAt(index).map(({ label, text }) => `${label} ${text}`);
      this.said.textContent = `${this.placeOf(index)}: ${values.join(", ")}`;
    }

    /** The values as a table, made when it is opened. */
    fillTable() {
      if (!this.table?.open) return;
      const { series, x, y } = this.spec;
      const [places] = this.raw;
      const every = Math.ceil(places.length / MAX_ROWS) || 1;
      const table = make("table");
      const head = table.createTHead().insertRow();
      for (const name of [x.label, ...series.map(({ label }) => label)]) {
        const cell = make("th", "", name);
        cell.scope = "col";
        head.append(cell);
      }
      const body = table.createTBody();
      for (let index = 0; index < places.length; index += every) {
        const row = body.insertRow();
        const place = make("th", "", FORMATS[x.format ?? "integer"](places[index]));
        place.scope = "row";
        row.append(place);
        for (let column = 1; column < this.raw.length; column++) {
          const value = this.raw[column][index];
          row.append(make("td", "", value === null ? "–" : FORMATS[y.format](value)));
        }
      }
      const caption = table.createCaption();
      caption.textContent = y.label + (every > 1 ? `, every ${every}th value` : "");
      this.table.querySelector(".scroll").replaceChildren(table);
    }
  }

  /** Each layer fills down to the one below it. */
  const bandsOf = ({ series }) =>
    series.slice(1).map((_, index) => ({ series: [index + 2, index + 1] }));

  /** Fills an element with the parts of a whole: [{ label, value, colour }], as stackedBar() of bars.ts does. */
  const bar = (host, parts, label) => {
    host.classList.add("bar", "flex");
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", visible(label));
    host.replaceChildren(
      ...parts.filter(({ value }) => value > 0).map((part) => {
        const element = make("div", `back-${part.colour}`);
        element.style.flexGrow = part.value;
        element.title = visible(part.label);
        return element;
      }),
    );
  };

  const mount = (figure, spec) => new Chart(figure, withVisibleNames(spec));

  const data = document.getElementById("charts");
  const specs = data ? JSON.parse(data.textContent) : {};
  const mounted = {};
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const spec = Object.hasOwn(specs, figure.dataset.chart)
      ? specs[figure.dataset.chart]
      : undefined;
    if (spec) mounted[figure.dataset.chart] = mount(figure, spec);
  }
  return { mount, mounted, bar, FORMATS };
})();
