/**
 * The record of a recovery, out of its event.
 *
 * @module
 */
import type { RecoveryRecord } from "../records/recovery_record.ts";
import type { RunEvent } from "./run_events.ts";

/** Returns the record of a recovery at this moment. */
export function recoveryRecord(
  { epoch, step, policy, ranks, reasons, workers, seconds }: RunEvent & {
    readonly type: "recovery";
  },
): RecoveryRecord {
  const time = new Date().toISOString();
  return {
    ...{ time, epoch, step, policy, ranks: [...ranks], reasons: [...reasons], workers, seconds },
  };
}
