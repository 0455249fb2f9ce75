/**
 * Training replicas with the same weights and images on every device.
 *
 * @module
 */
import { bytesIn, floatsOf } from "../../src/base/float_range.ts";
import { tf } from "../../src/engine/tf.ts";
import { createModel } from "../../src/models/create_model.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import type { LabelledImages } from "../../src/train/labelled_images.ts";
import type { CheckContext } from "./check.ts";
import { Replica } from "../../src/train/replica.ts";

/** Classes of the networks. */
export const CLASSES = 10;

/** Returns a replica that learns by SGD with momentum; nothing in it is dropped at random. */
export function makeReplica(name: ModelName, lr: number, capture = true): Replica {
  const model = createModel(name, { numClasses: CLASSES, seed: 1, dropout: 0, stochasticDepth: 0 });
  return new Replica(model, {
    optimizer: { settings: optimizerConfig({ optimizer: "sgd" }), lr },
    capture,
  });
}

/** Images as normalized floats, and their labels. */
export type FloatBatch = LabelledImages & { readonly images: Float32Array };

/** Returns images of smooth patterns that differ by class and row. */
export function madeBatch(rows: number, side: number): FloatBatch {
  const images = new Float32Array(rows * side * side * 3);
  const labels = Int32Array.from({ length: rows }, (_, row) => row % CLASSES);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const [across, down] = [1 + labels[row], 1 + (labels[row] * 3) % CLASSES];
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        for (let channel = 0; channel < 3; channel++) {
          const phase = (across * x + down * y) / side + channel / 3 + row / 7;
          const noise = Math.sin((at + 1) * 12.9898) * 43758.5453;
          images[at++] = Math.sin(2 * Math.PI * phase) + (noise - Math.floor(noise)) - 0.5;
        }
      }
    }
  }
  return { images, labels, height: side, width: side };
}

/** Share by which {@linkcode perturbed} changes values: the last two bits. */
const PERTURBATION = 2 ** -22;

/**
 * Returns the batch with the last bits of its images changed. The difference that this makes on the CPU is what rounding
 * alone can do: an activation near 0 that changes its sign changes gradients by much more than its own size.
 *
 * @param variant Other bits for each number
 */
export function perturbed(batch: FloatBatch, variant: number): FloatBatch {
  const images = batch.images.map((value, at) =>
    value * (1 + ((Math.imul(at + 1, 7919 + 2 * variant) >>> 5) % 3 - 1) * PERTURBATION)
  );
  return { ...batch, images };
}

/** Returns the number of perturbations that a reference takes the largest effect of. */
export function perturbations({ size }: Pick<CheckContext, "size">): number {
  return size === "full" ? 2 : 1;
}

/** Rounding may do more on a device than in the perturbed references, by this factor. */
export const ROUNDING_FACTOR = 10;

/** Returns the values of all parameters and running statistics, by PyTorch's names. */
export function weightsOf({ state }: Replica): Map<string, Float32Array> {
  return new Map(
    state.parameters.map(({ name, variable }) => [
      name,
      (variable.dataSync() as Float32Array).slice(),
    ]),
  );
}

/** Sets all parameters and running statistics. */
export function setWeights({ state }: Replica, weights: ReadonlyMap<string, Float32Array>): void {
  for (const { name, variable } of state.parameters) {
    const values = weights.get(name);
    if (!values) throw new Error(`The reference has no ${name}`);
    const tensor = tf.tensor(values, variable.shape);
    variable.assign(tensor);
    tensor.dispose();
  }
}

/** Takes steps of a replica on one batch; returns the mean losses before each. */
export async function trainSteps(
  replica: Replica,
  batch: FloatBatch,
  { lr, steps }: { readonly lr: number; readonly steps: number },
): Promise<number[]> {
  const globalRows = batch.labels.length;
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const place = { seed: [1, step] as const, globalRows, rowOffset: 0 };
    const { lossSum, weight } = await replica.forwardBackward(batch, place);
    losses.push(lossSum / weight);
    await replica.step({ rates: [lr], step: step + 1, squares: 0 });
  }
  return losses;
}

/** Returns the gradients that the last step left in the replica's vector, by the parameters' names. */
export async function gradientsOf({ state }: Replica): Promise<Map<string, Float32Array>> {
  const { trainable, layout, buffers } = state;
  const vector = new Uint8Array(state.vectorBytes);
  await buffers.vector.download(vector);
  return new Map(
    trainable.map(({ name }, index) => [
      name,
      floatsOf(bytesIn(vector, layout.places[index]!)).slice(),
    ]),
  );
}
