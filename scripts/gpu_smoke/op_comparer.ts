/**
 * Runs each op on the CPU and, once for each kind of input, on the checked device with the same inputs, and compares
 * the outputs.
 *
 * @module
 */
import { type Attribute, DATA_TYPES } from "../../src/engine/binding/attributes.ts";
import type {
  OpRecorder,
  TensorDescription,
  TensorId,
  TensorMetadata,
} from "../../src/engine/binding/runtime.ts";
import { messageOf } from "../../src/base/errors.ts";
import { difference, largest } from "./compare.ts";

/** Values as the runtime reads them. */
export type Values = Float32Array | Int32Array | Uint8Array | BigInt64Array | Uint8Array[];

/** The subset of the runtime that the comparer uses. */
export interface OpRunner {
  tracer: OpRecorder | undefined;
  executeOnHost(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[];
  executeOn(
    device: string,
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[];
  describe(id: TensorId): TensorDescription;
  createTensor(shape: readonly number[], dtype: number, values: unknown): TensorId;
  read(id: TensorId): Values;
  deleteTensor(id: TensorId): void;
}

/** The comparison of an op with inputs of some shapes and types. */
export interface OpComparison {
  readonly op: string;
  /** Types and shapes of its inputs. */
  readonly inputs: string;
  /** The largest error of its outputs, relative to the scale. */
  readonly error: number;
  readonly rms: number;
  readonly limit: number;
  /** The reason why the op failed on the device, or what differs besides values. */
  readonly problem?: string;
}

/**
 * Largest error of a float32 output relative to its largest value, for ops that add up many products: algorithms for
 * convolutions (Winograd, FFT) lose some of the last bits.
 */
export const SUMMING_LIMIT = 1e-3;
/** The same for all other ops: a few units in the last place. */
export const PLAIN_LIMIT = 2e-5;

const SUMMING = /^(Conv|Depthwise|MatMul|BatchMatMul|_FusedConv|FusedBatchNorm|Sum|Mean|AvgPool)/;

/**
 * Returns the first output that isn't compared: what a device keeps for the gradient op in a form of its own, and, of a
 * batch normalization in evaluation, statistics that nobody asks for.
 */
function firstOpaque(name: string, attributes: readonly Attribute[]): number {
  if (!name.startsWith("FusedBatchNorm")) return Infinity;
  const isTraining = attributes.find(({ name }) => name === "is_training")?.value !== false;
  return isTraining ? 3 : 1;
}

/** A recorder that compares. While it is the runtime's tracer, all ops run on the CPU. */
export class OpComparer implements OpRecorder {
  readonly xla = false;
  /** In the order of the first runs. */
  readonly comparisons = new Map<string, OpComparison>();
  readonly #runner: OpRunner;
  readonly #device: string;
  /** The device's own opaque outputs, by the CPU's. */
  readonly #twins = new Map<TensorId, TensorId>();

  /** @param device Name of the device that is compared */
  constructor(runner: OpRunner, device: string) {
    this.#runner = runner;
    this.#device = device;
  }

  /** Names of the compared ops, sorted. */
  get ops(): string[] {
    return [...new Set([...this.comparisons.values()].map(({ op }) => op))].sort();
  }

  addOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[] {
    this.#runner.tracer = undefined;
    try {
      const outputs = this.#runner.executeOnHost(name, attributes, inputs);
      const described = inputs.map((id) => this.#described(id)).join(", ");
      const key = `${name} ${JSON.stringify(attributes.map(({ value }) => value))} ${described}`;
      if (!this.comparisons.has(key)) {
        this.comparisons.set(key, {
          op: name,
          inputs: described,
          ...this.#compare(name, attributes, inputs, outputs),
        });
      }
      return outputs;
    } finally {
      this.#runner.tracer = this;
    }
  }

  /** Tensors made by JavaScript have values here. */
  addConstant(): void {}

  /** All values may be read: every op has run. */
  assertReadable(): void {}

  /** Releases what was kept for gradient ops; call it between networks. */
  release(): void {
    for (const id of this.#twins.values()) this.#runner.deleteTensor(id);
    this.#twins.clear();
  }

  #compare(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
    outputs: readonly TensorMetadata[],
  ): Omit<OpComparison, "op" | "inputs"> {
    if (name === "MaxPoolGrad") return this.#compareUntied(attributes, inputs);
    const limit = SUMMING.test(name) ? SUMMING_LIMIT : PLAIN_LIMIT;
    const own = inputs.map((id) => this.#twins.get(id) ?? id);
    let results: TensorMetadata[];
    try {
      results = this.#runner.executeOn(this.#device, name, attributes, own);
    } catch (error) {
      return { error: Infinity, rms: Infinity, limit, problem: messageOf(error) };
    }
    const opaque = firstOpaque(name, attributes);
    const scale = this.#scaleOf(name, inputs, outputs);
    let [worst, rms] = [0, 0];
    const problems: string[] = [];
    for (const [index, { id, shape, dtype }] of results.entries()) {
      const expected = outputs[index]!;
      if (index >= opaque) {
        if (name === "FusedBatchNormV3") this.#twins.set(expected.id, id);
        else this.#runner.deleteTensor(id);
        continue;
      }
      if (`${shape}` !== `${expected.shape}` || dtype !== expected.dtype) {
        problems.push(`output ${index} is [${shape}] in the place of [${expected.shape}]`);
      } else {
        const found = differenceOf(this.#runner.read(id), this.#runner.read(expected.id), scale);
        worst = Math.max(worst, found.max);
        rms = Math.max(rms, found.rms);
      }
      this.#runner.deleteTensor(id);
    }
    return { error: worst, rms, limit, ...(problems[0] ? { problem: problems[0] } : {}) };
  }

  /**
   * The gradient of max pooling goes to one of several largest values, and devices choose another one of equals. So it
   * is compared on values that all differ.
   */
  #compareUntied(
    attributes: readonly Attribute[],
    [input, , gradient]: readonly TensorId[],
  ): Omit<OpComparison, "op" | "inputs"> {
    const runner = this.#runner;
    const { shape } = runner.describe(input!);
    const count = shape.reduce((product, side) => product * side, 1);
    const values = Float32Array.from({ length: count }, (_, at) => (at * 7919) % count);
    const untied = runner.createTensor(shape, DATA_TYPES.TF_FLOAT, values);
    const forward = attributes.filter(({ name }) => !/explicit_paddings/.test(name));
    const pooled = runner.executeOnHost("MaxPool", forward, [untied])[0]!.id;
    const inputs = [untied, pooled, gradient!];
    try {
      const expected = runner.executeOnHost("MaxPoolGrad", attributes, inputs)[0]!.id;
      const got = runner.executeOn(this.#device, "MaxPoolGrad", attributes, inputs)[0]!.id;
      const { max, rms } = differenceOf(runner.read(got), runner.read(expected));
      for (const id of [expected, got]) runner.deleteTensor(id);
      return { error: max, rms, limit: PLAIN_LIMIT };
    } catch (error) {
      return { error: Infinity, rms: Infinity, limit: PLAIN_LIMIT, problem: messageOf(error) };
    } finally {
      for (const id of [untied, pooled]) runner.deleteTensor(id);
    }
  }

  /** A sum's error is relative to what was added up, as terms may cancel out; undefined for other ops. */
  #scaleOf(
    name: string,
    inputs: readonly TensorId[],
    outputs: readonly TensorMetadata[],
  ): number | undefined {
    if (name !== "Sum" && name !== "Mean") return undefined;
    const terms = this.#runner.read(inputs[0]!);
    const sums = this.#runner.read(outputs[0]!.id);
    if (!(terms instanceof Float32Array && sums instanceof Float32Array)) return undefined;
    const perSum = terms.reduce((sum, value) => sum + Math.abs(value), 0) / sums.length;
    const divisor = name === "Mean" ? terms.length / sums.length : 1;
    return Math.max(largest(sums), perSum / divisor);
  }

  #described(id: TensorId): string {
    const { shape, dtype } = this.#runner.describe(id);
    return `${DTYPE_NAMES[dtype] ?? dtype}[${shape}]`;
  }
}

const DTYPE_NAMES: Readonly<Record<number, string>> = {
  [DATA_TYPES.TF_FLOAT]: "float32",
  [DATA_TYPES.TF_INT32]: "int32",
  [DATA_TYPES.TF_UINT8]: "uint8",
  [DATA_TYPES.TF_INT64]: "int64",
  [DATA_TYPES.TF_BOOL]: "bool",
};

/** Compares values; integers and truth values must be equal. */
function differenceOf(
  got: Values,
  expected: Values,
  scale?: number,
): { max: number; rms: number } {
  if (got instanceof Float32Array && expected instanceof Float32Array) {
    return difference(got, expected, scale);
  }
  const wrong = Array.from(expected as ArrayLike<unknown>).some((value, at) =>
    String(value) !== String((got as ArrayLike<unknown>)[at])
  );
  return wrong ? { max: Infinity, rms: Infinity } : { max: 0, rms: 0 };
}

/** Tells whether a comparison shows a wrong device. */
export function isWrong({ error, limit, problem }: OpComparison): boolean {
  return problem !== undefined || !(error <= limit);
}
