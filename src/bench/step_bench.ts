/**
 * Measures the training step alone: forward, backward and update on one worker, without data and exchange.
 *
 * @module
 */
import { openEngine } from "../engine/engine.ts";
import type { ModelName } from "../models/config.ts";
import { createModel } from "../models/create_model.ts";
import { optimizerConfig } from "../optim/config.ts";
import { Replica } from "../train/replica.ts";

/** What to measure. */
export interface StepBenchOptions {
  readonly model: ModelName;
  /** Side of the pictures in pixels. */
  readonly imageSize: number;
  readonly batch: number;
  /** Steps that are timed. */
  readonly steps: number;
  /** Steps before them: tracing, and TensorFlow's first allocations. */
  readonly warmup: number;
  /** Threads of TensorFlow; 0 lets it choose. */
  readonly threads: number;
  /** Run each half of the step as one TensorFlow function. */
  readonly capture: boolean;
}

/** What was measured. */
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

/**
 * Times training steps on made-up pictures.
 *
 * @throws {UsageError} when libtensorflow is missing
 */
export async function benchStep(options: StepBenchOptions): Promise<StepBenchResult> {
  const { model, imageSize, batch, steps, warmup, threads, capture } = options;
  await openEngine({ threads: { intraOp: threads, interOp: threads } });
  const replica = new Replica(createModel(model, { numClasses: CLASSES }), {
    optimizer: SGD,
    capture,
  });
  const images = Float32Array.from(
    { length: batch * imageSize * imageSize * 3 },
    (_, index) => Math.sin(index * 12.9898),
  );
  const labels = Int32Array.from({ length: batch }, (_, index) => index % CLASSES);
  const times: number[] = [];
  let loss = NaN;
  for (let step = 0; step < warmup + steps; step++) {
    const place = { seed: [0, step], globalRows: batch, rowOffset: 0 } as const;
    const start = performance.now();
    const totals = await replica.forwardBackward(
      { images, labels, height: imageSize, width: imageSize },
      place,
    );
    await replica.update({ rates: [SGD.lr], step: step + 1 });
    if (step >= warmup) times.push(performance.now() - start);
    loss = totals.lossSum / batch;
  }
  replica.dispose();
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1];
  return {
    imagesPerSecond: batch * 1000 / median,
    medianMilliseconds: median,
    rangeMilliseconds: [times[0], times[times.length - 1]],
    loss,
  };
}
