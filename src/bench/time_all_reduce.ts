/**
 * One rank's part of `bench allreduce`: vectors whose sum is known, the calls, and copies to compare with.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { floatsOf } from "../base/float_range.ts";
import { hostOf } from "../engine/device_memory.ts";
import type { OpenExchange } from "../exchange/open_exchange.ts";
import { narrowingBound } from "../exchange/narrow.ts";
import type { GradientDtype } from "../protocol/messages.ts";
import type { AllReduceTimes, Benchmark } from "./benchmark.ts";
import type { RankInfo } from "../base/rank_info.ts";

/** Values before the pattern of a vector repeats: a prime, so that no chunk looks like the one before. */
const PERIOD = 8191;
/** Brings the pattern to what float16 holds for any number of ranks; a power of 2 keeps it exact in float32. */
const SCALE = 2 ** -13;
/** Float32 sums of exact values differ from the right mean by rounding alone. */
const TOLERANCE = 1e-5;
/** Copies are repeated for at least so many milliseconds. */
const COPY_MS = 100;
const MIN_COPIES = 5;

/** Calls of all-reduce of a benchmark: the last one is a barrier before the copies. */
export function allReduceCalls({ warmup, steps }: Pick<Benchmark, "warmup" | "steps">): number {
  return warmup + steps + 1;
}

/**
 * Times all-reduces of a synthetic vector, checks the last sum, and times copies of as many bytes.
 *
 * @throws {LockstepError} when the sum is wrong
 */
export async function timeAllReduce(
  { exchange, buffers, dtype }: OpenExchange & { readonly dtype: GradientDtype },
  { rank, worldSize }: RankInfo,
  { bytes, round, warmup, steps }: Extract<Benchmark, { kind: "allReduce" }>,
  onStep: (step: number) => void,
  signal?: AbortSignal,
): Promise<Omit<AllReduceTimes, "exchange" | "dtype">> {
  const vector = fillRankVector(hostOf(buffers.vector), rank);
  const sum = hostOf(buffers.reduced);
  const milliseconds: number[] = [];
  const reduce = async (step: number) => {
    onStep(step);
    const start = performance.now();
    await exchange.reduceScatter(
      { epoch: round, step, samples: 1, weight: 1, lossSum: 0, correct: 0 },
      signal,
    );
    await exchange.agree(0, signal);
    return performance.now() - start;
  };
  let maxError = NaN;
  for (let step = 0; step < warmup + steps; step++) {
    const elapsed = await reduce(step);
    if (step >= warmup) milliseconds.push(elapsed);
    if (step + 1 === warmup + steps) maxError = checkMean(sum, rank, worldSize, dtype);
  }
  const target = new Uint8Array(bytes);
  const copyTogether = timeCopies(vector, target);
  await reduce(warmup + steps);
  const alone = rank === 0 ? { copyAlone: timeCopies(vector, target) } : {};
  return { milliseconds, maxError, copyTogether, ...alone };
}

/** Writes what a rank brings: small numbers that float32 holds exactly, times the rank + 1. */
export function fillRankVector(vector: Uint8Array, rank: number): Uint8Array {
  const values = floatsOf(vector);
  for (let index = 0; index < values.length; index++) {
    values[index] = (rank + 1) * (1 + index % PERIOD) * SCALE;
  }
  return vector;
}

/**
 * Compares all values with the mean over the ranks of {@linkcode fillRankVector}.
 *
 * @param dtype In which the values travelled
 * @returns The greatest relative difference
 * @throws {LockstepError} naming the first value that is wrong
 */
export function checkMean(
  sum: Uint8Array,
  rank: number,
  worldSize: number,
  dtype: GradientDtype = "float32",
): number {
  const values = floatsOf(sum);
  const { length } = values;
  const tolerance = TOLERANCE + narrowingBound(dtype, 1);
  let maxError = 0;
  for (let index = 0; index < length; index++) {
    const right = (worldSize + 1) / 2 * (1 + index % PERIOD) * SCALE;
    const error = Math.abs(values[index] - right) / right;
    if (!(error <= tolerance)) {
      throw new LockstepError(
        `Rank ${rank} got a wrong sum: value ${index} of ${length} is ${
          values[index]
        }, not ${right}`,
      );
    }
    maxError = Math.max(maxError, error);
  }
  return maxError;
}

/** Milliseconds of a copy, waits for a core included: the mean over some time. */
export function timeCopies(source: Uint8Array, target: Uint8Array): number {
  target.set(source); // touches fresh memory
  const begin = performance.now();
  for (let copies = 1;; copies++) {
    target.set(source);
    const elapsed = performance.now() - begin;
    if (copies >= MIN_COPIES && elapsed >= COPY_MS) return elapsed / copies;
  }
}
