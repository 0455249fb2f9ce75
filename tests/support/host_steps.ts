/**
 * Steps of ranks that are on several hosts, and of the same ranks on one host.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type FloatRange, floatsOf as viewOf } from "../../src/base/float_range.ts";
import type { WireFormat } from "../../src/exchange/chunks.ts";
import type { StepResult } from "../../src/exchange/gradient_exchange.ts";
import type { HostLink } from "../../src/exchange/host_link.ts";
import {
  type Bench,
  type BenchOptions,
  contribution,
  openBench,
  takeStep,
  type TestContribution,
} from "./exchange_bench.ts";
import { LocalBus } from "./local_link.ts";

/** Several parts that go from host to host, the last one short; the running statistics begin within one. */
export const FLOATS = 5 * 2 ** 18 + 101;
export const STATISTICS = 2 ** 18 - 333;

/** Opens the ranks of a host. */
export function openHost(
  worldSize: number,
  hosts?: readonly HostLink[],
  nccl?: BenchOptions["nccl"],
): Promise<Bench> {
  const bus = new LocalBus();
  const links = { open: () => Promise.resolve(bus.link()) };
  const wire: WireFormat = { dtype: "float32", gradientBytes: 4 * (FLOATS - STATISTICS) };
  const shape = { vectorBytes: 4 * FLOATS, wire, maxWholeBytes: 0, worldSize };
  return openBench(links, nccl ? "nccl" : "shared-memory", {
    ...shape,
    ...(hosts ? { hosts } : {}),
    ...(nccl ? { nccl } : {}),
  });
}

/** Has the ranks of all benches take a step together, host by host; returns the ranks' results. */
export async function stepOf(
  benches: readonly Bench[],
  own: readonly TestContribution[],
): Promise<(StepResult & { vector: Uint8Array })[]> {
  const [{ epoch, step }] = own;
  const ranks = benches.flatMap((bench) => bench.ranks);
  const totals = benches.map(({ reducer }) => reducer.reduce({ epoch, step }, () => "continue"));
  const results = await Promise.all(
    ranks.map((rank, index) => takeStep(rank, own[index], squaresOf)),
  );
  await Promise.all(totals);
  return results;
}

/** A number that depends on the ranges alone, as the squares in them do. */
function squaresOf(ranges: readonly FloatRange[]): number {
  return ranges.reduce((sum, { begin, end }) => sum + begin / 3 + end, 1);
}

/** Contributions of four ranks to some steps. */
export function steps(): TestContribution[][] {
  const uneven = [3, 5, 8, 2].map((samples, rank) => contribution(rank, 0, samples, FLOATS));
  // Ranks without samples at the start, in the middle, and all of a host.
  const lone = [0, 4, 0, 6].map((samples, rank) => contribution(rank, 1, samples, FLOATS));
  const late = [0, 0, 0, 6].map((samples, rank) => contribution(rank, 2, samples, FLOATS));
  const none = [0, 0, 0, 0].map((samples, rank) => contribution(rank, 3, samples, FLOATS));
  // Statistics that don't count, of a rank whose gradients do, and the other way round.
  const mixed = [1, 2, 3, 4].map((samples, rank) => ({
    ...contribution(rank, 4, samples, FLOATS),
    weight: rank === 2 ? 0 : samples,
    statisticsRows: rank < 2 ? 0 : samples,
  }));
  const zeros = [0, 2, 0, 2].map((samples, rank) => {
    const own = contribution(rank, 5, samples, FLOATS);
    viewOf(own.vector).fill(-0);
    return own;
  });
  return [uneven, lone, late, none, mixed, zeros];
}

/**
 * Has the ranks take all {@linkcode steps}, and sums of small vectors between them, on several hosts and on one.
 *
 * @param isSame Compares the sums; by their bits unless given
 */
export async function compareHosts(
  benches: readonly Bench[],
  one: Bench,
  isSame = (sum: Uint8Array, expected: Uint8Array) => Buffer.compare(sum, expected) === 0,
): Promise<void> {
  for (const own of steps()) {
    const expected = await stepOf([one], own);
    const results = await stepOf(benches, own);
    const [sum] = await smallSums([one]);
    for (const values of await smallSums(benches)) assert.deepEqual(values, sum);
    for (const [rank, { vector, squares, ...result }] of results.entries()) {
      const { vector: bits, squares: _, ...counted } = expected[rank];
      assert.deepEqual(result, counted, `the result of rank ${rank} in step ${own[0].step}`);
      // Where no step is taken, nobody looks at the sum.
      const counts = result.samples > 0;
      assert.ok(!counts || isSame(vector, bits), `rank ${rank}, step ${own[0].step}`);
      assert.equal(squares, results[0].squares, "the same squares on all ranks");
    }
  }
}

/** Has the ranks of all benches sum a small vector. */
function smallSums(benches: readonly Bench[]): Promise<Float64Array[]> {
  return Promise.all(
    benches.flatMap(({ exchanges }) => exchanges).map(async (exchange, rank) => {
      const values = Float64Array.of(0.1 * rank, 1 / (rank + 3), 1e300 * rank);
      await exchange.allReduce(values);
      return values;
    }),
  );
}
