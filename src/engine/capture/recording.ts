/**
 * Records the ops of a computation as plain data, so that it can be written in another form.
 *
 * @module
 */
import type { Attribute } from "../binding/attributes.ts";
import { nativeBackend } from "../backend.ts";
import type {
  OpRecorder,
  Runtime,
  TensorDescription,
  TensorId,
  TensorMetadata,
} from "../binding/runtime.ts";
import { tf } from "../tf.ts";
import { Tracer } from "./tracer.ts";

/** One op of a recording; tensors are known by number. */
export interface RecordedOp {
  readonly op: string;
  readonly attributes: readonly Attribute[];
  readonly inputs: readonly TensorId[];
  readonly outputs: readonly TensorId[];
}

/** A tensor that no op of the recording computed. */
export interface RecordedConstant extends TensorDescription {
  /** Row-major, of the dtype's size each. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The ops of a computation in the order in which they ran, and what they began with. */
export interface Recording {
  readonly ops: readonly RecordedOp[];
  readonly inputs: readonly TensorId[];
  readonly results: readonly TensorId[];
  /** Types and shapes of what the ops gave. */
  readonly computed: ReadonlyMap<TensorId, TensorDescription>;
  /** Positions in the list of variables of those that ops take. */
  readonly variables: ReadonlyMap<TensorId, number>;
  /** Everything else that ops take: tensors that JavaScript made. */
  readonly constants: ReadonlyMap<TensorId, RecordedConstant>;
}

/**
 * Records what `fn` does to float32 inputs of these shapes. Nothing is computed, so the inputs have no values.
 *
 * @param fn Synchronous; may not read values back in JavaScript
 * @param variables The variables that `fn` reads; their values are not copied
 * @throws {EngineError} when `fn` reads values back, or when a shape depends on values
 */
export function recordOps(
  fn: (...inputs: tf.Tensor[]) => tf.Tensor[],
  shapes: readonly (readonly number[])[],
  variables: readonly tf.Variable[],
): Recording {
  const backend = nativeBackend();
  const { runtime } = backend;
  const inputs = shapes.map((shape) => tf.zeros([...shape]));
  const ids = backend.getInputTensorIds(inputs);
  using tracer = new Tracer(runtime, ids);
  const recorder = new Recorder(runtime, tracer, ids, backend.getInputTensorIds(variables));
  let results: tf.Tensor[] = [];
  runtime.tracer = recorder;
  try {
    results = tf.tidy(() => fn(...inputs));
    const { ops, computed, constants, variables: used } = recorder;
    const resultIds = backend.getInputTensorIds(results);
    return { ops, inputs: ids, results: resultIds, computed, variables: used, constants };
  } finally {
    runtime.tracer = undefined;
    tf.dispose([...inputs, ...results]);
  }
}

/** Lets a tracer find types and shapes, and keeps the ops that it is given. */
class Recorder implements OpRecorder {
  readonly xla = false;
  readonly ops: RecordedOp[] = [];
  readonly computed = new Map<TensorId, TensorDescription>();
  readonly variables = new Map<TensorId, number>();
  readonly constants = new Map<TensorId, RecordedConstant>();
  readonly #runtime: Runtime;
  readonly #tracer: Tracer;
  readonly #inputs: ReadonlySet<TensorId>;
  /** The variables' values; several may share one, which then counts as the first one's. */
  readonly #positions: ReadonlyMap<TensorId, number>;

  constructor(
    runtime: Runtime,
    tracer: Tracer,
    inputs: readonly TensorId[],
    variables: readonly TensorId[],
  ) {
    this.#runtime = runtime;
    this.#tracer = tracer;
    this.#inputs = new Set(inputs);
    this.#positions = new Map(
      variables.map((id, position) => [id, position] as const).reverse(),
    );
  }

  addOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[] {
    for (const id of inputs) this.#meet(id);
    const outputs = this.#tracer.addOp(name, attributes, inputs);
    for (const { id, ...description } of outputs) this.computed.set(id, description);
    this.ops.push({
      op: name,
      attributes: [...attributes],
      inputs: [...inputs],
      outputs: outputs.map(({ id }) => id),
    });
    return outputs;
  }

  addConstant(id: TensorId, dtype: number, tensor: Deno.PointerValue): void {
    this.#tracer.addConstant(id, dtype, tensor);
    this.#keep(id);
  }

  assertReadable(id: TensorId): void {
    this.#tracer.assertReadable(id);
  }

  /** Notes where a tensor comes from that an op takes. */
  #meet(id: TensorId): void {
    if (this.#inputs.has(id) || this.computed.has(id) || this.constants.has(id)) return;
    const position = this.#positions.get(id);
    if (position === undefined) this.#keep(id);
    else this.variables.set(id, position);
  }

  /** Copies a tensor, which may be gone when the recording is used. */
  #keep(id: TensorId): void {
    const values = this.#runtime.read(id) as Float32Array<ArrayBuffer>;
    const { buffer, byteOffset, byteLength } = values;
    this.constants.set(id, {
      ...this.#runtime.describe(id),
      bytes: new Uint8Array(buffer, byteOffset, byteLength),
    });
  }
}
