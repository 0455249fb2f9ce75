/**
 * The trial of NCCL before the first step: known vectors are summed and looked through. Some machines copy zeros between
 * cards, or nothing at all.
 *
 * @module
 */
import { itemAt } from "../base/item_at.ts";
import type { NcclWaitOptions } from "../engine/binding/nccl_communicator.ts";
import type { DeviceMemory } from "../engine/device_memory.ts";
import type { NcclSum } from "./nccl_sum.ts";
import type { SumWeights } from "./totals.ts";

/** The values repeat after as many: a prime, so that no part of a vector looks like another. */
const PERIOD = 1021;
const FLOAT_BYTES = 4;

/** The memory of a trial: the vector is changed, and the sum is what remains. */
export interface TriedMemory {
  readonly vector: DeviceMemory;
  readonly sum: DeviceMemory;
  readonly gradientFloats: number;
}

/** A rank's value at a place: small integers, whose sums are exact in every order. */
function valueAt(rank: number, at: number): number {
  return (31 * at + 7 * rank) % PERIOD - (PERIOD >> 1);
}

/** Powers of 2, which differ between ranks, and between gradients and statistics. */
function factorsOf(worldSize: number): SumWeights {
  const factors = Array.from({ length: worldSize }, (_, rank) => 2 ** -(rank % 4));
  return { gradients: factors, statistics: factors.toReversed() };
}

/**
 * Sums known values over all ranks, which call it together.
 *
 * @returns Nothing when the sum is right in every value, else the first wrong one, as a phrase
 * @throws {NcclError} when NCCL fails or takes longer than the time limit
 */
export async function trySum(
  sum: NcclSum,
  rank: number,
  worldSize: number,
  { vector, sum: target, gradientFloats }: TriedMemory,
  options: NcclWaitOptions,
): Promise<string | undefined> {
  const factors = factorsOf(worldSize);
  const values = new Float32Array(vector.byteLength / FLOAT_BYTES);
  const bytes = new Uint8Array(values.buffer);
  for (let at = 0; at < values.length; at++) values[at] = valueAt(rank, at);
  await vector.upload(bytes);
  await sum.finish(factors, options);
  await target.download(bytes);
  const expected = {
    gradients: expectedOf(factors.gradients),
    statistics: expectedOf(factors.statistics),
  };
  const wrong = values.findIndex((value, at) =>
    value !== expected[at < gradientFloats ? "gradients" : "statistics"][at % PERIOD]
  );
  if (wrong < 0) return undefined;
  const kind = wrong < gradientFloats ? "gradients" : "statistics";
  const own = itemAt(factors[kind], rank)! * valueAt(rank, wrong);
  return values[wrong] === own
    ? "the other cards' values arrive as zeros"
    : `value ${wrong} of ${values.length} is ${values[wrong]} instead of ${
      expected[kind][wrong % PERIOD]
    }`;
}

/** One period of the sum. */
function expectedOf(factors: readonly (number | null)[]): Float32Array {
  return Float32Array.from(
    { length: PERIOD },
    (_, at) => factors.reduce<number>((sum, factor, rank) => sum + factor! * valueAt(rank, at), 0),
  );
}
