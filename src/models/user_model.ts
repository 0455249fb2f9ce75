/**
 * Networks of the user's own: the exports of a model module, and the requirements on them.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { randomStream } from "../base/random.ts";
import {
  exportedFunction,
  importModule,
  thrownMessage,
  type UserModule,
} from "../base/user_module.ts";
import { type LayersModel, type TensorFlow, tf } from "../engine/tf.ts";
import { adaptLayers } from "./adapt_layers.ts";
import { chooseLearning, type LearningOptions } from "./create_model.ts";
import { namedLayers } from "./named_layers.ts";
import { parametersOf } from "./parameters.ts";

/** The options that a model module's `createModel` is given. */
export interface UserModelOptions {
  /** Units of the output: a logit for each class. */
  readonly numClasses: number;
  /** Height, width and channels of the images; `null` where training and validation differ. */
  readonly inputShape: readonly [height: number | null, width: number | null, channels: 3];
  /** A positive integer, a function of the run's seed, for initializers. */
  readonly seed: number;
}

/**
 * The function that a model module exports as `createModel`: float32 [n, height, width, 3], as the transforms
 * give them → logits float32 [n, numClasses].
 */
export type CreateUserModel = (
  options: UserModelOptions,
  tf: TensorFlow,
) => LayersModel | Promise<LayersModel>;

/** The settings with which a network of the user's own is built. */
export interface UserModelSettings extends LearningOptions {
  readonly numClasses: number;
  /** Height and width; `null` where they differ from part to part. */
  readonly inputSize: readonly [height: number | null, width: number | null];
  /** Seed of the run. */
  readonly seed: number;
}

const CHANNELS = 3;

/** The last layers of the users' own models. */
const heads = new WeakMap<tf.LayersModel, readonly [string]>();

/** Names of the last layer of a user's own model; nothing for a model of another origin. */
export function userModelHeads(model: tf.LayersModel): readonly [string] | undefined {
  return heads.get(model);
}

/**
 * Imports a model module and makes its network. The engine must be open.
 *
 * @param url `file:` URL
 * @throws {UsageError} when there is none, or it can't be trained here
 */
export async function createUserModel(
  url: string,
  { numClasses, inputSize, seed, ...learning }: UserModelSettings,
): Promise<tf.LayersModel> {
  const module = await importModule("model.module", url);
  const create = exportedFunction<CreateUserModel>(module, "createModel");
  const options: UserModelOptions = {
    numClasses,
    inputShape: [...inputSize, CHANNELS],
    seed: 1 + Math.floor(randomStream(seed, "model")() * 0x7fff_fffe),
  };
  const model = await call(module, create, options);
  const problem = problemOf(model, numClasses, inputSize);
  if (problem) throw new UsageError(`model.module: createModel of ${url} gives ${problem}`);
  adaptLayers(model, url);
  const parameters = parametersOf(model).filter(({ buffer }) => !buffer);
  const head = parameters.at(-1)?.layer;
  if (head === undefined) {
    throw new UsageError(`model.module: createModel of ${url} gives a model without parameters`);
  }
  heads.set(model, [head]);
  chooseLearning(model, [head], learning);
  if (!parametersOf(model).some(({ buffer, trainable }) => !buffer && trainable)) {
    throw new UsageError(
      `model.module: nothing of the model of ${url} learns: set trainable to true for some of its layers`,
    );
  }
  requireDifferentNames(model, url);
  return model;
}

/**
 * Runs a user's function with numbers from the seed in the place of `Math.random`, from which TensorFlow.js seeds
 * the initializers that are given no seed: so that the same seed gives the same weights all the same.
 */
async function call(
  module: UserModule,
  create: CreateUserModel,
  options: UserModelOptions,
): Promise<tf.LayersModel> {
  const random = Math.random;
  Math.random = randomStream(options.seed, "initializers");
  try {
    return await create(options, tf) as tf.LayersModel;
  } catch (error) {
    const message = thrownMessage(module, "createModel", error);
    throw new UsageError(`model.module: ${message}`, { cause: error });
  } finally {
    Math.random = random;
  }
}

/** Describes the problem with the model that a user's code returned, as the end of a sentence. */
function problemOf(
  model: tf.LayersModel,
  numClasses: number,
  inputSize: UserModelSettings["inputSize"],
): string | undefined {
  if (!(model instanceof tf.LayersModel)) {
    const isForeign = typeof (model as { predict?: unknown } | undefined)?.predict === "function";
    return isForeign
      ? "a model of another copy of TensorFlow.js: make it with the tf that createModel is given"
      : "no tf.LayersModel: return one, such as of tf.sequential() or tf.model()";
  }
  const { inputs, outputs } = model;
  if (inputs?.length !== 1 || outputs?.length !== 1) {
    return `a model of ${inputs?.length ?? 0} inputs and ${
      outputs?.length ?? 0
    } outputs: one of each is needed`;
  }
  const [input, output] = [inputs[0], outputs[0]];
  const shape = input.shape as (number | null)[];
  const wanted = `float32 [null, ${
    inputSize.map((side) => side ?? "null").join(", ")
  }, ${CHANNELS}]`;
  const fits = shape.length === 4 && shape[3] === CHANNELS &&
    inputSize.every((side, axis) => shape[axis + 1] === null || shape[axis + 1] === side);
  if (!fits || input.dtype !== "float32") {
    return `a model whose input is ${input.dtype} ${show(shape)}, but images are ${wanted}: ` +
      "give inputShape to the first layer";
  }
  const logits = output.shape as (number | null)[];
  if (logits.length !== 2 || logits[1] !== numClasses || output.dtype !== "float32") {
    return `a model whose output is ${output.dtype} ${
      show(logits)
    }, but a logit for each class is ` +
      `float32 [null, ${numClasses}]: end in a dense layer of numClasses units`;
  }
}

function show(shape: readonly (number | null)[]): string {
  return `[${shape.map((size) => size ?? "null").join(", ")}]`;
}

/** A name that TensorFlow.js hasn't made up may look like one of those that are counted. */
function requireDifferentNames(model: tf.LayersModel, url: string): void {
  const names = namedLayers(model).map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice === undefined) return;
  throw new UsageError(
    `model.module: two layers of ${url} are called ${twice}: give all layers names, such as { name: "conv1" }`,
  );
}
