/**
 * Vectors that TensorFlow's fused optimizer kernels change in place: one pass over the memory where composed ops take
 * several, each into fresh memory (ResNet-18's SGD step with momentum: a tenth of the time).
 *
 * The vectors live on the CPU, whatever other devices there are: the kernels read and write memory that processes
 * share.
 *
 * @module
 */
import {
  type Attribute,
  ATTRIBUTE_TYPES,
  DATA_TYPES,
  typeAttribute,
} from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import type { TensorId } from "./binding/runtime.ts";

const FLOAT = DATA_TYPES.TF_FLOAT;
const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
const DTYPE = typeAttribute("dtype", FLOAT);

let made = 0;

/** A float32 vector in TensorFlow's own memory; only there may kernels write in place. */
export class NativeVector implements Disposable {
  /** Bytes of the vector. */
  readonly byteLength: number;
  /** The resource that kernels change. */
  readonly handle: TensorId;

  /** @param values Copied */
  constructor(values: Uint8Array) {
    this.byteLength = values.byteLength;
    const text = (name: string, value: string): Attribute => ({
      name,
      type: ATTRIBUTE_TYPES.TF_ATTR_STRING,
      value,
    });
    const attributes = [
      DTYPE,
      { name: "shape", type: ATTRIBUTE_TYPES.TF_ATTR_SHAPE, value: this.#shape },
      text("container", ""),
      text("shared_name", `lockstep_vector_${made++}`),
    ];
    this.handle = nativeBackend().runtime.executeOnHost("VarHandleOp", attributes, [])[0].id;
    this.assign(values);
  }

  /** Takes over values, which are copied. */
  assign(values: Uint8Array): void {
    const { runtime } = nativeBackend();
    const tensor = runtime.createTensor(this.#shape, FLOAT, values);
    runtime.executeOnHost("AssignVariableOp", [DTYPE], [this.handle, tensor]);
    runtime.deleteTensor(tensor); // the resource must hold it alone, or kernels would copy before they write
  }

  /** Copies the values into memory that is there already. */
  readInto(destination: Uint8Array): void {
    const { runtime } = nativeBackend();
    const [{ id }] = runtime.executeOnHost("ReadVariableOp", [DTYPE], [this.handle]);
    try {
      runtime.readInto(id, destination);
    } finally {
      runtime.deleteTensor(id);
    }
  }

  get #shape(): number[] {
    return [this.byteLength / FLOAT_BYTES];
  }

  [Symbol.dispose](): void {
    const { runtime } = nativeBackend();
    runtime.executeOnHost("DestroyResourceOp", [], [this.handle]);
    runtime.deleteTensor(this.handle);
  }
}

/** A tensor that looks at memory of ours, which kernels only read. */
export class VectorView implements Disposable {
  readonly id: TensorId;

  /** @param memory Aligned to 64 bytes; must not be written to while a kernel reads it */
  constructor(memory: Uint8Array<ArrayBuffer>) {
    const shape = [memory.byteLength / FLOAT_BYTES];
    this.id = nativeBackend().runtime.createView(shape, FLOAT, memory);
  }

  [Symbol.dispose](): void {
    nativeBackend().runtime.deleteTensor(this.id);
  }
}

/** `a + factor · b`, as a tensor that the caller releases. */
export function sumScaled(a: VectorView, factor: number, b: VectorView): Disposable & VectorView {
  const { runtime } = nativeBackend();
  const type = [typeAttribute("T", FLOAT)];
  const scalar = runtime.createTensor([], FLOAT, Float32Array.of(factor));
  const [scaled] = runtime.executeOnHost("Mul", type, [b.id, scalar]);
  const [{ id }] = runtime.executeOnHost("AddV2", type, [a.id, scaled.id]);
  runtime.deleteTensor(scalar);
  runtime.deleteTensor(scaled.id);
  return { id, [Symbol.dispose]: () => runtime.deleteTensor(id) };
}

/** `factor · vector`, as a tensor that the caller releases. */
export function scaled(factor: number, vector: VectorView): Disposable & VectorView {
  const { runtime } = nativeBackend();
  const scalar = runtime.createTensor([], FLOAT, Float32Array.of(factor));
  const [{ id }] = runtime.executeOnHost("Mul", [typeAttribute("T", FLOAT)], [vector.id, scalar]);
  runtime.deleteTensor(scalar);
  return { id, [Symbol.dispose]: () => runtime.deleteTensor(id) };
}

/** `target += factor · source`. */
export async function addScaled(
  target: NativeVector,
  factor: number,
  source: VectorView,
): Promise<void> {
  const inputs = [target.handle, { scalar: -factor }, source.id];
  await run("ResourceApplyGradientDescent", [], inputs);
}

/** `buffer = momentum · buffer + gradient; parameter −= rate · (nesterov ? gradient + momentum · buffer : buffer)`. */
export async function momentumStep(
  parameter: NativeVector,
  buffer: NativeVector,
  gradient: VectorView,
  { rate, momentum, nesterov }: { rate: number; momentum: number; nesterov: boolean },
): Promise<void> {
  await run("ResourceApplyMomentum", [nesterovAttribute(nesterov)], [
    parameter.handle,
    buffer.handle,
    { scalar: rate },
    gradient.id,
    { scalar: momentum },
  ]);
}

/**
 * `mean += (1 − β₁) · (gradient − mean); square += (1 − β₂) · (gradient² − square);
 * parameter −= rate · mean / (√square + epsilon)`.
 */
export async function adamStep(
  parameter: NativeVector,
  { mean, square }: { mean: NativeVector; square: NativeVector },
  gradient: VectorView,
  { rate, beta1, beta2, epsilon }: Record<"rate" | "beta1" | "beta2" | "epsilon", number>,
): Promise<void> {
  // The kernel's own bias corrections, which it computes in float32, are left out: powers of 0.
  const [power, ...numbers] = [0, rate, beta1, beta2, epsilon].map((scalar) => ({ scalar }));
  await run("ResourceApplyAdam", [nesterovAttribute(false)], [
    ...[parameter, mean, square].map(({ handle }) => handle),
    ...[power, power, ...numbers],
    gradient.id,
  ]);
}

function nesterovAttribute(value: boolean): Attribute {
  return { name: "use_nesterov", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value };
}

/** Runs a kernel on another thread; plain numbers become scalar tensors for its length. */
async function run(
  op: string,
  attributes: readonly Attribute[],
  inputs: readonly (TensorId | { scalar: number })[],
): Promise<void> {
  const { runtime } = nativeBackend();
  const scalars: TensorId[] = [];
  const ids = inputs.map((input) => {
    if (typeof input === "number") return input;
    const id = runtime.createTensor([], FLOAT, Float32Array.of(input.scalar));
    scalars.push(id);
    return id;
  });
  try {
    await runtime.executeOnHostAsync(op, [typeAttribute("T", FLOAT), ...attributes], ids);
  } finally {
    scalars.forEach((id) => runtime.deleteTensor(id));
  }
}
