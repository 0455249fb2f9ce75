/**
 * Measures the training step alone: forward, backward and update on one worker, without data and exchange.
 *
 * @module
 */
import { checkPrecision } from "../engine/precision.ts";
import type { CallOptions } from "../engine/capture/call_options.ts";
import type { DeviceWishes } from "../gpus/find_devices.ts";
import { openSoleDevice } from "../inference/open_sole_device.ts";
import { tf } from "../engine/tf.ts";
import type { ModelName } from "../models/registry.ts";
import { createModel } from "../models/create_model.ts";
import { optimizerConfig } from "../optim/config.ts";
import { type RankShare, Replica } from "../train/replica.ts";
import { syntheticImages } from "./synthetic.ts";
import { type PartRuns, type StepProfile, summarizeProfile, wholePart } from "./step_profile.ts";

/** The settings of a step benchmark. */
export interface StepBenchOptions extends Pick<Partial<DeviceWishes>, "device" | "devices"> {
  readonly model: ModelName;
  /** Side of the images in pixels. */
  readonly imageSize: number;
  readonly batch: number;
  /** The most images of a forward and backward pass; the whole batch unless given. */
  readonly microBatchSize?: number | undefined;
  /** Steps that are timed. */
  readonly steps: number;
  /** Steps before them: tracing, and TensorFlow's first allocations. */
  readonly warmup: number;
  /** Threads of TensorFlow; 0 lets it choose. */
  readonly threads: number;
  /** Run each half of the step as one TensorFlow function. */
  readonly capture: boolean;
  /** The compilation of these functions. */
  readonly call?: CallOptions;
}

/** The result of a step benchmark. */
export interface StepBenchResult {
  /** Of the median step. */
  readonly imagesPerSecond: number;
  readonly medianMilliseconds: number;
  /** The quickest and the slowest step. */
  readonly rangeMilliseconds: readonly [number, number];
  /** Loss of the last step: a finite one shows that the steps did their work. */
  readonly loss: number;
}

const CLASSES = 10;
const SGD = {
  settings: optimizerConfig({ optimizer: "sgd" }),
  lr: 0.001,
};

/** Nodes that a profile lists one by one. */
const SLOWEST = 20;

/** Runs that a profile leaves out: TensorFlow allocates and oneDNN compiles. */
const PROFILE_WARMUP = 2;

/**
 * Times training steps on synthetic images.
 *
 * @throws {UsageError} when libtensorflow is missing
 */
export async function benchStep(options: StepBenchOptions): Promise<StepBenchResult> {
  using replica = await openReplica(options);
  const { batch, steps, warmup } = options;
  const images = syntheticBatches(options);
  const times: number[] = [];
  let loss = NaN;
  for (let step = 0; step < warmup + steps; step++) {
    const start = performance.now();
    const totals = await replica.forwardBackward(images, placeOf(options, step));
    await replica.step({ rates: [SGD.lr], step: step + 1, squares: 0 });
    if (step >= warmup) times.push(performance.now() - start);
    loss = totals.lossSum / batch;
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1];
  return {
    imagesPerSecond: batch * 1000 / median,
    medianMilliseconds: median,
    rangeMilliseconds: [times[0], times[times.length - 1]],
    loss,
  };
}

/**
 * Times the nodes of a training step's functions, and of evaluation, on synthetic images.
 *
 * @throws {UsageError} when libtensorflow is missing
 */
export async function profileStep(options: StepBenchOptions): Promise<StepProfile> {
  using replica = await openReplica(options);
  const { steps } = options;
  const images = syntheticBatches(options);
  await replica.forwardBackward(images, placeOf(options, 0));
  const measured: PartRuns[] = []; // images, forward and backward, evaluation
  for (const { fn, inputs } of await replica.calls(images, placeOf(options, 0))) {
    const callMilliseconds = await timed(options, async () => tf.dispose(await fn.call(inputs)));
    const runs = await fn.profile(inputs, PROFILE_WARMUP + steps);
    measured.push({ part: fn.name, runs: runs.slice(PROFILE_WARMUP), callMilliseconds });
    tf.dispose([...inputs]);
  }
  const times = await timed(
    options,
    (step) => replica.step({ rates: [SGD.lr], step: step + 1, squares: 0 }),
  );
  measured.splice(2, 0, wholePart("update", times));
  return summarizeProfile(measured, SLOWEST);
}

/** Milliseconds of each call after the warm-up. */
async function timed(
  { warmup, steps }: StepBenchOptions,
  work: (call: number) => Promise<void>,
): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < warmup + steps; call++) {
    const start = performance.now();
    await work(call);
    if (call >= warmup) times.push(performance.now() - start);
  }
  return times;
}

async function openReplica(
  { model, threads, capture, microBatchSize, call = {}, ...wishes }: StepBenchOptions,
): Promise<Replica> {
  const { gpu } = await openSoleDevice(wishes, {
    ...call,
    progress: () => {},
    onWarning: (warning) => console.error(warning),
    threads: { intraOp: threads, interOp: threads },
  });
  const warning = checkPrecision(call.precision ?? "float32", gpu ? [gpu] : []);
  if (warning) console.error(warning);
  return new Replica(createModel(model, { numClasses: CLASSES }), {
    optimizer: SGD,
    microBatchSize,
    capture,
    call,
  });
}

function syntheticBatches({ batch, imageSize }: StepBenchOptions) {
  const images = syntheticImages(batch, imageSize);
  const labels = Int32Array.from({ length: batch }, (_, index) => index % CLASSES);
  return { images, labels, height: imageSize, width: imageSize };
}

function placeOf({ batch }: StepBenchOptions, step: number): RankShare {
  return { seed: [0, step], globalRows: batch, rowOffset: 0 };
}
