/**
 * Modules as users write them, in a folder of a test.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ConfigInput } from "../../src/config/schema.ts";
import { transformsFor } from "./images.ts";

/** A network whose vector is summed in shards: with batch normalization and dropout. */
export const WIDE_MODEL = `
export function createModel({ inputShape, numClasses }, tf) {
  return tf.sequential({ layers: [
    tf.layers.conv2d({ inputShape, filters: 8, kernelSize: 3, useBias: false }),
    tf.layers.batchNormalization({}),
    tf.layers.flatten(),
    tf.layers.dense({ units: 80, activation: "relu" }),
    tf.layers.dropout({ rate: 0.25 }),
    tf.layers.dense({ name: "head", units: numClasses }),
  ] });
}
`;

const SIDE = 12;

/** Layers with and without names, dropout, and weights that nothing seeds. */
const MODEL = `
export function createModel({ inputShape, numClasses }, tf) {
  return tf.sequential({ layers: [
    tf.layers.conv2d({ inputShape, filters: 6, kernelSize: 3, activation: "relu" }),
    tf.layers.dropout({ rate: 0.25 }),
    tf.layers.flatten(),
    tf.layers.dense({ name: "head", units: numClasses }),
  ] });
}
`;

/** 21 + 9 images of three shades, with noise that depends on the index alone. */
const DATA = `
const shade = (index) => ({
  width: ${SIDE}, height: ${SIDE},
  data: Uint8Array.from({ length: ${SIDE * SIDE} * 3 }, (_, at) =>
    70 * (index % 3) + (at * 2654435761 + index * 40503) % 61),
});
const samples = (length, first) => ({
  length,
  sample: (index) => ({ image: shade(first + index), label: (first + index) % 3 }),
});
export const createDataset = () => ({
  classes: ["dark", "middle", "light"],
  train: samples(21, 0),
  val: samples(9, 300),
});
`;

/** Cross-entropy, a third more for the last class. */
const LOSS = `
export const lossPerSample = (logits, { labels, targets }, tf) => {
  const weights = tf.add(1, tf.div(tf.cast(tf.equal(labels, 2), "float32"), 3));
  return tf.mul(weights, tf.neg(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)));
};
`;

const METRICS = `
export const surety = ({ probabilities }, tf) => tf.max(probabilities, 1);
export const recall = ({ logits, labels }, tf) => {
  const one = tf.equal(labels, 1);
  const found = tf.logicalAnd(one, tf.equal(tf.argMax(logits, 1), 1));
  return { sum: tf.sum(tf.cast(found, "int32")), count: tf.sum(tf.cast(one, "int32")) };
};
`;

/** The parts of the config that a test changes. */
export type Changes =
  & Pick<Partial<ConfigInput>, "workers" | "seed">
  & {
    readonly [Section in "model" | "data" | "train" | "validate" | "checkpoint"]?: Partial<
      ConfigInput[Section]
    >;
  };

/** Writes the four modules, some maybe with another text. */
export async function writeModules(
  folder: string,
  texts: Partial<Record<"model" | "data" | "loss" | "metrics", string>> = {},
): Promise<void> {
  const all = { model: MODEL, data: DATA, loss: LOSS, metrics: METRICS, ...texts };
  for (const [name, text] of Object.entries(all)) {
    await Deno.writeTextFile(join(folder, `${name}.ts`), text);
  }
}

/** URL of a module that {@linkcode writeModules} wrote. */
export function moduleIn(folder: string, name: string): string {
  return pathToFileURL(join(folder, `${name}.ts`)).href;
}

/** The config of a run with the modules of a folder: 3 steps per epoch. */
export function moduleConfig(folder: string, changes: Changes = {}): ConfigInput {
  const transforms = transformsFor(SIDE);
  return {
    name: "own",
    out: join(folder, "runs"),
    workers: changes.workers ?? 1,
    seed: changes.seed ?? 0,
    model: { module: moduleIn(folder, "model"), ...changes.model },
    data: {
      module: moduleIn(folder, "data"),
      train: ["RandomHorizontalFlip", ...transforms],
      val: transforms,
      ...changes.data,
    },
    train: {
      epochs: 3,
      batchSize: 8,
      lr: 0.02,
      lossModule: moduleIn(folder, "loss"),
      ...changes.train,
    },
    validate: { metricsModule: moduleIn(folder, "metrics"), ...changes.validate },
    checkpoint: { ...changes.checkpoint },
    liveness: { lostAfter: 60 },
  };
}
