/**
 * The report of a run: `report.html`, one file that holds everything it shows.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomically } from "../../base/paths.ts";
import { LOCKSTEP_VERSION } from "../../base/versions.ts";
import type { History } from "../../records/history.ts";
import { type Html, html } from "../../web/html.ts";
import { renderPage } from "../../web/page.ts";
import { classesSection } from "./classes_section.ts";
import { confusionSection } from "./confusion_section.ts";
import { curvesSection } from "./curves_section.ts";
import { filesSection } from "./files_section.ts";
import reportStyle from "./report.css" with { type: "text" };
import reportScript from "./report.js" with { type: "text" };
import { reportHeader, runTitle } from "./header.ts";
import { logSection } from "./log_section.ts";
import { picturesSection } from "./pictures_section.ts";
import { readRunFiles, type RunFiles } from "./run_files.ts";
import { runStatus } from "./run_status.ts";
import { type Section, sectionHtml } from "./section.ts";
import { configSection, environmentSection } from "./settings_section.ts";
import { throughputSection } from "./throughput_section.ts";
import { warningsSection } from "./warnings_section.ts";
import { moment, percent } from "./words.ts";

/** Name of the report in a run folder. */
export const REPORT_FILE = "report.html";

/** What a writer of reports may know better than the files. */
export interface ReportOptions {
  /** Of the run in progress. */
  readonly history?: History;
  /** For tests. */
  readonly now?: Date;
}

/**
 * Writes the report of a run into its folder, replacing an older one as a whole.
 *
 * @returns Its path
 */
export async function writeReport(folder: string, options: ReportOptions = {}): Promise<string> {
  const files = await readRunFiles(folder, options.history);
  const path = join(folder, REPORT_FILE);
  await writeFileAtomically(path, await renderReport(files, options.now));
  return path;
}

/** The report as an HTML document. */
export async function renderReport(files: RunFiles, now: Date = new Date()): Promise<string> {
  const status = runStatus(files.events);
  const { history } = files;
  const sections = [
    history && curvesSection(history),
    history && await confusionSection(history),
    history && classesSection(history),
    picturesSection(files),
    throughputSection(files.metrics),
    warningsSection(files.events),
    logSection(files),
    configSection(files),
    environmentSection(files),
    filesSection(files),
  ].filter((section): section is Section => section !== undefined);
  const title = runTitle(files);
  const best = history && history.best.epoch > 0 ? `, best ${percent(history.best.accuracy)}` : "";
  return renderPage({
    title: `${title}${best} · Lockstep`,
    description: `Report of the training run ${files.name}: ${status.state}${best}`,
    styles: [reportStyle],
    scripts: [reportScript],
    data: { charts: Object.assign({}, ...sections.map(({ charts }) => charts ?? {})) },
    body: html`<div class="layout">
      ${reportHeader(files, status)}
      <nav class="contents" aria-label="Contents"><ol>${
      sections.map(({ id, title }) => html`<li><a href="${`#${id}`}">${title}</a></li>`)
    }</ol></nav>
      <main id="main">${sections.map(sectionHtml)}</main>
      ${footer(files, now)}
    </div>`,
  });
}

function footer({ notes }: RunFiles, now: Date): Html {
  return html`<footer><p class="note">Written by Lockstep ${LOCKSTEP_VERSION} at ${
    moment(now.toISOString())
  }. Charts by uPlot, MIT licence.</p>${
    notes.length > 0 && html`
      <details>
        <summary>What this page lacks</summary>
        <ul class="note">${notes.map((note) => html`<li class="name">${note}</li>`)}</ul>
      </details>
    `
  }</footer>`;
}
