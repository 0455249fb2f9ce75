/**
 * The lines and the table that the soak test prints.
 *
 * @module
 */
import { median } from "../../src/base/statistics.ts";
import { describeScenario, type Scenario } from "./scenario.ts";
import type { FaultResult, SoakResult } from "./soak_run.ts";

/** The line of one run. */
export function runLine(scenario: Scenario, { codes, faults, seconds }: SoakResult): string {
  const late = faults.filter(({ applied }) => !applied).length;
  const recoveries = faults.flatMap(({ recoveries }) => recoveries).length;
  const notes = [
    ...recoveries > 0 ? [`${recoveries} recovered`] : [],
    ...late > 0 ? [`${late} not reached`] : [],
  ];
  return `#${scenario.index} ${describeScenario(scenario)} | exit ${codes.join(" → ")} | ` +
    `${[...notes, `${seconds.toFixed(1)} s`].join(", ")} | ok`;
}

/** The columns of the table. */
const COLUMNS = [
  "fault",
  "runs",
  "reached",
  "went on",
  "resumed",
  "noticed after (s)",
  "recovery (s)",
  "all gone after (s)",
];

/** A Markdown table of all faults that were done, by kind. */
export function faultTable(results: readonly FaultResult[]): string[] {
  const kinds = [...new Set(results.map(({ kind }) => kind))].sort();
  const rows = kinds.map((kind) => {
    const all = results.filter((result) => result.kind === kind);
    const reached = all.filter(({ applied }) => applied);
    const wentOn = reached.filter(({ code }) => code === 0);
    return [
      kind,
      String(all.length),
      String(reached.length),
      String(wentOn.length),
      String(reached.length - wentOn.length),
      medianAndMax(reached.flatMap(({ noticed }) => noticed ?? [])),
      medianAndMax(reached.flatMap(({ recoveries }) => recoveries)),
      medianAndMax(reached.map(({ secondsToEnd }) => secondsToEnd)),
    ];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(COLUMNS), line(COLUMNS.map(() => "---")), ...rows.map(line)];
}

/** Median and largest of some seconds. */
function medianAndMax(values: readonly number[]): string {
  if (values.length === 0) return "–";
  return `${median(values).toFixed(1)}, at most ${Math.max(...values).toFixed(1)}`;
}
