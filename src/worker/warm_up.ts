/**
 * The life of a warm-up process: it takes one step and one evaluation on synthetic images on a GPU, so that the driver
 * compiles the kernels of a run once, before all ranks need them at the same time.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { asLockstepError, LockstepError, messageOf } from "../base/errors.ts";
import { gpuDeviceSchema } from "../base/compute_device.ts";
import { given } from "../base/given.ts";
import { ignoreStopSignals } from "../base/signals.ts";
import { ByteImages, type Images } from "../data/transforms/byte_images.ts";
import { outputSize } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import { buildReplica } from "../train/build_replica.ts";
import { type Job, parseJob } from "../train/job.ts";
import { type LabelledImages, partSizes } from "../train/labelled_images.ts";
import { explainingDeviceErrors } from "./device_errors.ts";
import { openDevice } from "./open_device.ts";

const settingsSchema = z.strictObject({
  device: gpuDeviceSchema,
  libraryPath: z.string(),
  threads: z.int().positive(),
  /** Images of a rank's training step and of its step of validation. */
  rows: z.strictObject({ train: z.int().positive(), val: z.int().positive() }),
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

async function warmUp({ device, libraryPath, threads, rows, job: json }: WarmUpSettings) {
  const job = parseJob(json);
  const { config } = job;
  await openDevice({ device, threads, ...given("libraryPath", libraryPath) }, job);
  using replica = await buildReplica(config, job);
  const place = { seed: [config.seed, 0], globalRows: rows.train, rowOffset: 0 } as const;
  const { engine: { gpuMemory }, train: { accumulationSteps } } = config;
  const work = { device, accumulationSteps, gpuMemory };
  const trained = Math.max(...partSizes(rows.train, accumulationSteps));
  await explainingDeviceErrors(
    { ...work, kind: "training", rows: trained },
    () => replica.forwardBackward(syntheticBatch(job, "train", rows.train), place),
  );
  await explainingDeviceErrors(
    { ...work, kind: "evaluation", rows: rows.val },
    () => replica.evaluate(syntheticBatch(job, "val", rows.val)),
  );
}

/** Makes a batch in the form in which the loader gives it for the config's transforms: bytes or floats. */
function syntheticBatch(
  { config: { data }, numClasses }: Job,
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
