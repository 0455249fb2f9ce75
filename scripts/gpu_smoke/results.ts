/**
 * The results of the checks as lines and as a table.
 *
 * @module
 */
import { counted } from "../../src/base/format.ts";
import { visible } from "../../src/base/visible_text.ts";
import type { SmokeDevice } from "./check.ts";
import type { CheckResult } from "./run_checks.ts";

/** Returns a result in a line: status, check, seconds, figure. */
export function resultLine({ status, name, seconds, figure }: CheckResult): string {
  const cells = [status.toUpperCase(), name.padEnd(12), `${seconds.toFixed(1).padStart(7)} s`];
  return `${cells.join("  ")}  ${visible(figure)}`;
}

/** Returns all results, one line each, under a heading. */
export function resultTable(results: readonly CheckResult[]): string[] {
  return [
    `${"".padEnd(4)}  ${"check".padEnd(12)}  ${"time".padStart(9)}  figure or reason`,
    ...results.map(resultLine),
  ];
}

/** Returns the verdict of a smoke test: good when nothing failed and something passed. */
export function verdict(
  results: readonly CheckResult[],
  device: SmokeDevice,
): { isGood: boolean; sentence: string } {
  const count = (status: CheckResult["status"]) =>
    results.filter((result) => result.status === status).length;
  const [passed, failed, skipped] = [count("pass"), count("fail"), count("skip")];
  const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  const isGood = failed === 0 && passed > 0;
  if (failed > 0) {
    const names = results.filter(({ status }) => status === "fail").map(({ name }) => name);
    return {
      isGood,
      sentence: `${counts}: ${counted(failed, "check")} failed: ${names.join(", ")}`,
    };
  }
  if (passed === 0) return { isGood, sentence: `${counts}: nothing was checked` };
  return {
    isGood,
    sentence: device === "cpu" ? `${counts} in a dry run: no GPU was checked` : counts,
  };
}
