/**
 * The workers that a run has lost, how it went on each time, and what that cost.
 *
 * @module
 */
import { formatDuration, formatPercent, groupedCount, groupThousands } from "../base/format.ts";
import {
  costOf,
  type Incident,
  type IncidentRecovery,
  Incidents,
  incidentsOfRecords,
  type IncidentWorker,
  workerTexts,
} from "../records/incidents.ts";
import { type Html, html, type HtmlValue } from "../web/html.ts";
import { moment } from "../web/moment.ts";
import { INCIDENT_COLUMNS, INCIDENTS_TITLE, tableHead } from "../web/table_head.ts";
import type { RunFiles } from "./run_files.ts";
import type { RunStatus } from "./run_status.ts";
import type { Section } from "./section.ts";

/** Incidents that the table shows, the last ones. */
const MAX_INCIDENTS = 200;
/** Workers of an incident that it names. */
const MAX_WORKERS = 8;

/** The id of the section. */
export const INCIDENTS = "incidents";

/** The incidents of a run by its events, or by its history where those are lost. */
export function incidentsOf(
  { events, history }: Pick<RunFiles, "events" | "history">,
): readonly Incident[] {
  const incidents = new Incidents();
  events.forEach((event) => incidents.take(event));
  return incidents.all.length > 0 ? incidents.all : incidentsOfRecords(history?.recoveries ?? []);
}

/** The lost workers; no section where none was lost. */
export function incidentsSection(files: RunFiles, status: RunStatus): Section | undefined {
  const incidents = incidentsOf(files);
  if (incidents.length === 0) return undefined;
  const hidden = Math.max(0, incidents.length - MAX_INCIDENTS);
  const rows = incidents.slice(hidden).map((incident, index) =>
    incidentRow(incident, isEnd(status, hidden + index === incidents.length - 1))
  );
  return {
    id: INCIDENTS,
    title: INCIDENTS_TITLE,
    note: costNote(incidents, status),
    body: html`
      <div class="card">
        <div class="scroll" tabindex="0" role="region" aria-label="${INCIDENTS_TITLE}">
          <table class="wide">
            ${tableHead(...INCIDENT_COLUMNS)}
            <tbody>${rows}</tbody>
          </table>
        </div>
        ${hidden > 0 && html`
          <p class="note">and ${groupThousands(hidden)} before, in <code>events.jsonl</code></p>
        `}
      </div>
    `,
  };
}

/** Sums up what the incidents cost. */
function costNote(incidents: readonly Incident[], { seconds: whole }: RunStatus): string {
  const { recoveries, seconds } = costOf(incidents);
  if (recoveries === 0) return "The run didn't recover.";
  const share = whole > 0 ? `, ${formatPercent(seconds / whole)} of the run's time` : "";
  return `${groupedCount(recoveries, "recovery", "recoveries")} took ${
    formatDuration(seconds)
  } in all${share}.`;
}

/** Tells whether an incident without a recovery ended the run: only the last one, of a run that goes on no more. */
function isEnd({ state }: RunStatus, isLast: boolean): boolean {
  return !isLast || state !== "running";
}

function incidentRow(
  { time, epoch, step, during, workers, exchangeFailure, recovery }: Incident,
  isEnd: boolean,
): Html {
  const place = `epoch ${epoch}, step ${step}${during ? ` (${during})` : ""}`;
  const went = recovery
    ? outcome(recovery, workers.length)
    : isEnd
    ? "the session ended"
    : "recovering";
  return html`
    <tr>
      <td class="moment">${moment(time)}<p class="note">${place}</p></td>
      <td class="lost">${lostWorkers(workers, exchangeFailure)}</td>
      <td>${went}</td>
      <td class="number">${recovery?.workers ?? "–"}</td>
      <td class="number">${recovery ? formatDuration(recovery.seconds) : "–"}</td>
    </tr>
  `;
}

function lostWorkers(
  workers: readonly IncidentWorker[],
  exchangeFailure: string | undefined,
): HtmlValue {
  if (workers.length === 0) {
    return html`
      <p>none: the exchange between the ranks failed</p>
      <p class="note name reason">${exchangeFailure}</p>
    `;
  }
  const more = workers.length - MAX_WORKERS;
  return [
    ...workers.slice(0, MAX_WORKERS).map(workerText),
    more > 0 && html`<p>and ${groupedCount(more, "worker")} more</p>`,
  ];
}

function workerText(worker: IncidentWorker): Html {
  const { sentence, place } = workerTexts(worker);
  return html`<p class="name reason">${sentence}</p>${
    place !== "" && html`<p class="note name">${place}</p>`
  }`;
}

/** Says in which way the run went on. */
function outcome({ policy, epoch, step }: IncidentRecovery, lost: number): HtmlValue {
  const place = `epoch ${epoch}, step ${step}`;
  if (lost === 0) return `connected anew, from ${place}`;
  switch (policy) {
    case "restart":
      return `started again, from ${place}`;
    case "shrink":
      return `without them, from ${place}`;
    case "checkpoint":
      return `all started again, back at ${place}`;
  }
}
