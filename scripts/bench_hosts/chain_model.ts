/**
 * The least time in which a sum goes through a chain of hosts and back, and that of a ring of ranks.
 *
 * @module
 */
import { partFloats } from "../../src/exchange/shard_sum.ts";

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** A sum over several hosts, whose cables carry so many bytes per second in each direction. */
export interface ChainShape {
  readonly hosts: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/**
 * Returns the milliseconds of a pipelined chain. Two hosts send the vector once each, at the same time. A host in the
 * middle sends it twice: the sum so far to the next host, and the whole sum to the one before. The first part passes
 * all other cables before and after that.
 */
export function chainMilliseconds({ hosts, bytes, bytesPerSecond }: ChainShape): number {
  if (hosts === 1) return 0;
  const passes = hosts === 2 ? 1 : 2;
  const fill = (2 * hosts - 3) * Math.min(FLOAT_BYTES * partFloats(bytes / FLOAT_BYTES), bytes);
  return 1000 * (passes * bytes + fill) / bytesPerSecond;
}

/** Returns the milliseconds of a ring of all ranks, which is what gloo has, without its latencies. */
export function ringMilliseconds(
  { ranks, bytes, bytesPerSecond }: Omit<ChainShape, "hosts"> & { readonly ranks: number },
): number {
  return 1000 * 2 * (ranks - 1) / ranks * bytes / bytesPerSecond;
}
