/**
 * The logger that each run has: `metrics.jsonl` and `metrics.csv`.
 *
 * @module
 */
import { join } from "node:path";
import { METRICS_CSV, METRICS_FILE, MetricsLog } from "../records/metrics_log.ts";
import type { LoggerStart, RunLogger } from "./logger.ts";

/**
 * Opens `metrics.jsonl` and `metrics.csv`; points that a resumed run makes again are taken back.
 *
 * @param warn Called with what is lost when a resumed run's files have fewer points than its history
 */
export async function openMetricsLogger(
  { folder, step, stepsPerEpoch, resumed }: LoggerStart,
  warn: (line: string) => void,
): Promise<RunLogger> {
  const epoch = Math.floor(step / stepsPerEpoch) + 1;
  const log = await MetricsLog.open(folder, { epoch, step: step - (epoch - 1) * stepsPerEpoch });
  const { points, rows } = log.kept;
  const expected = resumed?.points ?? 0;
  if (points < expected) {
    warn(
      `${
        join(folder, METRICS_FILE)
      } has ${points} of the ${expected} points up to here: step times, throughput and ` +
        `memory before are missing in the report and the dashboard (${METRICS_CSV} has ${rows} of them; ` +
        "the losses are in history.json)",
    );
  }
  return { metrics: (point) => log.append(point), close: () => log.close() };
}
