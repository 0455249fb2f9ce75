/**
 * The single runs of a comparison, with links to their reports.
 *
 * @module
 */
import { MEMBER_COLUMNS, tableHead } from "../../web/table_head.ts";
import { html, type HtmlValue, relativeAddress } from "../../web/html.ts";
import { type ComparedRun, type Comparison, summarizeRun } from "../comparison.ts";
import { costOf, incidentsOfRecords } from "../../records/incidents.ts";
import { formatDuration, formatPercent, groupedCount } from "../../base/format.ts";
import { REPORT_FILE } from "../../report/report.ts";
import type { Section } from "../../report/section.ts";
import { variantName } from "./looks.ts";

const STATES: Record<ComparedRun["status"], { text: string; look: string }> = {
  finished: { text: "finished", look: "good" },
  running: { text: "running", look: "" },
  waiting: { text: "waiting", look: "" },
  interrupted: { text: "interrupted", look: "warn" },
  failed: { text: "failed", look: "bad" },
};

/** The number of recoveries from lost workers, which are part of the run's time, and their cost. */
function recoveryNote({ recoveries = [] }: ComparedRun): HtmlValue {
  if (recoveries.length === 0) return undefined;
  const { seconds } = costOf(incidentsOfRecords(recoveries));
  const text = `${groupedCount(recoveries.length, "recovery", "recoveries")}, ${
    formatDuration(seconds)
  } in all`;
  return html`<div class="note">${text}</div>`;
}

/** A row for each run. */
export function runsSection(
  { variants }: Comparison,
  { reports }: { readonly reports: ReadonlySet<string> },
): Section {
  const rows = variants.flatMap(({ label, config, runs }, index) =>
    runs.map((run) => {
      const { seed, folder, status, message, epochs } = run;
      const { bestAccuracy, bestEpoch, seconds } = summarizeRun(run);
      const { text, look } = STATES[status];
      const measured = Number.isFinite(bestAccuracy);
      return html`
        <tr>
          <th scope="row">${variantName(label, index)}</th>
          <td class="number">${seed}</td>
          <td><span class="${`badge ${look}`}">${text}</span>${message &&
            html`<div class="note name message">${message}</div>`}${recoveryNote(run)}</td>
          <td class="number" data-value="${epochs.length}">${epochs.length} / ${config.train
            .epochs}</td>
          <td class="number" data-value="${measured ? bestAccuracy : ""}">${formatPercent(
            bestAccuracy,
          )}</td>
          <td class="number" data-value="${measured ? bestEpoch : ""}">${measured
            ? bestEpoch
            : "–"}</td>
          <td class="number" data-value="${seconds}">${seconds > 0
            ? formatDuration(seconds)
            : "–"}</td>
          <td>${reports.has(folder)
            ? html`<a class="name" href="${
              relativeAddress(`${folder}/${REPORT_FILE}`)
            }">${folder}</a>`
            : html`<span class="name">${folder}</span>`}</td>
        </tr>
      `;
    })
  );
  return {
    id: "runs",
    title: "Runs",
    note:
      "The links lead to the runs' own reports, where this page lies in the comparison's folder.",
    body: html`
      <div class="card scroll" tabindex="0" role="region" aria-label="Runs">
        <table class="wide" data-sortable>
          ${tableHead(...MEMBER_COLUMNS, "Report")}
          <tbody>${rows}</tbody>
        </table>
      </div>
    `,
  };
}
