/**
 * The life of a warm-up process: it takes one step and one evaluation on synthetic images on a GPU, so that the driver
 * compiles the kernels of a run once, before all ranks need them at the same time.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { asLockstepError, LockstepError, messageOf } from "../base/errors.ts";
import { gpuDeviceSchema } from "../base/compute_device.ts";
import { ignoreStopSignals } from "../base/signals.ts";
import { ByteImages, type Images } from "../data/transforms/byte_images.ts";
import { outputSize } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import { buildReplica } from "../train/build_replica.ts";
import { buildScorer } from "../train/build_scorer.ts";
import { parseEvaluationJob } from "../train/evaluation_job.ts";
import type { Replica } from "../train/replica.ts";
import { type Job, parseJob } from "../train/job.ts";
import type { LabelledImages } from "../train/labelled_images.ts";
import { largestMicroBatch, validationBatching } from "../train/micro_batches.ts";
import { explainingDeviceErrors } from "./device_errors.ts";
import { openDevice } from "./open_device.ts";

const settingsSchema = z.strictObject({
  device: gpuDeviceSchema,
  libraryPath: z.string(),
  threads: z.int().positive(),
  /** Images of a rank's training step, unless nobody trains, and of its step of validation. */
  rows: z.strictObject({ train: z.int().positive().optional(), val: z.int().positive() }),
  /** The job of the run's workers. */
  job: z.json(),
});

/** Settings of a warm-up process, as JSON on its standard input. */
export type WarmUpSettings = z.output<typeof settingsSchema>;

/**
 * Runs the warm-up; the end of standard input ends it.
 *
 * @returns The exit code
 */
export async function runWarmUp(): Promise<number> {
  ignoreStopSignals();
  try {
    const settings = await readSettings();
    await warmUp(settings);
    return 0;
  } catch (thrown) {
    const error = asLockstepError(thrown);
    console.error(error instanceof LockstepError ? messageOf(error) : error);
    return 1;
  }
}

/** Reads the first line of standard input. */
async function readSettings(): Promise<WarmUpSettings> {
  const text = await new Response(Deno.stdin.readable).text();
  return settingsSchema.parse(JSON.parse(text));
}

async function warmUp(settings: WarmUpSettings): Promise<void> {
  const evaluation = parseEvaluationJob(settings.job);
  const job = evaluation ?? parseJob(settings.job);
  const { device, libraryPath, threads } = settings;
  await openDevice({ device, threads, libraryPath }, job);
  if (evaluation) return await evaluateOnce(await buildScorer(evaluation), evaluation, settings);
  using replica = await buildReplica(parseJob(settings.job).config, job);
  const { config } = parseJob(settings.job);
  await trainOnce(replica, parseJob(settings.job), settings);
  const val = largestMicroBatch(settings.rows.val, validationBatching(config.train));
  await evaluateOnce(replica, job, { ...settings, rows: { val } });
}

async function trainOnce(replica: Replica, job: Job, { device, rows }: WarmUpSettings) {
  const { seed, engine: { gpuMemory }, train } = job.config;
  const { accumulationSteps } = train;
  const count = rows.train ?? 1;
  const atOnce = largestMicroBatch(count, train);
  const place = { seed: [seed, 0], globalRows: count, rowOffset: 0 } as const;
  await explainingDeviceErrors(
    { device, accumulationSteps, gpuMemory, kind: "training", rows: atOnce },
    () => replica.forwardBackward(syntheticBatch(job, "train", count), place),
  );
}

async function evaluateOnce(
  scorer: Pick<Replica, "evaluate">,
  job: WarmUpJob,
  { device, rows }: WarmUpSettings,
): Promise<void> {
  const { gpuMemory } = job.config.engine;
  await explainingDeviceErrors(
    { device, gpuMemory, kind: "evaluation", rows: rows.val },
    () => scorer.evaluate(syntheticBatch(job, "val", rows.val)),
  );
}

/** The part of a job, of either kind, that images depend on. */
interface WarmUpJob extends Pick<Job, "numClasses"> {
  readonly config: Pick<Job["config"], "data" | "engine">;
}

/** Makes a batch in the form in which the loader gives it for the config's transforms: bytes or floats. */
function syntheticBatch(
  { config: { data }, numClasses }: WarmUpJob,
  part: "train" | "val",
  count: number,
): LabelledImages {
  const [height, width] = outputSize(data[part])!;
  const labels = Int32Array.from({ length: count }, (_, row) => row % numClasses);
  return {
    images: syntheticImages(data[part], count * height * width * 3, count),
    labels,
    height,
    width,
  };
}

function syntheticImages(
  transforms: ConstructorParameters<typeof TransformPipeline>[0],
  floats: number,
  count: number,
): Images {
  const { device } = new TransformPipeline(transforms);
  if (!device) return Float32Array.from({ length: floats }, (_, index) => Math.sin(index));
  const { rowBytes, pixelBytes } = device;
  // Behind a row's pixels are parameters, of which zeros ask for nothing.
  const data = Uint8Array.from(
    { length: count * rowBytes },
    (_, index) => index % rowBytes < pixelBytes ? index % 251 : 0,
  );
  return new ByteImages({ count, transforms: device, data });
}
