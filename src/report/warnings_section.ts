/**
 * The warnings of a run: what went wrong without ending it.
 *
 * @module
 */
import type { LoggedEvent } from "../records/event_log.ts";
import { tableHead } from "../web/table_head.ts";
import { foreignName, type Html, html } from "../web/html.ts";
import type { Section } from "./section.ts";
import { groupedCount, groupThousands } from "../base/format.ts";
import { moment } from "../web/moment.ts";

/** Lines that are shown of each kind. */
const MAX_LINES = 200;

/** A warning, and how often it came. */
export interface Warning {
  readonly message: string;
  /** ISO 8601, of the first. */
  readonly time: string;
  readonly count: number;
}

/** An image that was left out. */
export interface SkippedImage {
  readonly path: string;
  readonly reason: string;
}

/** The run's warnings, equal ones together. */
export function warningsOf(events: readonly LoggedEvent[]): Warning[] {
  const warnings = new Map<string, Warning>();
  for (const { type, time, message } of events) {
    if (type !== "warning" || typeof message !== "string") continue;
    const { count, time: first } = warnings.get(message) ?? { count: 0, time };
    warnings.set(message, { message, time: first, count: count + 1 });
  }
  return [...warnings.values()];
}

/** The images that couldn't be read, each once. */
export function skippedOf(events: readonly LoggedEvent[]): SkippedImage[] {
  const skipped = new Map<string, SkippedImage>();
  for (const { type, path, reason } of events) {
    if (type === "skipped" && typeof path === "string") {
      skipped.set(path, { path, reason: String(reason) });
    }
  }
  return [...skipped.values()];
}

/** The warnings; says so where there are none. */
export function warningsSection(events: readonly LoggedEvent[]): Section {
  const warnings = warningsOf(events);
  const skipped = skippedOf(events);
  return {
    id: "warnings",
    title: "Warnings",
    body: html`${
      warnings.length === 0 && skipped.length === 0
        ? html`<p class="card">None.</p>`
        : warnings.length > 0 && warningTable(warnings)
    }${skipped.length > 0 && skippedTable(skipped)}`,
  };
}

function warningTable(warnings: readonly Warning[]): Html {
  const rows = warnings.slice(0, MAX_LINES).map(({ message, time, count }) =>
    html`
      <tr>
        <td class="when">${moment(time)}</td>
        <td class="name">${message}</td>
        <td class="number">${count > 1 && `${groupThousands(count)}×`}</td>
      </tr>
    `
  );
  return html`<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="Warnings of the run">
    <table class="wide">${
    tableHead("First", "Warning", { number: "Times" })
  }<tbody>${rows}</tbody></table></div>
    ${leftOut(warnings.length)}</div>`;
}

function skippedTable(skipped: readonly SkippedImage[]): Html {
  const rows = skipped.slice(0, MAX_LINES).map(({ path, reason }) =>
    html`
      <tr>
        <td>${foreignName(path)}</td>
        <td class="name">${reason}</td>
      </tr>
    `
  );
  return html`<div class="card"><h3>${groupedCount(skipped.length, "image")} left out</h3>
    <p class="note">They couldn't be read; <code>data.onError</code> is <code>skip</code>.</p>
    <div class="scroll tall" tabindex="0" role="region" aria-label="Images left out">
    <table class="wide">${tableHead("Image", "Reason")}
    <tbody>${rows}</tbody></table></div>${leftOut(skipped.length)}</div>`;
}

function leftOut(count: number): Html | undefined {
  if (count <= MAX_LINES) return undefined;
  return html`<p class="note">and ${
    groupThousands(count - MAX_LINES)
  } more, in <code>events.jsonl</code></p>`;
}
