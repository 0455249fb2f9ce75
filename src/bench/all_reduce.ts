/**
 * `bench allreduce`: how long an all-reduce of a vector takes, and what that is in bytes per second.
 *
 * Bandwidths are those of nccl-tests (doc/PERFORMANCE.md there): the algorithm's is bytes / time; the bus's is that
 * times 2(n − 1)/n, the least that each rank has to send and receive, so that it can be compared over n.
 *
 * @module
 */
import { boundMilliseconds } from "./cost_bound.ts";
import { coresOfHost } from "../engine/threads.ts";
import { UsageError } from "../base/errors.ts";
import type { ExchangingCluster } from "../cluster/cluster.ts";
import type { Reply } from "../protocol/command_channel.ts";
import type { GradientDtype } from "../protocol/messages.ts";
import { allReduceCalls } from "./time_all_reduce.ts";
import { type AllReduceTimes, allReduceTimesSchema } from "./benchmark.ts";
import { assembleBench, type BenchClusterOptions, benchConfig, measure } from "./bench_cluster.ts";
import { sizeText } from "./sizes.ts";
import { counted } from "../base/format.ts";
import { mean, median } from "../base/statistics.ts";

/** The settings of an all-reduce benchmark. */
export interface AllReduceOptions extends BenchClusterOptions {
  /** Numbers of workers, one after the other. */
  readonly workers: readonly number[];
  /** Bytes of the vectors. */
  readonly sizes: readonly number[];
  /** Calls that are timed. */
  readonly steps: number;
  /** Calls before them. */
  readonly warmup: number;
}

/** One number of workers and one size. */
export interface AllReducePoint {
  readonly workers: number;
  readonly bytes: number;
  /** Of the median call, each the mean over the ranks. */
  readonly milliseconds: number;
  readonly minMilliseconds: number;
  readonly maxMilliseconds: number;
  /** 10⁹ bytes per second. */
  readonly algorithmGBps: number;
  readonly busGBps: number;
  /** Copying as many bytes in one process while the others wait. */
  readonly memcpyGBps: number;
  /** The same per process while all copy. */
  readonly memcpyTogetherGBps: number;
  /** The time in copies of as many bytes by one process. */
  readonly copies: number;
  /** The time over what memory needs for the bytes that must move: see {@linkcode boundMilliseconds}. */
  readonly timesBound: number;
  /** Greatest relative difference of a sum from the right one. */
  readonly maxError: number;
}

/** All points of a measurement. */
export interface AllReduceResult {
  readonly kind: "allreduce";
  /** The exchange that summed. */
  readonly exchange: string;
  /** The dtype in which the values travelled. */
  readonly dtype: GradientDtype;
  /** Cores of the machine. */
  readonly cores: number;
  readonly steps: number;
  readonly points: AllReducePoint[];
}

/** Calls with short vectors before all others: JavaScript's compiler gets to know the code. */
const WARM_CALLS = 40;
const WARM_BYTES = 1e6;

/** Buffers of this length that each worker holds: its vector, the sum, the copy; the coordinator holds the sum. */
const BUFFERS = 3;

/**
 * Measures with real workers, and checks the sums.
 *
 * @throws {UsageError} when the vectors don't fit into memory
 * @throws {LockstepError} when a sum is wrong
 */
export async function benchAllReduce(options: AllReduceOptions): Promise<AllReduceResult> {
  const { workers: counts, sizes, steps, warmup, onNews } = options;
  checkMemory(Math.max(...counts), Math.max(...sizes));
  const points: AllReducePoint[] = [];
  let how: Pick<AllReduceTimes, "exchange" | "dtype"> | undefined;
  for (const workers of counts) {
    onNews?.(`Starting ${counted(workers, "worker")}`);
    await using cluster = await assembleBench({
      workers,
      config: benchConfig(workers, options),
      benchmark: { images: "made", imageSize: 1 },
      vectorBytes: Math.max(...sizes),
    }, options);
    await callMany(cluster, Math.min(WARM_BYTES, ...sizes), {
      round: 1,
      warmup: WARM_CALLS,
      steps: 1,
    });
    for (const [index, bytes] of sizes.entries()) {
      const replies = await callMany(cluster, bytes, { round: index + 2, warmup, steps });
      const point = pointOf(workers, bytes, replies);
      points.push(point);
      how = allReduceTimesSchema.parse(replies[0].result);
      onNews?.(
        `${counted(workers, "worker")}, ${sizeText(bytes)}: ${point.milliseconds.toFixed(2)} ms`,
      );
    }
  }
  const { exchange, dtype } = how!;
  return { kind: "allreduce", exchange, dtype, cores: coresOfHost(), steps, points };
}

/** Has all ranks sum vectors of a length, again and again. */
async function callMany(
  cluster: ExchangingCluster,
  bytes: number,
  lengths: { round: number; warmup: number; steps: number },
): Promise<Reply[]> {
  await cluster.exchange.changeVector(bytes);
  return await measure(cluster, { kind: "allReduce", bytes, ...lengths }, allReduceCalls(lengths));
}

/** nccl-tests' bus bandwidth of an all-reduce. */
export function busBandwidth(algorithmBandwidth: number, workers: number): number {
  return algorithmBandwidth * 2 * (workers - 1) / workers;
}

function pointOf(workers: number, bytes: number, replies: readonly Reply[]): AllReducePoint {
  const ranks = replies.map(({ result }) => allReduceTimesSchema.parse(result));
  const calls = ranks[0].milliseconds.map((_, call) =>
    mean(ranks.map(({ milliseconds }) => milliseconds[call]))
  );
  const milliseconds = median(calls);
  const alone = ranks[0].copyAlone!;
  const together = mean(ranks.map(({ copyTogether }) => copyTogether));
  const gigabytesIn = (time: number) => bytes / (time * 1e6);
  const algorithmGBps = gigabytesIn(milliseconds);
  return {
    workers,
    bytes,
    milliseconds,
    minMilliseconds: Math.min(...calls),
    maxMilliseconds: Math.max(...calls),
    algorithmGBps,
    busGBps: busBandwidth(algorithmGBps, workers),
    memcpyGBps: gigabytesIn(alone),
    memcpyTogetherGBps: gigabytesIn(together),
    copies: milliseconds / alone,
    timesBound: milliseconds / boundMilliseconds(together, workers),
    maxError: Math.max(...ranks.map(({ maxError }) => maxError)),
  };
}

function checkMemory(workers: number, bytes: number): void {
  const needed = (workers * BUFFERS + 1) * bytes;
  const { available } = Deno.systemMemoryInfo();
  if (needed <= available) return;
  throw new UsageError(
    `${workers} workers with vectors of ${sizeText(bytes)} need about ${
      sizeText(needed)
    } of memory, but ` +
      `${sizeText(available)} are free: give fewer --workers or smaller --sizes`,
  );
}
