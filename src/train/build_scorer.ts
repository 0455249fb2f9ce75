/**
 * Builds the model of an evaluation and the scorer that measures it: the same in every process.
 *
 * @module
 */
import { readInto, tensorFrom } from "../engine/transfer.ts";
import { importMetrics } from "../metrics/user_metrics.ts";
import { parametersOf } from "../models/parameters.ts";
import { importLoss } from "../optim/user_loss.ts";
import { buildModel } from "./build_replica.ts";
import type { EvaluationJob } from "./evaluation_job.ts";
import { ModelScorer } from "./model_scorer.ts";

/**
 * Builds the model, without its trained weights, and what scores with it.
 *
 * @throws {UsageError} when the head doesn't fit the classes, or a module of the user's own isn't what it should be
 */
export async function buildScorer(
  { config, loss: { loss, lossModule, labelSmoothing }, numClasses, classWeights }: Pick<
    EvaluationJob,
    "config" | "loss" | "numClasses" | "classWeights"
  >,
): Promise<ModelScorer> {
  const { validate: { metricsModule }, engine: { capture, precision, xla } } = config;
  const measured = lossModule ? await importLoss(lossModule) : loss;
  const metrics = metricsModule ? await importMetrics(metricsModule) : [];
  return new ModelScorer(await buildModel(config, numClasses), {
    loss: { loss: measured, labelSmoothing, ...(classWeights ? { classWeights } : {}) },
    metrics,
    capture,
    call: { precision, xla },
  });
}

/** Returns all parameters and buffers of a scorer's model, one after the other, as float32. */
export function exportParameters({ model }: Pick<ModelScorer, "model">): Uint8Array<ArrayBuffer> {
  const variables = parametersOf(model).map(({ variable }) => variable);
  const sizes = variables.map(({ size }) => size * Float32Array.BYTES_PER_ELEMENT);
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let offset = 0;
  for (const [index, variable] of variables.entries()) {
    readInto(variable, bytes.subarray(offset, offset += sizes[index]));
  }
  return bytes;
}

/**
 * Takes over what {@linkcode exportParameters} of an equal model gave.
 *
 * @throws {RangeError} when it has another size
 */
export function importParameters({ model }: Pick<ModelScorer, "model">, bytes: Uint8Array): void {
  const variables = parametersOf(model).map(({ variable }) => variable);
  const expected = Float32Array.BYTES_PER_ELEMENT *
    variables.reduce((sum, { size }) => sum + size, 0);
  if (bytes.byteLength !== expected) {
    throw new RangeError(`State has ${bytes.byteLength} bytes, expected ${expected}`);
  }
  let offset = 0;
  for (const variable of variables) {
    const length = Float32Array.BYTES_PER_ELEMENT * variable.size;
    const value = tensorFrom(variable.shape, "float32", bytes.subarray(offset, offset += length));
    variable.assign(value);
    value.dispose();
  }
}
