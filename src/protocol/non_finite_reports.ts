/**
 * Reports of ranks about a step whose loss or gradients are not finite: where the first such value came up.
 *
 * A report is sent once. It makes a message better, and nothing waits for it for long.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import { Pending } from "../base/pending.ts";
import type { Json } from "./large_json.ts";
import type { Incoming, Link } from "./link.ts";

/** Reports that the coordinator keeps until it is asked for them. */
const MAX_KEPT = 32;

/** Sends the report of a rank. */
export function sendNonFiniteReport(
  link: Pick<Link, "subjects" | "publish">,
  rank: number,
  { epoch, step }: StepKey,
  report: Json,
): void {
  link.publish(link.subjects.skipped(rank), "nonFinite", { rank, epoch, step, report });
}

/** Options of a wait for a report. */
export interface ReportWait {
  readonly ms: number;
  readonly signal?: AbortSignal | undefined;
}

/** The coordinator's end: the reports that have come, or will. */
export class NonFiniteReports {
  readonly #reports = new Map<string, Pending<Json | undefined>>();

  /** Takes a report. */
  note({ header: { rank, epoch, step, report } }: Incoming<"nonFinite">): void {
    this.#of(rank, { epoch, step }).finish(report);
    const [oldest] = this.#reports.keys();
    if (this.#reports.size > MAX_KEPT) this.#reports.delete(oldest!);
  }

  /**
   * Waits for the report of a rank.
   *
   * @returns Nothing where none comes in time, or before the signal fires
   */
  async wait(rank: number, key: StepKey, { ms, signal }: ReportWait): Promise<Json | undefined> {
    const makeError = () => new Error("No report came");
    const report = this.#of(rank, key);
    try {
      return await report.result({ signal, timeout: { ms, makeError } });
    } catch {
      return undefined; // the message that it belongs to does without
    } finally {
      this.#reports.delete(nameOf(rank, key));
    }
  }

  #of(rank: number, key: StepKey): Pending<Json | undefined> {
    return this.#reports.getOrInsertComputed(nameOf(rank, key), () => new Pending());
  }
}

function nameOf(rank: number, { epoch, step }: StepKey): string {
  return `${epoch}/${step}/${rank}`;
}
