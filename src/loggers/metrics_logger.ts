/**
 * The logger that each run has: `metrics.jsonl` and `metrics.csv`.
 *
 * @module
 */
import { MetricsLog } from "../records/metrics_log.ts";
import type { LoggerStart, RunLogger } from "./logger.ts";

/** Opens `metrics.jsonl` and `metrics.csv`; points that a resumed run makes again are taken back. */
export async function openMetricsLogger(
  { folder, step, stepsPerEpoch }: LoggerStart,
): Promise<RunLogger> {
  const epoch = Math.floor(step / stepsPerEpoch) + 1;
  const log = await MetricsLog.open(folder, { epoch, step: step - (epoch - 1) * stepsPerEpoch });
  return { metrics: (point) => log.append(point), close: () => log.close() };
}
