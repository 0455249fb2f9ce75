/**
 * The report of a comparison: `report.html` in its folder, one file that holds everything it shows.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { exists, writeFileAtomically } from "../../base/paths.ts";
import { type Comparison, COMPARISON_FILE } from "../comparison.ts";
import { filesSection } from "../../report/files_section.ts";
import { renderReportPage } from "../../report/layout.ts";
import { REPORT_FILE } from "../../report/report.ts";
import type { RunFile } from "../../report/run_files.ts";
import type { Section } from "../../report/section.ts";
import { curvesSection } from "./curves_section.ts";
import { comparisonHeader, comparisonState } from "./header.ts";
import { pretrainedSection } from "./pretrained_section.ts";
import { resultsSection } from "./results_section.ts";
import { runsSection } from "./runs_section.ts";
import { differencesSection } from "./differences_section.ts";

/** The parts of the report besides the comparison itself. */
export interface ComparisonFiles {
  /** The comparison's folder, as it was named. */
  readonly folder: string;
  /** Folders of the runs that have a report of their own. */
  readonly reports: ReadonlySet<string>;
  /** Files beside the page. */
  readonly files: readonly RunFile[];
}

/** Files of a comparison that the report links to. */
const FILES = [COMPARISON_FILE, "comparison.csv", "comparison.png", "comparison.svg"];

/**
 * Writes the report of a comparison into its folder, replacing an older one as a whole.
 *
 * @returns Its path
 */
export async function writeComparisonReport(
  folder: string,
  comparison: Comparison,
): Promise<string> {
  const path = join(folder, REPORT_FILE);
  const reports = new Set<string>();
  for (const { runs } of comparison.variants) {
    for (const run of runs) {
      if (await exists(join(folder, run.folder, REPORT_FILE))) reports.add(run.folder);
    }
  }
  const files: RunFile[] = [];
  for (const name of FILES) {
    const { size: bytes } = await Deno.stat(join(folder, name)).catch(() => ({ size: undefined }));
    if (bytes !== undefined) files.push({ path: name, bytes });
  }
  const text = renderComparisonReport(comparison, { folder, reports, files });
  await writeFileAtomically(path, text);
  return path;
}

/** The report as an HTML document. */
export function renderComparisonReport(
  comparison: Comparison,
  files: ComparisonFiles,
  now: Date = new Date(),
): string {
  const sections = [
    resultsSection(comparison),
    curvesSection(comparison),
    pretrainedSection(comparison),
    differencesSection(comparison),
    runsSection(comparison, files),
    filesSection(files),
  ].filter((section): section is Section => section !== undefined);
  return renderReportPage({
    title: `${comparison.name}, compared · Lockstep`,
    description: `Comparison ${basename(resolve(files.folder))}: ${comparisonState(comparison)}`,
    header: comparisonHeader(comparison, files.folder),
    sections,
    notes: [],
    now,
  });
}
