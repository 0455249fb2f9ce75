/**
 * The speed of training, and the parts of a step's time.
 *
 * @module
 */
import { tableHead } from "../web/table_head.ts";
import type { MetricsPoint } from "../records/metrics_log.ts";
import { barLegend, type BarPart, stackedBar } from "../web/bars.ts";
import { chartFigure, type ChartSpec } from "../web/chart.ts";
import { type Html, html } from "../web/html.ts";
import {
  formatBytes,
  formatMilliseconds,
  formatPercent,
  formatRate,
  groupThousands,
} from "../base/format.ts";
import { chartValue, inWindows } from "../web/chart_values.ts";
import { mean, quantile } from "../base/statistics.ts";
import type { Incident } from "../records/incidents.ts";
import { incidentsOf } from "./incidents_section.ts";
import type { RunFiles } from "./run_files.ts";
import type { Section } from "./section.ts";
import {
  BREAKDOWN,
  epochSteps,
  meanStep,
  type RankSummary,
  rankTimes,
  stepNumbers,
  usualPoints,
} from "./step_times.ts";

/** Most points of a chart. */
const MAX_POINTS = 400;
/** Recoveries that a chart marks. */
const MAX_MARKS = 12;
/** Steps that take so many times the usual run off the top. */
const OUTLIER = 3;

/** Throughput and breakdown; nothing for runs that kept no metrics. */
export function throughputSection(
  { metrics, ...files }: Pick<RunFiles, "metrics" | "events" | "history">,
): Section | undefined {
  if (metrics.length === 0) return undefined;
  const ranks = rankTimes(metrics);
  const rates = usualPoints(metrics).map(({ imagesPerSecond }) => imagesPerSecond);
  const { rate, breakdown, cut } = throughputCharts(metrics, incidentsOf(files));
  const middle = formatRate(quantile(rates, 0.5));
  return {
    id: "throughput",
    title: "Throughput",
    note:
      "Means of all steps between two points of the log, over all workers. The first point, in which the " +
      "step is traced, counts in no mean where there are more.",
    charts: { rate, breakdown },
    body: html`${stepCard(metrics)}
      <div class="grid">${
      chartFigure({
        id: "rate",
        title: "Images per second",
        summary: `All workers together, a median of ${middle}.`,
      })
    }${
      chartFigure({
        id: "breakdown",
        title: "A step's time",
        summary: "The parts of a step laid on each other, in milliseconds.",
        note: cut && "The slowest steps run off the top; the table has them.",
      })
    }</div>
      ${ranks.length > 0 && ranksCard(ranks)}${gpusCard(metrics)}`,
  };
}

/** Marks the last recoveries, which explain where a run was slow. */
function recoveryMarks(incidents: readonly Incident[], metrics: readonly MetricsPoint[]) {
  const perEpoch = epochSteps(metrics);
  return incidents.flatMap(({ recovery }) => recovery ?? []).slice(-MAX_MARKS)
    .map(({ epoch, step }) => ({ x: (epoch - 1) * perEpoch + step, label: "recovery" }));
}

function throughputCharts(metrics: readonly MetricsPoint[], incidents: readonly Incident[]) {
  const marks = recoveryMarks(incidents, metrics);
  const windows = inWindows(metrics, MAX_POINTS);
  const steps = stepNumbers(windows.map((window) => window[window.length - 1]));
  const x = { label: "Step", values: steps, format: "integer" } as const;
  const totals = windows.map((window) => mean(window.map(({ ms }) => ms.total)));
  const usual = quantile(totals, 0.9);
  const cut = Math.max(...totals) > OUTLIER * usual;
  const rate: ChartSpec = {
    kind: "line",
    x,
    y: { label: "img/s", format: "rate", min: 0 },
    series: [{
      label: "all workers",
      values: windows.map((window) =>
        chartValue(mean(window.map(({ imagesPerSecond }) => imagesPerSecond)))
      ),
      colour: 1,
    }],
    ...(marks.length > 0 ? { marks } : {}),
    sync: "steps",
  };
  const breakdown: ChartSpec = {
    kind: "stack",
    x,
    y: { label: "ms", format: "ms", min: 0, ...(cut ? { max: 1.5 * usual } : {}) },
    series: BREAKDOWN.map(({ part, label, colour }) => ({
      label,
      values: windows.map((window) => chartValue(mean(window.map(({ ms }) => ms[part])))),
      colour,
    })),
    sync: "steps",
  };
  return { rate, breakdown, cut };
}

