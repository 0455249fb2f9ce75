/**
 * The report of a run: `report.html`, one file that holds everything it shows.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomically } from "../base/paths.ts";
import type { History } from "../records/history.ts";
import { classesSection } from "./classes_section.ts";
import { confusionSection } from "./confusion_section.ts";
import { curvesSection } from "./curves_section.ts";
import { filesSection } from "./files_section.ts";
import { reportHeader, runTitle } from "./header.ts";
import { incidentsSection } from "./incidents_section.ts";
import { renderReportPage } from "./layout.ts";
import { logSection } from "./log_section.ts";
import { picturesSection } from "./pictures_section.ts";
import { readRunFiles, type RunFiles } from "./run_files.ts";
import { runStatus } from "./run_status.ts";
import type { Section } from "./section.ts";
import { configSection, environmentSection } from "./settings_section.ts";
import { throughputSection } from "./throughput_section.ts";
import { warningsSection } from "./warnings_section.ts";
import { formatPercent } from "../base/format.ts";

/** Name of the report in a run folder. */
export const REPORT_FILE = "report.html";

/** The facts that a writer of reports may know better than the files. */
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
  const status = runStatus(files.events, files.lives);
  const { history } = files;
  const sections = [
    history && curvesSection(history),
    history && await confusionSection(history),
    history && classesSection(history),
    picturesSection(files),
    throughputSection(files),
    incidentsSection(files, status),
    warningsSection(files.events),
    logSection(files),
    configSection(files),
    environmentSection(files),
    filesSection(files),
  ].filter((section): section is Section => section !== undefined);
  const title = runTitle(files);
  const best = history && history.best.epoch > 0
    ? `, best ${formatPercent(history.best.accuracy)}`
    : "";
  return renderReportPage({
    title: `${title}${best} · Lockstep`,
    description: `Report of the training run ${files.name}: ${status.state}${best}`,
    header: reportHeader(files, status),
    sections,
    notes: files.notes,
    now,
  });
}
