/**
 * Real workers for a benchmark: broker, processes and exchange are those of a run.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { type Config, type ConfigInput, decidedConfigSchema } from "../config/schema.ts";
import { driveSteps } from "../cluster/drive_steps.ts";
import {
  clusterSettings,
  exchangeSettings,
  type RunDevices,
  serverSettings,
} from "../coordinator/preparation/cluster_settings.ts";
import { Cluster, type ExchangingCluster } from "../cluster/cluster.ts";
import type { Reply } from "../protocol/command_channel.ts";
import type { GradientDtype } from "../protocol/messages.ts";
import { ensureNatsServer } from "../provision/nats_server.ts";
import { silentReporter } from "../events/reporter.ts";
import type { Benchmark, BenchmarkJob } from "./benchmark.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { type Job, jobJson } from "../train/job.ts";

/** The settings that all benchmarks with workers share. */
export interface BenchClusterOptions {
  /** Threads of TensorFlow per worker. */
  readonly threads: number;
  /** The exchange of gradients: a value of the config's `exchange`. */
  readonly exchange?: string;
  /** The dtype of gradients on the way over NATS: a value of the config's `nats.gradientDtype`. */
  readonly dtype?: GradientDtype;
  /** Bytes of a bucket of gradients: a value of the config's `nats.bucketSize`. */
  readonly bucketBytes?: number;
  /** A running nats-server. */
  readonly nats?: string;
  /** The devices of the workers, at least as many, and the library that they open; the CPU unless given. */
  readonly compute?: RunDevices;
  /** Told what goes on. */
  readonly onNews?: (line: string) => void;
}

/** The job of a benchmark's cluster. */
export interface BenchJob {
  readonly workers: number;
  readonly config: Config;
  readonly benchmark: BenchmarkJob;
  /** Length of the first vectors. */
  readonly vectorBytes: number;
  /** Vectors that a step changes (default 1). */
  readonly regions?: number;
  /** Folder of images, and what the coordinator found there. */
  readonly images?: { root: string; fingerprint: string; numClasses: number };
}

/** Classes of synthetic images. */
export const MADE_CLASSES = 10;

/** Seconds: with many workers on few cores, starting takes long, and a heartbeat may be late. */
const PATIENT = { joinTimeout: 300, lostAfter: 60, reportAfter: 30, stallAfter: 600 };

/** The settings of a benchmark's training. */
export const BENCH_TRAIN: ConfigInput["train"] = {
  epochs: 1,
  batchSizePerWorker: 1,
  optimizer: "sgd",
  lr: 0.001,
  momentum: 0.9,
};

/**
 * The config of a benchmark.
 *
 * @throws {UsageError} when `exchange` is none
 */
export function benchConfig(
  workers: number,
  { threads, exchange = "auto", dtype, bucketBytes, nats }: BenchClusterOptions,
  changes: Partial<ConfigInput> = {},
): Config {
  const known: readonly string[] = decidedConfigSchema.shape.exchange.unwrap().options;
  if (!known.includes(exchange)) {
    throw new UsageError(`--exchange is ${exchange}: give ${known.join(" or ")}`);
  }
  const transforms: ConfigInput["data"]["train"] = [
    { CenterCrop: 32 },
    { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } },
  ];
  return decidedConfigSchema.parse({
    name: "bench",
    workers,
    model: { name: "plain_cnn", weights: "none" },
    data: { root: "made-up", train: transforms, val: transforms },
    train: BENCH_TRAIN,
    engine: { threadsPerWorker: threads },
    exchange,
    nats: { url: nats, gradientDtype: dtype, bucketSize: bucketBytes },
    liveness: PATIENT,
    ...changes,
  });
}

/** Starts the workers of a benchmark; the caller disposes of them. */
export async function assembleBench(
  job: BenchJob,
  { compute = {}, onNews }: BenchClusterOptions,
): Promise<ExchangingCluster> {
  const { config, benchmark, vectorBytes, regions = 1, images } = job;
  const natsServer = config.nats.url ? undefined : await ensureNatsServer(() => {});
  const { root = "", fingerprint = "", numClasses = MADE_CLASSES } = images ?? {};
  const common: Job = { config, root, fingerprint, numClasses, verbose: false, benchmark };
  return await Cluster.assemble({
    ...clusterSettings(config, serverSettings(config.nats, natsServer), compute),
    job: jobJson(common),
    exchange: exchangeSettings(config, { vectorBytes, regions, gradientBytes: vectorBytes }),
    reporter: { ...silentReporter(), warn: (line) => onNews?.(line) },
  });
}

/**
 * Has all workers measure, and plays the coordinator's part of each step.
 *
 * @param calls All-reduces that the measurement makes
 * @returns The answers in the order of the ranks
 * @throws {LockstepError} when a worker fails or is lost
 */
export async function measure(
  cluster: ExchangingCluster,
  benchmark: Benchmark,
  calls: number,
): Promise<Reply[]> {
  return await driveSteps(cluster, {
    command: WORKER_COMMANDS.benchmark,
    args: () => ({ ...benchmark }),
    epoch: benchmark.round,
    startStep: 0,
    endStep: calls,
  }, { decide: () => "continue", mayDecideAhead: true });
}
