/**
 * Short trainings that the soak test disturbs: over both exchanges, on 1 to 3 workers, with and without accumulation
 * and averages, with SGD and Adam, with vectors that ranks sum whole and in shards.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ConfigInput } from "../../src/config/schema.ts";
import { makeImages } from "../../tests/support/images.ts";
import { tinyConfig } from "../../tests/support/tiny_run.ts";

/** A training, in the config's terms. */
export interface Recipe {
  readonly name: string;
  readonly workers: number;
  readonly changes: Omit<Partial<ConfigInput>, "train">;
  readonly train: Partial<ConfigInput["train"]>;
  /** The network is one of the user's own, whose gradients are longer than those that ranks sum whole. */
  readonly isLong?: boolean;
}

/** Epochs of each training. */
export const EPOCHS = 5;

const WITHIN_EPOCHS = { validate: { everySteps: 7 }, checkpoint: { everySteps: 4 } };
const ADAM_EMA = { optimizer: "adamw", lr: 0.003, ema: { decay: 0.8, everySteps: 2 } } as const;

/** The recipes; a short soak test takes the first ones. */
export const RECIPES: readonly Recipe[] = [
  {
    name: "2 workers, shared memory, SGD",
    workers: 2,
    changes: { exchange: "shared-memory", ...WITHIN_EPOCHS },
    train: { momentum: 0.9 },
  },
  {
    name: "3 workers, NATS, AdamW, averages",
    workers: 3,
    changes: { exchange: "nats", ...WITHIN_EPOCHS },
    train: ADAM_EMA,
  },
  {
    name: "3 workers, shared memory in shards, AdamW, averages, accumulation",
    workers: 3,
    changes: { exchange: "shared-memory", ...WITHIN_EPOCHS },
    train: { ...ADAM_EMA, accumulationSteps: 2 },
    isLong: true,
  },
  {
    name: "1 worker, SGD, accumulation",
    workers: 1,
    changes: { ...WITHIN_EPOCHS },
    train: { accumulationSteps: 3, momentum: 0.9 },
  },
  {
    name: "2 workers, NATS, long vectors, SGD, accumulation",
    workers: 2,
    changes: { exchange: "nats" },
    train: { accumulationSteps: 2 },
    isLong: true,
  },
  {
    name: "2 workers, shared memory in shards, SGD",
    workers: 2,
    changes: { exchange: "shared-memory" },
    train: { momentum: 0.9 },
    isLong: true,
  },
  {
    name: "3 workers, shared memory, AdamW, averages",
    workers: 3,
    changes: { exchange: "shared-memory", validate: { atStart: true } },
    train: ADAM_EMA,
  },
  {
    name: "1 worker, NATS, AdamW, averages",
    workers: 1,
    changes: { exchange: "nats", ...WITHIN_EPOCHS },
    train: ADAM_EMA,
  },
];

/** A network of 0.4 million parameters that a step computes in milliseconds. */
const LONG_MODEL = `
export function createModel({ inputShape, numClasses }, tf) {
  return tf.sequential({ layers: [
    tf.layers.flatten({ inputShape }),
    tf.layers.dense({ units: 320, activation: "relu" }),
    tf.layers.dropout({ rate: 0.25 }),
    tf.layers.dense({ name: "head", units: numClasses }),
  ] });
}
`;

/** Writes the inputs of the recipes: images, and the module of a network. */
export async function writeInputs(folder: string): Promise<void> {
  await makeImages(join(folder, "images"), { train: 28, val: 5 });
  await Deno.writeTextFile(join(folder, "long_model.ts"), LONG_MODEL);
}

/**
 * Returns the config of a recipe.
 *
 * @param inputs The folder of {@linkcode writeInputs}
 * @param settings Keys that change no bit of the result
 */
export function configOf(
  { workers, changes, train, isLong = false }: Recipe,
  inputs: string,
  settings: Pick<ConfigInput, "out" | "nats" | "liveness" | "onWorkerLost" | "maxRestarts">,
): ConfigInput {
  const model = {
    module: pathToFileURL(join(inputs, "long_model.ts")).href,
    weights: "none",
  } as const;
  return tinyConfig(join(inputs, "images"), {
    workers,
    ...changes,
    ...settings,
    ...(isLong ? { model } : {}),
    train: { epochs: EPOCHS, batchSize: 8, ...train },
  });
}
