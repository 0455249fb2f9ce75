/**
 * The lines about lost workers: which were lost, and how the run went on.
 *
 * @module
 */
import { counted, formatDuration } from "../base/format.ts";
import { listed } from "../base/listing.ts";
import type { LostWorker, RunEvent } from "../events/run_events.ts";

/** Reasons that a line gives: of workers that are lost together, they are mostly the same. */
const MAX_REASONS = 3;

/** Names lost workers with the reasons, in one line unless a reason has more. */
export function lossLine(workers: readonly Pick<LostWorker, "rank" | "reason">[]): string {
  const [first, second] = workers;
  if (first && !second) return `Lost a worker: ${first.reason}`;
  const reasons = workers.slice(0, MAX_REASONS).map(({ reason }) => reason);
  const separator = reasons.some((reason) => reason.includes("\n")) ? "\n" : "; ";
  const others = workers.slice(MAX_REASONS).map(({ rank }) => rank);
  return `Lost ${workers.length} workers: ` +
    [...reasons, ...(others.length > 0 ? [`${ranksText(others)} as well`] : [])].join(separator);
}

/** Says how a run goes on after a loss, and what that cost. */
export function recoveryLine(
  { policy, epoch, step, ranks, reasons, workers, restarts, seconds }: Omit<
    RunEvent & { readonly type: "recovery" },
    "type" | "generation"
  >,
): string {
  const took = `Recovered in ${formatDuration(seconds)}`;
  const place = `epoch ${epoch}, step ${step}`;
  if (ranks.length === 0) {
    const why = reasons.length > 0 ? ` (${reasons.join("; ")})` : "";
    return `${took} from a failed exchange${why}: the run goes on from ${place}`;
  }
  switch (policy) {
    case "shrink":
      return `${took}: the run goes on without ${ranksText(ranks)}, with ${
        counted(workers, "worker")
      }, from ${place}`;
    case "checkpoint": {
      const isStart = epoch === 1 && step === 0;
      const where = isStart ? "its start, before its first checkpoint" : "its last checkpoint";
      return `${took}: all workers were lost and started again; the run goes back to ${where}: ${place}`;
    }
    case "restart": {
      const before = restarts > ranks.length ? `, ${restarts} restarts within an hour` : "";
      const were = ranks.length === 1 ? "was" : "were";
      return `${took}: ${
        ranksText(ranks)
      } ${were} started again${before}; the run goes on from ${place}`;
    }
  }
}

/** Such as `rank 1` and `ranks 0, 3, 4`. */
function ranksText(ranks: readonly number[]): string {
  return `${ranks.length === 1 ? "rank" : "ranks"} ${listed(ranks.map(String))}`;
}
