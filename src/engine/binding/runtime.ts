/**
 * The native side of the engine: the library, its eager context, and the tensors that JavaScript holds.
 *
 * @module
 */
import { BinaryWriter, WireType } from "../../deps/protobuf_wire.ts";
import { addressOf, ALIGNMENT_BYTES } from "../../base/aligned_memory.ts";
import {
  type Attribute,
  ATTRIBUTE_TYPES,
  type AttributeWriter,
  cText,
  DATA_TYPES,
  eagerAttributes,
} from "./attributes.ts";
import { cString, EngineError, Status } from "./status.ts";
import type { LibTensorflow } from "./symbols.ts";

/** Number by which tfjs's backend knows a native tensor. */
export type TensorId = number;

/** An output of an op, as tfjs's backend expects it. */
export interface TensorMetadata {
  id: TensorId;
  shape: number[];
  dtype: number;
}

/** A device that TensorFlow may place ops on. */
export interface Device {
  /** TensorFlow's name, such as `/job:localhost/replica:0/task:0/device:GPU:0`. */
  readonly name: string;
  /** Kind of device, such as `CPU` or `GPU`. */
  readonly type: string;
}

/** Type and shape of a tensor. */
export type TensorDescription = Omit<TensorMetadata, "id">;

/**
 * A point of a recorded function at which a small tensor is handed out in each call, and another one is taken in its
 * place before the ops that were recorded after it.
 */
export interface ExchangePoint {
  /** The meaning of the values, for those who exchange them. */
  readonly kind: string;
  /** float32 values that are handed out. */
  readonly given: number;
  /** float32 values that are taken. */
  readonly taken: number;
  /** Facts that the exchange needs beside the values. */
  readonly facts: Readonly<Record<string, number>>;
}

/** Records ops instead of running them. */
export interface OpRecorder {
  /** `true` where XLA will compile the recorded ops. */
  readonly xla: boolean;
  /**
   * Adds a point at which a float32 vector is exchanged, and returns the one that is taken, a symbol. Missing where
   * calls exchange nothing.
   */
  addExchangePoint?(id: TensorId, point: ExchangePoint): TensorMetadata;
  /** Adds an op; its outputs are symbols. */
  addOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[];
  /** A tensor came from JavaScript's memory. */
  addConstant(id: TensorId, dtype: number, tensor: Deno.PointerValue): void;
  /** @throws {EngineError} when the tensor's values must not be read now */
  assertReadable(id: TensorId): void;
}

/** Threads of TensorFlow's two pools; 0 lets TensorFlow choose. */
export interface Threads {
  /** Threads that share the work of one op. */
  readonly intraOp: number;
  /** Ops that run at the same time. */
  readonly interOp: number;
}

/** Settings of a runtime. */
export interface RuntimeOptions {
  readonly threads: Threads;
  /** Compute on the first visible GPU; without it, TensorFlow looks for none. */
  readonly gpu?: {
    /** The part of its memory that TensorFlow may take, above 0 and at most 1; all of it unless given. */
    readonly memoryFraction?: number | undefined;
  };
}

/** Bytes of an element, by `TF_DataType`; strings have none. */
const ELEMENT_BYTES: Record<number, number> = {
  [DATA_TYPES.TF_FLOAT]: 4,
  [DATA_TYPES.TF_INT32]: 4,
  [DATA_TYPES.TF_UINT8]: 1,
  [DATA_TYPES.TF_COMPLEX64]: 8,
  [DATA_TYPES.TF_INT64]: 8,
  [DATA_TYPES.TF_BOOL]: 1,
};

/** The most outputs that one call may have: an op, or a captured function of a deep network. */
const MAX_OUTPUTS = 8192;

const encoder = new TextEncoder();

/** `sizeof(TF_TString)`. */
const STRING_BYTES = 24;

/** An open library with its eager context. */
export class Runtime {
  readonly lib: LibTensorflow;
  readonly context: Deno.PointerValue;
  readonly version: string;
  readonly devices: readonly Device[];
  /** The settings that it was opened with, a `tensorflow.ConfigProto`; empty where the context is another thread's. */
  readonly config: Uint8Array<ArrayBuffer>;
  /** Records ops, which then don't run, while a function is traced. */
  tracer: OpRecorder | undefined;
  readonly #status: Status;
  readonly #handles = new Map<TensorId, Deno.PointerValue>();
  /** Tensors of a trace: type and shape, and no values. */
  readonly #symbols = new Map<TensorId, TensorDescription>();
  /** Memory that tensors look at: it must stay as long as they do. Of the GPU's only the address is known. */
  readonly #viewed = new Map<TensorId, Uint8Array<ArrayBuffer> | bigint>();
  readonly #writeAttributes: AttributeWriter;
  readonly #ownsGpu: boolean;
  readonly #outputs = new BigUint64Array(MAX_OUTPUTS);
  readonly #outputCount = new Int32Array(1);
  #nextId = 1;

