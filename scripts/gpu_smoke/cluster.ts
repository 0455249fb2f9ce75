/**
 * Real workers that train on a few synthetic images: broker, processes and exchange are those of a run.
 *
 * @module
 */
import { join } from "node:path";
import { Image } from "imagescript";
import type { ComputeDevice } from "../../src/base/compute_device.ts";
import { CPU_DEVICE } from "../../src/base/compute_device.ts";
import { assembleBench, benchConfig, measure } from "../../src/bench/bench_cluster.ts";
import { type TrainTimes, trainTimesSchema } from "../../src/bench/benchmark.ts";
import { openEngineOnCpu } from "../../src/engine/engine.ts";
import type { ExchangeName } from "../../src/exchange/registry.ts";
import { findDevices } from "../../src/gpus/find_devices.ts";
import { findNatsServer } from "../../src/provision/nats_server.ts";
import { buildReplica } from "../../src/train/build_replica.ts";
import { scanData } from "../../src/train/job.ts";
import type { CheckContext, Outcome } from "./check.ts";

const CLASSES = 4;
const IMAGES_PER_CLASS = 16;
const SIDE = 32;
/** Images per step over all workers: without BatchNorm, no number of workers changes the result. */
const BATCH = 16;
const NORMALIZE = { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } } as const;

/** A training to compare. */
export interface Training {
  /** One per worker. */
  readonly devices: readonly ComputeDevice[];
  readonly exchange: ExchangeName;
}

/** Returns the reason why no cluster can be started here; nothing where one can. */
export async function clusterObstacle(): Promise<Outcome | undefined> {
  if (await findNatsServer()) return undefined;
  return { status: "skip", figure: "there is no nats-server, which deno task setup fetches" };
}

/** Returns all devices that are checked, at most so many. */
export async function checkedDevices(
  context: CheckContext,
  most: number,
): Promise<ComputeDevice[]> {
  if (context.device === "cpu") return [CPU_DEVICE];
  const { devices } = await findDevices({
    device: "gpu",
    workers: Math.min(most, context.gpus.length),
  });
  return [...devices];
}

/** Writes images of classes with shades and stripes of their own. */
export async function writeImages(root: string): Promise<void> {
  for (const part of ["train", "val"]) {
    for (let label = 0; label < CLASSES; label++) {
      const folder = join(root, part, `class-${label}`);
      await Deno.mkdir(folder, { recursive: true });
      for (let index = 0; index < IMAGES_PER_CLASS; index++) {
        const image = new Image(SIDE, SIDE);
        image.fill((x, y) => {
          const stripe = 60 * Math.sin((label + 1) * x / 4 + index) + 30 * Math.cos(y / 3 + index);
          const level = Math.round(128 + stripe) & 255;
          return Image.rgbToColor(level, (level + 40 * label) & 255, (3 * index + y) & 255);
        });
        await Deno.writeFile(join(folder, `${index}.png`), await image.encode());
      }
    }
  }
}

/**
 * Trains with workers of their own processes.
 *
 * @throws {LockstepError} when a worker fails, or the exchange can't be opened
 */
export async function trainTogether(
  { libraryPath }: CheckContext,
  root: string,
  { devices, exchange }: Training,
  steps: number,
): Promise<TrainTimes> {
  const transforms = [{ CenterCrop: SIDE }, NORMALIZE] as const;
  const options = { threads: 1, exchange, compute: { devices, libraryPath } };
  const config = benchConfig(devices.length, options, {
    data: { root, train: [...transforms], val: [...transforms] },
    train: { epochs: 1, batchSizePerWorker: 1, optimizer: "sgd", lr: 0.05, momentum: 0.9 },
  });
  await openEngineOnCpu({ libraryPath, threads: { intraOp: 1, interOp: 1 } });
  const { source, fingerprint, classes } = await scanData(root, config);
  using _source = source;
  const numClasses = classes.length;
  using replica = await buildReplica(config, { numClasses });
  const { vectorBytes, regions } = replica.state;
  await using cluster = await assembleBench({
    workers: devices.length,
    config,
    benchmark: { images: "folder", imageSize: SIDE },
    ...{ vectorBytes, regions },
    images: { root, fingerprint, numClasses },
  }, options);
  const benchmark = { kind: "train", round: 1, globalBatch: BATCH, warmup: 0, steps } as const;
  const [first] = await measure(cluster, benchmark, steps);
  return trainTimesSchema.parse(first!.result);
}

/** Relative difference of two losses that rounding explains, after some steps. */
export const MAX_LOSS_DIFFERENCE = 1e-4;

/** Returns what is wrong with a loss that should be another one; nothing where they agree. */
export function differenceProblem(
  loss: number | null,
  expected: number | null,
): string | undefined {
  if (loss === null || expected === null) return "the loss is not finite";
  const difference = Math.abs(loss - expected) / Math.abs(expected);
  return difference <= MAX_LOSS_DIFFERENCE ? undefined : `the loss is ${loss}, not ${expected}`;
}

/** Returns what is wrong with the loss of a training that should have learned; nothing where it has. */
export function learningProblem(loss: number | null): string | undefined {
  const isLearned = loss !== null && loss > 0 && loss < Math.log(CLASSES);
  return isLearned ? undefined : `the loss is ${loss}, so nothing was learned`;
}
