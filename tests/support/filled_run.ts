/**
 * Run folders that nobody trained: a config and a checkpoint of a model that a test made.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { parseConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { tf } from "../../src/engine/tf.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel, type ModelOptions } from "../../src/models/create_model.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { assignTorch } from "../../src/models/state_dict.ts";
import { architectureOf } from "../../src/train/build_replica.ts";
import { type CheckpointFacts, writeCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { stateOf } from "../../src/train/load_weights.ts";
import { deterministicFill } from "./deterministic_fill.ts";
import { transformsFor } from "./images.ts";

/** A model whose parameters TypeScript and Python make alike, and whose logits are neither tiny nor huge. */
export function filledModel(name: ModelName, options: ModelOptions): tf.LayersModel {
  const model = createModel(name, options);
  for (const { name, variable, kind, torchShape } of parametersOf(model)) {
    assignTorch(variable, deterministicFill(name, torchShape), torchShape, kind);
  }
  return model;
}

/** A config for a {@linkcode writeRun} of a model on images of so many pixels. */
export function madeConfig(
  model: ConfigInput["model"],
  side: number,
  changes: Partial<ConfigInput> = {},
): ConfigInput {
  const transforms = transformsFor(side);
  return {
    name: "made",
    model: { weights: "none", ...model },
    data: { root: "nowhere", train: transforms, val: transforms },
    train: { epochs: 1, lr: 0.1, batchSize: 2 },
    ...changes,
  };
}

/**
 * Writes a run's `config.yaml` and a checkpoint.
 *
 * @param name `best` or `last`
 */
export async function writeRun(
  folder: string,
  config: ConfigInput,
  model: tf.LayersModel,
  classes: readonly string[],
  name = "best",
): Promise<void> {
  const text = stringify(config);
  const parsed = parseConfig(text, "config.yaml");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "config.yaml"), text);
  await writeCheckpoint(join(folder, "checkpoints"), name, {
    model: {
      name: model.name,
      numClasses: classes.length,
      ...architectureOf(parsed),
    } as CheckpointFacts["model"],
    classes: [...classes],
    epoch: 2,
    step: 5,
    globalBatch: 2,
    optimizerSteps: 10,
    train: { lossSum: 1, weight: 2, correct: 1, count: 2 },
    seconds: 1,
    accuracy: 0.75,
    fingerprint: "made",
  }, { model: stateOf(parametersOf(model)) });
}
