/**
 * A model's state under PyTorch's names and in PyTorch's layout: in and out.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { UsageError } from "../base/errors.ts";
import { tf } from "../engine/tf.ts";
import { readInto } from "../engine/transfer.ts";
import { classesOf, isPartOf } from "./heads.ts";
import {
  fromTorch,
  type Parameter,
  type ParameterKind,
  parametersOf,
  toTorch,
} from "./parameters.ts";
import { recognizeArchitecture } from "./recognize.ts";

/** Values of one parameter or buffer. */
export interface StateValues {
  /** PyTorch's shape. */
  readonly shape: readonly number[];
  /**
   * Reads the values, row-major.
   *
   * @throws {UsageError} when they can't be those of a parameter or buffer
   */
  readonly read: () => Float32Array;
}

/** Settings of {@linkcode loadStateDict}. */
export interface LoadOptions {
  /** The source of the state, for messages. */
  readonly source: string;
  /** Names of the last layers, the main one first. */
  readonly heads: readonly string[];
  /** Leave the last layers as they were drawn when the state's own don't fit. */
  readonly replaceHead: boolean;
}

/** The result of {@linkcode loadStateDict}. */
export interface LoadReport {
  /** Parameters and buffers that were set. */
  readonly loaded: number;
  /** The last layers that were left as they were drawn, because the state's own don't fit. */
  readonly freshHeads?: readonly string[];
  /** Classes of the state's own main head, where it was left out and is a single layer. */
  readonly replacedHeadClasses?: number;
  /**
   * Notes on the entries that were taken from a file, the prefixes that were removed from their names and the
   * entries that were left out; none where the file is a plain state dict.
   */
  readonly notes?: readonly string[];
}

/** PyTorch counts batches in BatchNorm, which is no parameter: see `batch_counts.ts`. */
const IGNORED = /\.num_batches_tracked$/;

/** Names listed in a message before the number of further ones. */
const LISTED = 5;

/**
 * Sets a model's parameters and buffers; all of them or, when the state doesn't fit, none.
 *
 * @throws {UsageError} listing missing, unexpected and mis-shaped names, or naming a tensor whose values can't be used
 */
export function loadStateDict(
  model: tf.LayersModel,
  state: ReadonlyMap<string, StateValues>,
  options: LoadOptions,
): LoadReport {
  const { source, heads, replaceHead } = options;
  const parameters = parametersOf(model);
  const misfits = findMisfits(parameters, state);
  const wrong = [...misfits.missing, ...misfits.unexpected, ...misfits.misshaped];
  const freshHeads = heads.filter((head) => wrong.some((name) => isPartOf(name, [head])));
  const headOnly = freshHeads.length > 0 && wrong.every((name) => isPartOf(name, heads));
  const ownHead = state.get(`${heads[0]}.weight`);
  if (headOnly && !replaceHead) refuseHead(misfits, model, source, ownHead);
  if (!headOnly && wrong.length > 0) refuseMisfits(misfits, model.name, state, options);

  const fitting = parameters.filter(({ name }) => !headOnly || !isPartOf(name, freshHeads));
  const values = fitting.map(({ name }) => state.get(name)!.read()); // all of them before the first is set
  fitting.forEach(({ variable, kind, torchShape }, index) =>
    assignTorch(variable, values[index], torchShape, kind)
  );
  return {
    loaded: fitting.length,
    ...(headOnly ? { freshHeads } : {}),
    ...(headOnly && ownHead ? { replacedHeadClasses: ownHead.shape[0] } : {}),
  };
}

/** Refuses a head that doesn't fit although the body does, as the caller didn't allow a replacement. */
function refuseHead(
  misfits: Misfits,
  model: tf.LayersModel,
  source: string,
  ownHead: StateValues | undefined,
): never {
  const classes = classesOf(model);
  const difference = ownHead && ownHead.shape[0] !== classes
    ? `${source} is a network of ${ownHead.shape[0]} classes, and ${classes} are needed`
    : `The last layers in ${source} are others than those of ${model.name} here`;
  throw new UsageError(
    `${difference} (${
      describeMisfits(misfits)
    }): set model.replaceHead to true to start with fresh last ` +
      "layers",
  );
}

/** Sets a variable from row-major values in PyTorch's layout. */
export function assignTorch(
  variable: tf.Variable,
  values: Float32Array,
  torchShape: readonly number[],
  kind: ParameterKind,
): void {
  tf.tidy(() => variable.assign(fromTorch(tf.tensor(values, [...torchShape]), kind)));
}

/**
 * Values of a parameter in PyTorch's layout.
 *
 * @returns float32, row-major, little-endian
 */
export function readTorch(values: tf.Tensor, kind: ParameterKind): Uint8Array {
  const bytes = new Uint8Array(values.size * 4);
  // Not returned through tidy(), which would look for tensors among the elements, one by one.
  tf.tidy(() => readInto(toTorch(values, kind), bytes));
  return bytes;
}

interface Misfits {
  /** Parameters and buffers of the model. */
  readonly parameters: number;
  readonly missing: string[];
  readonly unexpected: string[];
  readonly misshaped: string[];
  readonly shapes: ReadonlyMap<string, string>;
}

function findMisfits(
  parameters: readonly Parameter[],
  state: ReadonlyMap<string, StateValues>,
): Misfits {
  const known = new Set(parameters.map(({ name }) => name));
  const shapes = new Map<string, string>();
  for (const { name, torchShape } of parameters) {
    const found = state.get(name)?.shape;
    if (found && found.join() !== torchShape.join()) {
      shapes.set(name, `${name} is [${found}], expected [${torchShape}]`);
    }
  }
  return {
    parameters: parameters.length,
    missing: parameters.filter(({ name }) => !state.has(name)).map(({ name }) => name),
    unexpected: [...state.keys()].filter((name) => !known.has(name) && !IGNORED.test(name)),
    misshaped: [...shapes.keys()],
    shapes,
  };
}

function refuseMisfits(
  misfits: Misfits,
  model: string,
  state: ReadonlyMap<string, StateValues>,
  { source }: LoadOptions,
): never {
  const found = recognizeArchitecture(
    new Map([...state].map(([name, { shape }]) => [name, shape])),
  );
  if (found && found !== model) {
    throw new UsageError(
      `${source} holds the weights of ${found}, not of ${model}: set model.name to ${found}, or give another file`,
    );
  }
  const wrong = misfits.missing.length + misfits.misshaped.length;
  const cure = wrong < misfits.parameters / 2 && misfits.unexpected.length === 0
    ? "save the whole model.state_dict() again, or give another file"
    : `give a file whose tensors are named and shaped as those of ${model}`;
  throw new UsageError(
    `${source} doesn't hold the weights of ${model}: ${describeMisfits(misfits)}: ${cure}`,
  );
}

function describeMisfits(misfits: Misfits): string {
  const { missing, unexpected, misshaped, shapes } = misfits;
  return [
    missing.length > 0 ? `missing: ${list(missing)}` : "",
    unexpected.length > 0 ? `unexpected: ${list(unexpected)}` : "",
    misshaped.length > 0
      ? `of another shape: ${list(misshaped.map((name) => shapes.get(name)!))}`
      : "",
  ].filter((part) => part !== "").join("; ");
}

function list(names: readonly string[]): string {
  return listed(names, { max: LISTED });
}
