/**
 * The head of the report: what the run was, how it ended, and its figures.
 *
 * @module
 */
import { countNames } from "../base/compute_device.ts";
import { foreignName, type Html, html, type HtmlValue } from "../web/html.ts";
import { themeToggle } from "../web/page.ts";
import {
  formatDuration,
  formatLoss,
  formatPercent,
  formatRate,
  groupedCount,
  groupThousands,
} from "../base/format.ts";
import { moment } from "../web/moment.ts";
import { quantile } from "../base/statistics.ts";
import { costOf, type Incident } from "../records/incidents.ts";
import { INCIDENTS, incidentsOf } from "./incidents_section.ts";
import { isTree, type RunFiles } from "./run_files.ts";
import { type ReportedState, resumeCommand, type RunStatus } from "./run_status.ts";
import { usualPoints } from "./step_times.ts";
import { skippedOf, warningsOf } from "./warnings_section.ts";

/** The looks of states. */
export const BADGES: Record<ReportedState, { text: string; look: string; sign: string }> = {
  finished: { text: "finished", look: "good", sign: "✓" },
  interrupted: { text: "interrupted", look: "warn", sign: "‖" },
  failed: { text: "failed", look: "bad", sign: "✗" },
  running: { text: "not finished", look: "", sign: "…" },
  lost: { text: "lost", look: "warn", sign: "!" },
  unknown: { text: "no events", look: "", sign: "?" },
};

/** The run's own name, else its folder's. */
export function runTitle({ config, name }: RunFiles): string {
  return typeof config?.name === "string" ? config.name : name;
}

/** Name, state, and the most important figures. */
export function reportHeader(files: RunFiles, status: RunStatus): Html {
  const { text, look, sign } = BADGES[status.state];
  return html`<header class="head">
    <div class="title">
      <h1>${foreignName(runTitle(files))}</h1>
      <span class="${`badge ${look}`}"><span aria-hidden="true">${sign}</span> ${text}</span>
      <span class="spacer"></span>${themeToggle()}
    </div>
    <p class="note">${foreignName(files.name)}${
    status.started && html`, begun ${moment(status.started)}`
  }${status.sessions > 1 && `, in ${groupedCount(status.sessions, "session")}`}</p>
    <dl class="tiles">${tiles(files, status)}</dl>
    ${callouts(files, status)}
  </header>`;
}

function tiles(files: RunFiles, status: RunStatus): Html[] {
  const { history, config, environment } = files;
  const best = history?.best;
  const epochs = history?.epochs ?? [];
  const planned = isTree(config?.train) ? config.train.epochs : undefined;
  const model = isTree(config?.model) ? config.model : {};
  const last = epochs[epochs.length - 1];
  const workers = history?.workers ?? config?.workers;
  const device = Array.isArray(environment?.devices)
    ? countNames(environment.devices.map(String))
    : undefined;
  return [
    tile(
      "Best accuracy",
      best && best.epoch > 0 ? formatPercent(best.accuracy) : "–",
      best && best.epoch > 0 ? `validation, epoch ${best.epoch}` : "no epoch was finished",
    ),
    tile(
      "Epochs",
      typeof planned === "number" ? `${epochs.length} / ${planned}` : String(epochs.length),
      last && `validation loss ${formatLoss(last.validation.loss)}`,
    ),
    tile("Throughput", rate(files), "median, all workers"),
    tile(
      "Duration",
      formatDuration(status.seconds),
      last && `${formatDuration(last.seconds)} per epoch`,
    ),
    tile(
      "Model",
      typeof model.name === "string"
        ? html`<span class="text">${foreignName(model.name)}</span>`
        : "–",
      [
        typeof model.weights === "string" ? `weights: ${model.weights}` : "",
        model.featureExtract === true ? "last layer learns" : "",
      ].filter(Boolean).join(", "),
    ),
    tile(
      "Workers",
      String(workers ?? "–"),
      [device, ofEach(environment?.threadsPerWorker), ofChoice(config?.exchange)]
        .filter(Boolean).join(", "),
    ),
    ...(best?.classes ? [dataTile(files)] : []),
  ];
}

function ofEach(threads: unknown): string | undefined {
  return typeof threads === "number" ? `${groupedCount(threads, "thread")} each` : undefined;
}

