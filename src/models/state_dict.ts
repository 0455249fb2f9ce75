/**
 * A model's state under PyTorch's names and in PyTorch's layout: in and out.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { tf } from "../engine/tf.ts";
import { readInto } from "../engine/transfer.ts";
import {
  fromTorch,
  type Parameter,
  type ParameterKind,
  parametersOf,
  toTorch,
} from "./parameters.ts";

/** Values of one parameter or buffer. */
export interface StateValues {
  /** PyTorch's shape. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: Float32Array;
}

/** Settings of {@linkcode loadStateDict}. */
export interface LoadOptions {
  /** Where the state comes from, for messages. */
  readonly source: string;
  /** Name of the last layer. */
  readonly head: string;
  /** Leave the last layer as it was drawn when its number of classes differs. */
  readonly replaceHead: boolean;
}

/** What {@linkcode loadStateDict} did. */
export interface LoadReport {
  /** Parameters and buffers that were set. */
  readonly loaded: number;
  /** Classes of the state's own head, where it was left out. */
  readonly replacedHeadClasses?: number;
}

/** PyTorch counts batches in BatchNorm; nothing reads the count. */
const IGNORED = /\.num_batches_tracked$/;

/** Names listed in a message before it says how many more there are. */
const LISTED = 5;

/**
 * Sets a model's parameters and buffers; all of them or, when the state doesn't fit, none.
 *
 * @throws {UsageError} listing missing, unexpected and mis-shaped names
 */
export function loadStateDict(
  model: tf.LayersModel,
  state: ReadonlyMap<string, StateValues>,
  options: LoadOptions,
): LoadReport {
  const parameters = parametersOf(model);
  const misfits = findMisfits(parameters, state);
  const isHead = (name: string) => name.startsWith(`${options.head}.`);
  const headWeight = state.get(`${options.head}.weight`);
  const headOnly = misfits.misshaped.length > 0 && misfits.misshaped.every(isHead) &&
    misfits.missing.length + misfits.unexpected.length === 0 && headWeight !== undefined;
  if (headOnly && !options.replaceHead) {
    const classes = model.outputShape.at(-1);
    throw new UsageError(
      `${options.source} is a network of ${
        headWeight.shape[0]
      } classes, and ${classes} are needed ` +
        `(${options.head}.weight is [${headWeight.shape}]): set model.replaceHead to true to start ` +
        "with a fresh last layer",
    );
  }
  if (!headOnly) refuseMisfits(misfits, model.name, options.source);

  const fitting = parameters.filter(({ name }) => !headOnly || !isHead(name));
  for (const { name, variable, kind, torchShape } of fitting) {
    assignTorch(variable, state.get(name)!.values, torchShape, kind);
  }
  return {
    loaded: fitting.length,
    ...(headOnly ? { replacedHeadClasses: headWeight.shape[0] } : {}),
  };
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
 * A variable's values in PyTorch's layout.
 *
 * @returns float32, row-major, little-endian
 */
export function readTorch(variable: tf.Variable, kind: ParameterKind): Uint8Array {
  const bytes = new Uint8Array(variable.size * 4);
  // Not returned through tidy(), which would look for tensors among the elements, one by one.
  tf.tidy(() => readInto(toTorch(variable, kind), bytes));
  return bytes;
}

interface Misfits {
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
    missing: parameters.filter(({ name }) => !state.has(name)).map(({ name }) => name),
    unexpected: [...state.keys()].filter((name) => !known.has(name) && !IGNORED.test(name)),
    misshaped: [...shapes.keys()],
    shapes,
  };
}

function refuseMisfits(misfits: Misfits, model: string, source: string): void {
  const { missing, unexpected, misshaped, shapes } = misfits;
  const parts = [
    missing.length > 0 ? `missing: ${list(missing)}` : "",
    unexpected.length > 0 ? `unexpected: ${list(unexpected)}` : "",
    misshaped.length > 0
      ? `of another shape: ${list(misshaped.map((name) => shapes.get(name)!))}`
      : "",
  ].filter((part) => part !== "");
  if (parts.length === 0) return;
  throw new UsageError(
    `${source} doesn't hold the weights of ${model}: ${parts.join("; ")}. ` +
      "Set model.name to the architecture that it was saved from, or give another file",
  );
}

function list(names: readonly string[]): string {
  const more = names.length - LISTED;
  return names.slice(0, LISTED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