  /** @param origin The options of a context of its own; or the address of an open one, which is only used */
  constructor(lib: LibTensorflow, origin: RuntimeOptions | { readonly context: bigint }) {
    this.lib = lib;
    this.version = cString(lib.TF_Version());
    this.#status = new Status(lib);
    this.#writeAttributes = eagerAttributes(lib, this.#status);
    if ("context" in origin) {
      this.config = new Uint8Array();
      this.#ownsGpu = false;
      this.context = Deno.UnsafePointer.create(origin.context);
    } else {
      this.config = configFor(origin);
      this.#ownsGpu = origin.gpu !== undefined;
      this.context = this.#openContext();
    }
    this.devices = this.#listDevices();
  }

  /** `true` where one of the devices is a GPU. */
  get hasGpu(): boolean {
    return this.devices.some(({ type }) => type === "GPU");
  }

  /** Native tensors that JavaScript holds. */
  get tensorCount(): number {
    return this.#handles.size;
  }

  /** The native handle of a tensor. */
  handle(id: TensorId): Deno.PointerValue {
    const handle = this.#handles.get(id);
    if (handle === undefined && this.#symbols.has(id)) {
      throw new EngineError(
        "FAILED_PRECONDITION",
        "capture",
        `Tensor ${id} has no values: it belongs to a trace, and was used outside of it`,
      );
    }
    if (handle === undefined) {
      throw new EngineError("NOT_FOUND", "handle", `Tensor ${id} was released before its use`);
    }
    return handle;
  }