/** The exchange that the recipe asks for, where it asks for one. */
function ofChoice(exchange: unknown): string | undefined {
  return typeof exchange === "string" && exchange !== "auto" ? `exchange: ${exchange}` : undefined;
}

function dataTile({ history }: RunFiles): Html {
  const { epochs = [], best } = history!;
  const count = epochs[epochs.length - 1]?.validation.count;
  return tile(
    "Classes",
    groupThousands(best.classes!.length),
    count === undefined ? undefined : `${groupedCount(count, "validation image")}`,
  );
}

/** A figure with its name, and what it is of. */
export function tile(name: string, value: HtmlValue, detail?: HtmlValue): Html {
  return html`<div class="tile"><dt>${name}</dt><dd>${value}</dd>${
    detail && html`<dd class="detail">${detail}</dd>`
  }</div>`;
}

/** Images per second in the middle of all points, or of all epochs. */
function rate({ metrics, history }: RunFiles): string {
  const rates = (metrics.length > 0 ? usualPoints(metrics) : history?.epochs ?? [])
    .map(({ imagesPerSecond }) => imagesPerSecond).filter((value) => value > 0);
  return rates.length > 0 ? formatRate(quantile(rates, 0.5)) : "–";
}

/** The facts that a reader should know before the figures: the run's end, and what went wrong. */
function callouts(files: RunFiles, { state, message, last }: RunStatus): HtmlValue[] {
  const resume = html`<pre>${resumeCommand(files.folder)}</pre>`;
  const warnings = warningsOf(files.events).length;
  const skipped = skippedOf(files.events).length;
  const epochs = files.history?.epochs ?? [];
  const steps = epochs.reduce((sum, { skippedSteps = 0 }) => sum + skippedSteps, 0);
  const nonFinite = epochs.reduce((sum, { nonFiniteSteps = 0 }) => sum + nonFiniteSteps, 0);
  const findings = [
    ...(warnings > 0 ? [groupedCount(warnings, "warning")] : []),
    ...(skipped > 0 ? [`${groupedCount(skipped, "image")} left out`] : []),
    ...(steps > 0
      ? [`${groupedCount(steps, "step")} skipped, whose float16 gradients overflowed`]
      : []),
    ...(nonFinite > 0
      ? [`${groupedCount(nonFinite, "step")} skipped, whose loss or gradients were not finite`]
      : []),
  ].join(", ");
  return [
    state === "failed" &&
    html`<div class="callout bad" role="note"><p><strong>The run failed:</strong>
      <span class="name message">${message}</span></p>
      <p>When the cause is mended, go on from the last checkpoint:</p>${resume}</div>`,
    state === "interrupted" && html`<div class="callout warn" role="note"><p><strong>The run was
      interrupted.</strong> ${
      message && html`<span class="name">${message}.</span>`
    } Go on with:</p>${resume}</div>`,
    state === "running" && html`
      <div class="callout" role="note">
        <p><strong>The run hadn't ended</strong>
            when this page was written${lastEvent(last)}.</p>
      </div>
    `,
    state === "lost" &&
    html`<div class="callout warn" role="note"><p><strong>The run was lost without an error:</strong>
      it was killed, or its machine went off${lastEvent(last)}. Go on with:</p>${resume}</div>`,
    findings !== "" && html`
      <div class="callout warn" role="note">
        <p>${findings}: see
            <a href="#warnings">Warnings</a>.</p>
      </div>
    `,
    lossCallout(incidentsOf(files)),
  ];
}

/** Says that workers were lost, if any were, and what that cost. */
function lossCallout(incidents: readonly Incident[]): HtmlValue {
  if (incidents.length === 0) return undefined;
  const workers = incidents.reduce((sum, { workers }) => sum + workers.length, 0);
  const { recoveries, seconds } = costOf(incidents);
  const cost = recoveries === 0
    ? "the run didn't recover"
    : `${groupedCount(recoveries, "recovery", "recoveries")} took ${formatDuration(seconds)}`;
  return html`
    <div class="callout warn" role="note">
      <p>${groupedCount(workers, "worker")} lost, ${cost}: see
        <a href="${`#${INCIDENTS}`}">Lost workers and recoveries</a>.</p>
    </div>
  `;
}

function lastEvent(time: string | undefined): HtmlValue {
  return time && html`; its last event was at ${moment(time)}`;
}
