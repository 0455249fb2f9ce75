/**
 * The use of a folder of kept images by all threads and processes of a run, counted in memory that they share.
 *
 * @module
 */
import {
  createSharedSegment,
  mapSharedSegment,
  type SegmentPlace,
  type SharedSegment,
} from "../../base/shared_memory.ts";

const NAMES = ["failures", "hits", "misses", "written", "writtenBytes"] as const;

/** The name of a counter. */
type CounterName = (typeof NAMES)[number];

/** The use of a folder of kept images. */
export type DiskUse = Readonly<Record<CounterName, number>>;

/** The counters of a run. */
export class DiskCounters {
  readonly #numbers: BigInt64Array;

  /** @param path The place of memory from {@linkcode createCounters} */
  constructor({ path, bytes }: SegmentPlace) {
    this.#numbers = new BigInt64Array(mapSharedSegment(path, bytes).buffer, 0, NAMES.length);
  }

  add(name: CounterName, more = 1): void {
    Atomics.add(this.#numbers, NAMES.indexOf(name), BigInt(more));
  }

  /** Counts a failure; tells whether it is the first one of the run. */
  isFirstFailure(): boolean {
    return Atomics.add(this.#numbers, NAMES.indexOf("failures"), 1n) === 0n;
  }

  /** The counts so far. */
  get use(): DiskUse {
    const counts = NAMES.map((name, at) => [name, Number(Atomics.load(this.#numbers, at))]);
    return Object.fromEntries(counts) as DiskUse;
  }
}

/**
 * Makes the memory of counters.
 *
 * @throws {LockstepError} when there is no memory
 */
export function createCounters(): SharedSegment {
  return createSharedSegment("lockstep-disk", NAMES.length * 8);
}