  /**
   * Makes a native tensor from values (copied).
   *
   * @param values Typed array of the dtype's layout (int64: pairs of 32-bit words or `BigInt64Array`);
   * for strings an array of byte arrays
   */
  createTensor(shape: readonly number[], dtype: number, values: unknown): TensorId {
    if (dtype === DATA_TYPES.TF_STRING) return this.#createStrings(shape, values as Uint8Array[]);
    const bytes = bytesOf(values as ArrayBufferView | number[], dtype);
    const expected = shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]);
    if (bytes.byteLength !== expected) {
      throw new RangeError(
        `A tensor of shape [${shape}] has ${expected} bytes, the values ${bytes.byteLength}`,
      );
    }
    const tensor = this.#allocate(shape, dtype, bytes.byteLength);
    if (bytes.byteLength > 0) {
      const data = this.lib.TF_TensorData(tensor)!;
      new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(data, bytes.byteLength)).set(bytes);
    }
    return this.#adopt(tensor, dtype);
  }

  /**
   * Returns a tensor that looks at memory without a copy: later writes to the memory change the tensor. The tensor's
   * owner must not write to the memory while an op reads it.
   *
   * @throws {RangeError} when the memory isn't aligned to 64 bytes, or has another size
   */
  createView(shape: readonly number[], dtype: number, memory: Uint8Array<ArrayBuffer>): TensorId {
    const { byteLength } = memory;
    const expected = shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]);
    if (byteLength !== expected || addressOf(memory) % BigInt(ALIGNMENT_BYTES) !== 0n) {
      throw new RangeError(
        `A tensor of shape [${shape}] can't look at ${byteLength} bytes at ${addressOf(memory)}: ` +
          `it needs ${expected}, at a multiple of ${ALIGNMENT_BYTES}`,
      );
    }
    const id = this.#adopt(this.#tensorOver(shape, dtype, memory), dtype);
    this.#viewed.set(id, memory);
    return id;
  }

  /**
   * Returns a tensor that looks at memory of the GPU without a copy: the memory must stay until the tensor is released
   * and the ops that were given it are done.
   *
   * @throws {RangeError} when the address isn't a multiple of 64
   * @throws {EngineError} when there is no GPU, or while a function is traced: its values can't become constants
   */
  createDeviceView(shape: readonly number[], dtype: number, address: bigint): TensorId {
    if (address % BigInt(ALIGNMENT_BYTES) !== 0n) {
      throw new RangeError(
        `A tensor of shape [${shape}] can't look at address ${address}: it needs a multiple of ${ALIGNMENT_BYTES}`,
      );
    }
    const gpu = this.devices.find(({ type }) => type === "GPU");
    if (!gpu || this.tracer) {
      throw new EngineError(
        "FAILED_PRECONDITION",
        "createDeviceView",
        gpu
          ? "Memory of the GPU can't be wrapped while a function is traced"
          : "Memory of a GPU can't be wrapped: TensorFlow computes on the CPU",
      );
    }
    const id = this.#hold(this.#deviceHandle(shape, dtype, address, gpu.name));
    this.#viewed.set(id, address);
    return id;
  }

  /**
   * A scalar string tensor that looks at `bytes` without a copy: for one op that reads it at once. The
   * caller keeps `bytes` alive until that op is done, and releases the tensor then.
   */
  createStringView(bytes: Uint8Array<ArrayBuffer>): TensorId {
    return this.#stringTensor([], [bytes]);
  }

  /** An id for a tensor that has a type and a shape only, until it is released. */
  createSymbol(description: TensorDescription): TensorId {
    this.#symbols.set(this.#nextId, description);
    return this.#nextId++;
  }

  /** Releases a tensor. */
  deleteTensor(id: TensorId): void {
    if (this.#symbols.delete(id)) return;
    this.lib.TFE_DeleteTensorHandle(this.handle(id));
    this.#handles.delete(id);
    this.#viewed.delete(id);
  }

  /** Another id for the same tensor, with a life of its own. */
  shareTensor(id: TensorId): TensorId {
    const copy = this.lib.TFE_TensorHandleCopySharingTensor(this.handle(id), this.#status.pointer);
    this.#status.check("TFE_TensorHandleCopySharingTensor");
    const shared = this.#hold(copy);
    const viewed = this.#viewed.get(id);
    if (viewed !== undefined) this.#viewed.set(shared, viewed);
    return shared;
  }

  /** Reads a tensor into a fresh array; strings as an array of byte arrays. */
  read(id: TensorId): Float32Array | Int32Array | Uint8Array | BigInt64Array | Uint8Array[] {
    const { dtype } = this.describe(id);
    return this.#resolved(
      id,
      (data, size) => this.#valuesOf(dtype, this.#elements(id), data, size),
    );
  }

  /** A fresh array of a tensor's values; strings as an array of byte arrays. */
  #valuesOf(
    dtype: number,
    elements: number,
    data: Deno.PointerValue,
    size: number,
  ): ReturnType<Runtime["read"]> {
    if (dtype === DATA_TYPES.TF_STRING) return this.#readStrings(data, elements);
    const bytes = new Uint8Array(size);
    if (size > 0) Deno.UnsafePointerView.copyInto(data!, bytes);
    switch (dtype) {
      case DATA_TYPES.TF_FLOAT:
      case DATA_TYPES.TF_COMPLEX64:
        return new Float32Array(bytes.buffer);
      case DATA_TYPES.TF_INT32:
        return new Int32Array(bytes.buffer);
      case DATA_TYPES.TF_INT64:
        return new BigInt64Array(bytes.buffer);
      default:
        return bytes;
    }
  }

  /**
   * Reads a tensor as {@linkcode read} does; on a GPU another thread waits for the ops that make it. Other tensors may
   * be used and released meanwhile, this one too.
   */
  async readAsync(id: TensorId): Promise<ReturnType<Runtime["read"]>> {
    if (!this.hasGpu) return this.read(id); // ops of the CPU are done when they return
    this.tracer?.assertReadable(id);
    const { dtype } = this.describe(id);
    const elements = this.#elements(id);
    using status = new Status(this.lib);
    const handle = this.#freshView(id, this.#hostName) ??
      this.lib.TFE_TensorHandleCopySharingTensor(this.handle(id), status.pointer);
    status.check("TFE_TensorHandleCopySharingTensor");
    try {
      const tensor = await this.lib.TFE_TensorHandleResolve_nonblocking(handle, status.pointer);
      status.check("TFE_TensorHandleResolve");
      try {
        const size = Number(this.lib.TF_TensorByteSize(tensor));
        return this.#valuesOf(dtype, elements, this.lib.TF_TensorData(tensor), size);
      } finally {
        this.lib.TF_DeleteTensor(tensor);
      }
    } finally {
      this.lib.TFE_DeleteTensorHandle(handle);
    }
  }

  /** A tensor's bytes where they lie, for the length of `use`; whoever wants them longer copies them. */
  withBytes<T>(id: TensorId, use: (bytes: Uint8Array<ArrayBuffer>) => T): T {
    return this.#resolved(id, (data, size) => {
      if (size === 0) return use(new Uint8Array());
      return use(new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(data!, size)));
    });
  }

  /** Copies a tensor's bytes into memory that is already there. */
  readInto(id: TensorId, destination: Uint8Array): void {
    this.#resolved(id, (data, size) => {
      if (size !== destination.byteLength) {
        throw new RangeError(`Tensor has ${size} bytes, destination ${destination.byteLength}`);
      }
      if (size > 0) {
        Deno.UnsafePointerView.copyInto(data!, destination as Uint8Array<ArrayBuffer>);
      }
    });
  }

  /**
   * Runs an op and waits for it.
   *
   * @throws {EngineError} with the op's name and its inputs' shapes
   */
  execute(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[] {
    if (this.tracer) return this.tracer.addOp(name, attributes, inputs);
    return this.#execute(this.#newOp(name, attributes, inputs, this.#status), name, inputs);
  }

  /** Runs an op on the CPU, whatever other devices there are: one that works on memory of ours. */
  executeOnHost(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[] {
    return this.executeOn(this.#hostName, name, attributes, inputs);
  }

  /**
   * Runs an op on a device.
   *
   * @param device Name of one of the {@linkcode devices}
   */
  executeOn(
    device: string,
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[] {
    const op = this.#newOp(name, attributes, inputs, this.#status, device);
    return this.#execute(op, name, inputs);
  }

  #execute(op: Deno.PointerValue, name: string, inputs: readonly TensorId[]): TensorMetadata[] {
    try {
      this.#outputCount[0] = MAX_OUTPUTS;
      this.lib.TFE_Execute(op, this.#outputs, this.#outputCount, this.#status.pointer);
      this.#status.check(name, () => this.#shapesOf(inputs));
    } finally {
      this.lib.TFE_DeleteOp(op);
    }
    return this.#take(this.#outputs, this.#outputCount[0]);
  }

  /**
   * Runs an op or a captured function on another thread; JavaScript goes on meanwhile.
   *
   * @param mostOutputs At least as many as there are
   */
  async executeAsync(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
    mostOutputs = MAX_OUTPUTS,
  ): Promise<TensorMetadata[]> {
    using status = new Status(this.lib);
    const op = this.#newOp(name, attributes, inputs, status);
    return await this.#executeAsync(op, status, name, inputs, mostOutputs);
  }

  /** Does the same as {@linkcode executeOnHost}, on another thread; for ops without outputs. */
  async executeOnHostAsync(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): Promise<void> {
    using status = new Status(this.lib);
    const op = this.#newOp(name, attributes, inputs, status, this.#hostName);
    await this.#executeAsync(op, status, name, inputs, 1);
  }

  async #executeAsync(
    op: Deno.PointerValue,
    status: Status,
    name: string,
    inputs: readonly TensorId[],
    mostOutputs: number,
  ): Promise<TensorMetadata[]> {
    const outputs = new BigUint64Array(mostOutputs);
    const count = Int32Array.of(mostOutputs);
    try {
      await this.lib.TFE_Execute_nonblocking(op, outputs, count, status.pointer);
      status.check(name, () => this.#shapesOf(inputs));
    } finally {
      this.lib.TFE_DeleteOp(op);
    }
    return this.#take(outputs, count[0]);
  }

  /** Forgets a function that was added to the context. */
  removeFunction(name: string): void {
    this.lib.TFE_ContextRemoveFunction(
      this.context,
      encoder.encode(name + "\0"),
      this.#status.pointer,
    );
    this.#status.check(`TFE_ContextRemoveFunction ${name}`);
  }

  /** The native tensor behind an id, as `TF_Tensor`, for the length of `use`. */
  withTensor<T>(id: TensorId, use: (tensor: Deno.PointerValue) => T): T {
    const tensor = this.#resolve(id);
    try {
      return use(tensor);
    } finally {
      this.lib.TF_DeleteTensor(tensor);
    }
  }

  /** The native tensors behind some ids, as `TF_Tensor` pointers, until they are disposed of. */
  tensors(ids: readonly TensorId[]): Disposable & { pointers: BigUint64Array<ArrayBuffer> } {
    const held: Deno.PointerValue[] = [];
    const dispose = () => held.forEach((tensor) => this.lib.TF_DeleteTensor(tensor));
    try {
      for (const id of ids) {
        held.push(this.#resolve(id));
      }
    } catch (error) {
      dispose();
      throw error;
    }
    return {
      pointers: BigUint64Array.from(held, (tensor) => Deno.UnsafePointer.value(tensor)),
      [Symbol.dispose]: dispose,
    };
  }

  /** A copy of what a `TF_Buffer { const void* data; size_t length; … }` holds. */
  bufferBytes(buffer: Deno.PointerValue): Uint8Array<ArrayBuffer> {
    const view = new Deno.UnsafePointerView(buffer!);
    const bytes = new Uint8Array(Number(view.getBigUint64(8)));
    const data = Deno.UnsafePointer.create(view.getBigUint64(0));
    if (data !== null && bytes.length > 0) Deno.UnsafePointerView.copyInto(data, bytes);
    return bytes;
  }

  /** The `TF_Tensor` behind an id, in memory of the host. */
  #resolve(id: TensorId): Deno.PointerValue {
    const fresh = this.#freshView(id, this.#hostName);
    try {
      const handle = fresh ?? this.handle(id);
      const tensor = this.lib.TFE_TensorHandleResolve(handle, this.#status.pointer);
      this.#status.check("TFE_TensorHandleResolve");
      return tensor;
    } finally {
      if (fresh !== null) this.lib.TFE_DeleteTensorHandle(fresh);
    }
  }

  #resolved<T>(id: TensorId, use: (data: Deno.PointerValue, size: number) => T): T {
    this.tracer?.assertReadable(id);
    return this.withTensor(
      id,
      (tensor) => use(this.lib.TF_TensorData(tensor), Number(this.lib.TF_TensorByteSize(tensor))),
    );
  }

  #newOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
    status: Status,
    device?: string,
  ): Deno.PointerValue {
    const op = this.lib.TFE_NewOp(this.context, cText(name), status.pointer);
    status.check(name);
    try {
      for (const id of inputs) {
        const fresh = this.#viewed.size === 0 ? null : this.#freshView(id, device);
        this.lib.TFE_OpAddInput(op, fresh ?? this.handle(id), status.pointer);
        if (fresh !== null) this.lib.TFE_DeleteTensorHandle(fresh); // the op holds it
        status.check(name, () => this.#shapesOf(inputs));
      }
      if (device !== undefined) this.#place(op, device);
      this.#writeAttributes(op, attributes);
    } catch (error) {
      this.lib.TFE_DeleteOp(op);
      throw error;
    }
    return op;
  }

  get #hostName(): string {
    return this.devices.find(({ type }) => type === "CPU")!.name;
  }

  #place(op: Deno.PointerValue, device: string): void {
    this.lib.TFE_OpSetDevice(op, cText(device), this.#status.pointer);
    this.#status.check("TFE_OpSetDevice");
  }

  /**
   * Another handle of the memory that a view looks at, for use on a device (the one that TensorFlow chooses unless
   * given); null where a view's own will do, and for other tensors. TensorFlow keeps what it has once copied to another
   * device with the handle, and would go on with those values after the memory has changed.
   */
  #freshView(id: TensorId, device?: string): Deno.PointerValue {
    const memory = this.#viewed.get(id);
    if (memory === undefined) return null;
    const { shape, dtype } = this.describe(id);
    if (typeof memory === "bigint") return this.#deviceHandle(shape, dtype, memory, this.#gpuName);
    if (!this.#ownsGpu || device === this.#hostName) return null;
    const tensor = this.#tensorOver(shape, dtype, memory);
    try {
      const handle = this.lib.TFE_NewTensorHandle(tensor, this.#status.pointer);
      this.#status.check("TFE_NewTensorHandle");
      return handle;
    } finally {
      this.lib.TF_DeleteTensor(tensor);
    }
  }

  get #gpuName(): string {
    return this.devices.find(({ type }) => type === "GPU")!.name;
  }

  /** A handle of memory of the GPU. */
  #deviceHandle(
    shape: readonly number[],
    dtype: number,
    address: bigint,
    device: string,
  ): Deno.PointerValue {
    const handle = this.lib.TFE_NewTensorHandleFromDeviceMemory(
      this.context,
      cText(device),
      dtype,
      BigInt64Array.from(shape, BigInt),
      shape.length,
      address,
      BigInt(shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype])),
      this.lib.doNothing,
      null,
      this.#status.pointer,
    );
    this.#status.check("TFE_NewTensorHandleFromDeviceMemory");
    return handle;
  }

  /** A `TF_Tensor` that looks at memory of ours. */
  #tensorOver(
    shape: readonly number[],
    dtype: number,
    memory: Uint8Array<ArrayBuffer>,
  ): Deno.PointerValue {
    return this.lib.TF_NewTensor(
      dtype,
      BigInt64Array.from(shape, BigInt),
      shape.length,
      memory,
      BigInt(memory.byteLength),
      this.lib.doNothing,
      null,
    );
  }

  #take(outputs: BigUint64Array, count: number): TensorMetadata[] {
    return Array.from({ length: count }, (_, index) => {
      const id = this.#hold(Deno.UnsafePointer.create(outputs[index]));
      return { id, ...this.describe(id) };
    });
  }

  /** Shape and `TF_DataType` of a tensor. */
  describe(id: TensorId): TensorDescription {
    const symbol = this.#symbols.get(id);
    if (symbol) return symbol;
    const handle = this.handle(id);
    const status = this.#status.pointer;
    const rank = this.lib.TFE_TensorHandleNumDims(handle, status);
    const shape = Array.from(
      { length: rank },
      (_, axis) => Number(this.lib.TFE_TensorHandleDim(handle, axis, status)),
    );
    return { shape, dtype: this.lib.TFE_TensorHandleDataType(handle) };
  }

  #shapesOf(inputs: readonly TensorId[]): string {
    const shapes = inputs.map((id) =>
      this.#handles.has(id) || this.#symbols.has(id) ? `[${this.describe(id).shape}]` : "[released]"
    );
    return `on inputs of shapes ${shapes.join(", ") || "(none)"}`;
  }

  #elements(id: TensorId): number {
    return this.describe(id).shape.reduce((product, size) => product * size, 1);
  }

  #hold(handle: Deno.PointerValue): TensorId {
    this.#handles.set(this.#nextId, handle);
    return this.#nextId++;
  }

  #allocate(shape: readonly number[], dtype: number, bytes: number): Deno.PointerValue {
    const dims = BigInt64Array.from(shape, BigInt);
    const tensor = this.lib.TF_AllocateTensor(dtype, dims, shape.length, BigInt(bytes));
    if (tensor === null) {
      throw new EngineError(
        "RESOURCE_EXHAUSTED",
        "TF_AllocateTensor",
        `TensorFlow can't allocate ${bytes} bytes for a tensor of shape [${shape}]`,
      );
    }
    return tensor;
  }

  /** Makes a handle of a `TF_Tensor`, and gives up the latter. */
  #adopt(tensor: Deno.PointerValue, dtype: number): TensorId {
    const handle = this.lib.TFE_NewTensorHandle(tensor, this.#status.pointer);
    try {
      this.#status.check("TFE_NewTensorHandle");
      const id = this.#hold(handle);
      this.tracer?.addConstant(id, dtype, tensor);
      return id;
    } finally {
      this.lib.TF_DeleteTensor(tensor);
    }
  }

  /**
   * String tensors own no memory that `TF_DeleteTensor` would release, so long strings in them would leak.
   * Ops' outputs are managed: so a tensor of views goes through an op that copies.
   */
  #createStrings(shape: readonly number[], values: readonly Uint8Array[]): TensorId {
    const view = this.#stringTensor(shape, values);
    const [copy] = this.execute("StringJoin", [{
      name: "N",
      type: ATTRIBUTE_TYPES.TF_ATTR_INT,
      value: 1,
    }], [view]);
    this.deleteTensor(view);
    return copy.id;
  }

  #stringTensor(shape: readonly number[], values: readonly Uint8Array[]): TensorId {
    const tensor = this.#allocate(shape, DATA_TYPES.TF_STRING, STRING_BYTES * values.length);
    const data = this.lib.TF_TensorData(tensor);
    values.forEach((value, index) => {
      const element = Deno.UnsafePointer.offset(data!, index * STRING_BYTES);
      this.lib.TF_StringInit(element);
      const bytes = value as Uint8Array<ArrayBuffer>;
      this.lib.TF_StringAssignView(element, bytes, BigInt(bytes.byteLength));
    });
    return this.#adopt(tensor, DATA_TYPES.TF_STRING);
  }

  #readStrings(data: Deno.PointerValue, count: number): Uint8Array[] {
    return Array.from({ length: count }, (_, index) => {
      const element = Deno.UnsafePointer.offset(data!, index * STRING_BYTES);
      const bytes = new Uint8Array(Number(this.lib.TF_StringGetSize(element)));
      const text = this.lib.TF_StringGetDataPointer(element);
      if (text !== null && bytes.length > 0) Deno.UnsafePointerView.copyInto(text, bytes);
      return bytes;
    });
  }

  #openContext(): Deno.PointerValue {
    const bytes = this.config;
    const options = this.lib.TFE_NewContextOptions();
    try {
      const { pointer } = this.#status;
      this.lib.TFE_ContextOptionsSetConfig(options, bytes, BigInt(bytes.length), pointer);
      this.#status.check("TFE_ContextOptionsSetConfig");
      const context = this.lib.TFE_NewContext(options, pointer);
      this.#status.check("TFE_NewContext");
      return context;
    } finally {
      this.lib.TFE_DeleteContextOptions(options);
    }
  }

  #listDevices(): Device[] {
    const { pointer } = this.#status;
    const list = this.lib.TFE_ContextListDevices(this.context, pointer);
    this.#status.check("TFE_ContextListDevices");
    try {
      return Array.from({ length: this.lib.TF_DeviceListCount(list) }, (_, index) => ({
        name: cString(this.lib.TF_DeviceListName(list, index, pointer)),
        type: cString(this.lib.TF_DeviceListType(list, index, pointer)),
      }));
    } finally {
      this.lib.TF_DeleteDeviceList(list);
    }
  }
}