/** The mean step as one bar. */
function stepCard(metrics: readonly MetricsPoint[]): Html {
  const step = meanStep(metrics);
  const sum = BREAKDOWN.reduce((total, { part }) => total + step[part], 0) || 1;
  const parts = BREAKDOWN.map(({ part, label, colour }) => {
    const text = `${label} ${formatMilliseconds(step[part])} (${formatPercent(step[part] / sum)})`;
    return { label: text, value: step[part], colour };
  });
  return html`<div class="card stack"><h3>The mean step: ${formatMilliseconds(step.total)}</h3>
    ${stackedBar(parts, `The mean step: ${parts.map(({ label }) => label).join(", ")}`)}
    ${barLegend(parts)}</div>`;
}

const RANK_PARTS = BREAKDOWN.flatMap(({ part, label, brief, colour }) =>
  part === "idle" ? [] : [{ part, label, brief, colour }]
);

function ranksCard(ranks: readonly RankSummary[]): Html {
  const partsOf = ({ ms }: RankSummary): BarPart[] =>
    RANK_PARTS.map(({ part, label, colour }) => ({
      label: `${label} ${formatMilliseconds(ms[part])}`,
      value: ms[part],
      colour,
    }));
  const sumOf = (rank: RankSummary) => partsOf(rank).reduce((sum, { value }) => sum + value, 0);
  const most = Math.max(...ranks.map(sumOf));
  const rows = ranks.map((rank) =>
    html`<tr><th scope="row">${rank.rank}${
      rank.slow && html`
        <span class="badge warn">slow</span>
      `
    }</th><td class="number" data-value="${rank.samples}">${groupThousands(rank.samples)}</td>
      <td class="number" data-value="${rank.imagesPerSecond}">${
      formatRate(rank.imagesPerSecond)
    }</td>
      <td class="bar-column">${
      stackedBar(
        partsOf(rank),
        `Rank ${rank.rank}: ${partsOf(rank).map(({ label }) => label).join(", ")}`,
        most,
      )
    }</td>${
      RANK_PARTS.map(({ part }) =>
        html`<td class="number" data-value="${rank.ms[part]}">${
          formatMilliseconds(rank.ms[part])
        }</td>`
      )
    }<td class="number" data-value="${rank.mostResidentBytes ?? ""}">${
      rank.mostResidentBytes === undefined ? "–" : formatBytes(rank.mostResidentBytes)
    }</td></tr>`
  );
  return html`
    <div class="card">
      <h3>Workers</h3>
      <p
        class="note">Compute is forward and backward; a rank's exchange includes its wait for slower ones.</p>
      <div class="scroll" tabindex="0" role="region" aria-label="Workers">
        <table class="wide dense" data-sortable>
          <thead>
            <tr><th scope="col">Rank</th>
          <th scope="col" class="number">Images</th><th scope="col" class="number">img/s</th>
          <th scope="col" data-fixed class="bar-column">Step</th>${RANK_PARTS.map(({ brief }) =>
            html`<th scope="col" class="number">${brief}</th>`
          )}<th scope="col" class="number">most memory</th></tr>
          </thead>
          <tbody>${rows}</tbody>
        </table>
      </div>
    </div>
  `;
}

/** Returns the card of the machine's GPUs, where it has any. */
function gpusCard(metrics: readonly MetricsPoint[]): Html | undefined {
  const uses = metrics.flatMap(({ gpus = [] }) => gpus);
  const indices = [...new Set(uses.map(({ index }) => index))].sort((a, b) => a - b);
  if (indices.length === 0) return undefined;
  const rows = indices.map((index) => {
    const own = uses.filter((use) => use.index === index);
    const busy = own.flatMap(({ utilization }) => utilization ?? []);
    const memory = own.flatMap(({ memoryUsedBytes }) => memoryUsedBytes ?? []);
    const total = own.find(({ memoryTotalBytes }) => memoryTotalBytes)?.memoryTotalBytes;
    return html`
      <tr>
        <th scope="row">${index}</th>
        <td>${own[0].name}</td>
        <td class="number">${busy.length > 0 ? formatPercent(mean(busy)) : "–"}</td>
        <td class="number">${memory.length > 0
          ? formatBytes(Math.max(...memory))
          : "–"}${total !== undefined && ` of ${formatBytes(total)}`}</td>
      </tr>
    `;
  });
  return html`
    <div class="card">
      <h3>GPUs</h3>
      <div class="scroll" tabindex="0" role="region" aria-label="GPUs">
        <table class="wide">
          ${tableHead("GPU", "Name", { number: "Busy" }, { number: "Most memory" })}
          <tbody>${rows}</tbody>
        </table>
      </div>
    </div>
  `;
}
