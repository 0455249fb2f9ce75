/**
 * The layout of a run over hosts: the number of the workers of each.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { counted } from "../base/format.ts";

/** The wishes for a layout. */
export interface LayoutWishes {
  /** Number of hosts; that of the coordinator is the first. */
  readonly count: number;
  /** Workers of each host, in order. */
  readonly workers?: readonly number[] | undefined;
}

/**
 * Checks that wishes can be fulfilled.
 *
 * @param total Workers of the run, where they are given
 * @throws {UsageError} when the wishes contradict each other, or there are fewer workers than hosts; with the remedy
 */
export function checkLayout({ count, workers }: LayoutWishes, total: number | undefined): void {
  if (!workers) {
    if (total !== undefined) requireWorkers(count, total);
    return;
  }
  const given = `[${workers.join(", ")}]`;
  const sum = sumOf(workers);
  if (sum === 0) {
    throw new UsageError(
      `hosts.workers is ${given}, so nobody computes: give some host at least one worker`,
    );
  }
  if (workers.length !== count) {
    throw new UsageError(
      `hosts.workers has ${
        counted(workers.length, "number")
      } (${given}), and hosts.count is ${count}: give each host's workers, the coordinator's first`,
    );
  }
  const empty = workers.findIndex((number, host) => host > 0 && number === 0);
  if (empty > 0) {
    throw new UsageError(
      `hosts.workers gives host ${empty} no workers: only host 0, the coordinator's, may have none; leave the other out, ` +
        "and lower hosts.count",
    );
  }
  if (total !== undefined && total !== sum) {
    throw new UsageError(
      `workers is ${total}, and hosts.workers has ${sum} together (${given}): leave one of them out`,
    );
  }
}

function requireWorkers(count: number, total: number): void {
  if (total >= count) return;
  throw new UsageError(
    `workers is ${total}, fewer than the ${count} hosts: give at least ${count}, or say by hosts.workers which hosts ` +
      `have any, such as [0, ${Array(count - 1).fill(1).join(", ")}]`,
  );
}

/**
 * Returns the number of the workers of each host: as they are given, or spread evenly, with one more on the first hosts
 * where that doesn't come out even.
 *
 * @param wishes As {@linkcode checkLayout} has let them pass
 * @param total Workers of the run, where their number on each host isn't given
 * @throws {UsageError} when there are fewer workers than hosts
 */
export function layoutOf({ count, workers }: LayoutWishes, total: number | undefined): number[] {
  if (workers) return [...workers];
  if (total === undefined) throw new TypeError("Neither the workers of each host nor their number");
  requireWorkers(count, total);
  return Array.from(
    { length: count },
    (_, host) => Math.floor(total / count) + (host < total % count ? 1 : 0),
  );
}

/** The number of all workers of a layout. */
export function sumOf(layout: readonly number[]): number {
  return layout.reduce((sum, count) => sum + count, 0);
}