/** Fields of `tensorflow.ConfigProto` and `tensorflow.GPUOptions`, by the names that they have there. */
const CONFIG = { deviceCount: 1, intraOpThreads: 2, interOpThreads: 5, gpuOptions: 6 } as const;
const MAP_ENTRY = { key: 1, value: 2 } as const;
const GPU_OPTIONS = { memoryFraction: 1, allowGrowth: 4, visibleDeviceList: 5 } as const;

/** Returns a `tensorflow.ConfigProto`. */
export function configFor({ threads, gpu }: RuntimeOptions): Uint8Array<ArrayBuffer> {
  const config = new BinaryWriter()
    .tag(CONFIG.intraOpThreads, WireType.Varint).int32(threads.intraOp)
    .tag(CONFIG.interOpThreads, WireType.Varint).int32(threads.interOp);
  if (gpu) {
    config.tag(CONFIG.gpuOptions, WireType.LengthDelimited).fork();
    const { memoryFraction } = gpu;
    if (memoryFraction !== undefined) {
      config.tag(GPU_OPTIONS.memoryFraction, WireType.Bit64).double(memoryFraction);
    }
    // Memory is taken as it is needed. An engine computes on one GPU and opens no other.
    config.tag(GPU_OPTIONS.allowGrowth, WireType.Varint).bool(true)
      .tag(GPU_OPTIONS.visibleDeviceList, WireType.LengthDelimited).string("0").join();
  } else {
    config.tag(CONFIG.deviceCount, WireType.LengthDelimited).fork()
      .tag(MAP_ENTRY.key, WireType.LengthDelimited).string("GPU")
      .tag(MAP_ENTRY.value, WireType.Varint).int32(0).join();
  }
  return new Uint8Array(config.finish());
}

/** Elements as bytes. A `Uint8Array` is taken as bytes already, whatever the dtype. */
function bytesOf(values: ArrayBufferView | number[], dtype: number): Uint8Array {
  const isFloat = dtype === DATA_TYPES.TF_FLOAT || dtype === DATA_TYPES.TF_COMPLEX64;
  if (ArrayBuffer.isView(values)) {
    if (isFloat && !(values instanceof Float32Array) && !(values instanceof Uint8Array)) {
      return bytesOf(Array.from(values as unknown as Iterable<number>), dtype);
    }
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  const typed = isFloat
    ? Float32Array.from(values)
    : ELEMENT_BYTES[dtype] === 1
    ? Uint8Array.from(values)
    : Int32Array.from(values);
  return new Uint8Array(typed.buffer);
}
