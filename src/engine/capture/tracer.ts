/**
 * Records ops as nodes of a graph, and makes a TensorFlow function of them. Nothing runs meanwhile: the graph
 * knows the types and shapes of what its nodes give, and that is all that JavaScript may ask for.
 *
 * @module
 */
import { BinaryReader, WireType } from "../../deps/protobuf_wire.ts";
import {
  type Attribute,
  type AttributeWriter,
  cText,
  DATA_TYPES,
  graphAttributes,
  typeAttribute,
} from "../binding/attributes.ts";
import { type CastInput, isNarrowOp } from "./autocast.ts";
import {
  cutGraph,
  type GraphNode,
  type GraphOutput,
  type GraphPart,
  type GraphResult,
} from "./graph_parts.ts";
import type { GraphEnds } from "./graph_session.ts";
import type {
  ExchangePoint,
  OpRecorder,
  Runtime,
  TensorId,
  TensorMetadata,
} from "../binding/runtime.ts";
import { EngineError, Status } from "../binding/status.ts";
import type { LibTensorflow } from "../binding/symbols.ts";

/** `sizeof(TF_Output)`. */
const OUTPUT_BYTES = 16;

/** An input of an op as its definition declares it: one tensor, or a list whose length an attribute gives. */
interface InputSpec {
  /** Attribute with the type of the tensor, or of all tensors of the list. */
  readonly typeAttribute: string;
  /** Attribute with the length of a list of tensors of one type. */
  readonly numberAttribute: string;
  /** Attribute with the types of a list of tensors of several types. */
  readonly typeListAttribute: string;
}

/**
 * A TensorFlow function made of a trace or of a part of one. What a part takes and what it gives to later parts
 * are known by number: the trace's arguments come first, then what parts gave.
 */
export interface TracedPart {
  readonly name: string;
  readonly takes: readonly number[];
  /** Positions among the trace's results of the part's first outputs. */
  readonly results: readonly number[];
  /** Numbers of the outputs that follow, for later parts. */
  readonly carried: readonly number[];
  /** Numbers of what earlier parts gave that no part after this one takes. */
  readonly done: readonly number[];
  /** Points, counted from the first, whose values are exchanged before the part begins. */
  readonly pointsBefore: number;
}

/** A point of a trace at which values are exchanged. */
export interface TracedPoint {
  readonly point: ExchangePoint;
  /** Number of the values that are taken, among those that parts take. */
  readonly takes: number;
}

/** A trace as TensorFlow functions that are called one after the other. */
export interface TracedFunction {
  readonly parts: readonly TracedPart[];
  /** The points, in order; the values that they hand out are the last of the results. */
  readonly points: readonly TracedPoint[];
  /** Captured inputs: tensors from outside that the trace used beside its arguments. They follow the arguments. */
  readonly capturedInputs: readonly TensorId[];
}

/**
 * Ops that give a tensor of unknown shape, which only the op that is its gradient takes: what cuDNN keeps from the
 * forward pass for the backward one.
 */
const TAKES_UNKNOWN = "FusedBatchNormGradV3";

/**
 * Activations that give 0 for NaN where the graph optimizer fuses them with the op before: oneDNN's fused kernels
 * compute `max(x, 0)`. By themselves they pass NaN on.
 */
const DROPS_NAN_WHEN_FUSED = new Set(["Relu", "Relu6"]);

/** A copy that moves no data where nothing else takes its input. The graph optimizer fuses nothing with it. */
const KEEPS_APART = "Snapshot";

/** The attribute with an op's main type. */
const MAIN_TYPE = "T";

/**
 * Ops without a kernel for 16 bits, and the newer ones that compute the same. Their first outputs are the same, too.
 */
const NARROW_FORMS: ReadonlyMap<string, { op: string; attributes: readonly Attribute[] }> = new Map(
  [[
    "FusedBatchNorm",
    { op: "FusedBatchNormV3", attributes: [typeAttribute("U", DATA_TYPES.TF_FLOAT)] },
  ]],
);

/** Options of a {@linkcode Tracer}. */
export interface TracerOptions {
  /** `true` where XLA will compile the function. */
  readonly xla?: boolean | undefined;
  /** The 16-bit type (`TF_DataType`) of convolutions and matrix products, and of what follows them; none unless given. */
  readonly narrowType?: number | undefined;
  /** Let ops exchange values with other processes in the midst of a call. */
  readonly exchanges?: boolean;
}

/** A point while the trace is recorded. */
interface RecordedPoint {
  readonly point: ExchangePoint;
  readonly given: GraphOutput;
  readonly taken: GraphOutput;
}

/** Records the ops that the runtime is asked to execute between the tracer's creation and `finish()`. */
export class Tracer implements OpRecorder, Disposable {
  readonly xla: boolean;
  /** As declared; the function is cut at each point. All ops that are recorded before run before the exchange. */
  readonly addExchangePoint?: NonNullable<OpRecorder["addExchangePoint"]>;
  readonly #runtime: Runtime;
  readonly #lib: LibTensorflow;
  readonly #status: Status;
  readonly #graph: Deno.PointerValue;
  readonly #writeAttributes: AttributeWriter;
  /** Tensors as JavaScript knows them. */
  readonly #outputs = new Map<TensorId, GraphOutput>();
  /** Tensors with 16 bits; JavaScript takes them for float32. */
  readonly #narrow = new Map<TensorId, GraphOutput>();
  /** Tensors that an op computed with 16 bits. */
  readonly #computedNarrow = new Set<TensorId>();
  readonly #narrowType: number | undefined;
  readonly #arguments: GraphOutput[] = [];
  readonly #capturedInputs: TensorId[] = [];
  /** Tensors that no op of the trace computed, and that are not arguments. */
  readonly #outside = new Set<TensorId>();
  /** Tensors that ops of the trace computed: their values change from call to call. */
  readonly #computed = new Set<TensorId>();
  /** Computed tensors whose shapes the graph doesn't know. */
  readonly #shapeless = new Set<TensorId>();
  /** Batch normalizations, and sums of one. */
  readonly #normalized = new Set<GraphNode>();
  readonly #points: RecordedPoint[] = [];
  #nodes = 0;

  /**
   * @param runtime The runtime of the ops
   * @param args The arguments of the function to be, in order
   */
  constructor(
    runtime: Runtime,
    args: readonly TensorId[],
    { xla = false, narrowType, exchanges = false }: TracerOptions = {},
  ) {
    this.xla = xla;
    this.#narrowType = narrowType;
    if (exchanges) this.addExchangePoint = (id, point) => this.#addPoint(id, point);
    this.#runtime = runtime;
    this.#lib = runtime.lib;
    this.#status = new Status(this.#lib);
    this.#graph = this.#lib.TF_NewGraph();
    this.#writeAttributes = graphAttributes(this.#lib);
    for (const id of args) {
      if (this.#outputs.has(id)) throw new RangeError(`Tensor ${id} is an argument twice`);
      this.#addArgument(id);
      this.#computed.add(id);
    }
  }

  /** Throws when the value of `id` differs between calls, so that reading it would freeze it. */
  assertReadable(id: TensorId): void {
    if (!this.#computed.has(id)) return;
    throw new EngineError(
      "FAILED_PRECONDITION",
      "capture",
      "A captured function reads a tensor's values in JavaScript, which would freeze them into the trace: " +
        "keep the computation in tensors, or set engine.capture to false",
    );
  }

  /** Tells whether the trace used `id` without having been given it: the tensor's value stays as it is now. */
  isFrozen(id: TensorId): boolean {
    return this.#outside.has(id);
  }

  /**
   * Adds an op.
   *
   * @throws {EngineError} when the op doesn't take these inputs, or needs a shape that isn't known before it runs
   */
  addOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): TensorMetadata[] {
    if (name !== TAKES_UNKNOWN) this.#requireShapes(name, inputs);
    const main = this.#mainInputs(name, attributes, inputs);
    if (main && isNarrowOp(name, main)) {
      const positions = new Set(main.map(({ position }) => position));
      const takes = inputs.map((id, at) =>
        positions.has(at) ? this.#narrowOutput(id) : this.#output(id)
      );
      const { op = name, attributes: added = [] } = NARROW_FORMS.get(name) ?? {};
      const others = attributes.filter((attribute) => attribute.name !== MAIN_TYPE);
      const all = [...others, typeAttribute(MAIN_TYPE, this.#narrowType!), ...added];
      return this.#addNode(op, all, takes);
    }
    return this.#addNode(name, attributes, inputs.map((id) => this.#output(id)));
  }

  /** Returns an op's inputs of its main type where that is float32 and there is a 16-bit type to compute with instead. */
  #mainInputs(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly TensorId[],
  ): CastInput[] | undefined {
    if (this.#narrowType === undefined) return undefined;
    const type = attributes.find((attribute) => attribute.name === MAIN_TYPE)?.value;
    if (type !== DATA_TYPES.TF_FLOAT) return undefined;
    const form = NARROW_FORMS.get(name)?.op ?? name;
    const attributeOf = this.#inputSpecs(form).flatMap((spec) => {
      const length = listLength(spec, attributes, inputs.length) ?? 1;
      return new Array<string>(length).fill(spec.typeAttribute);
    });
    return inputs.flatMap((id, position) =>
      attributeOf[position] !== MAIN_TYPE ? [] : [{
        position,
        isNarrow: this.#computedNarrow.has(id),
        rank: this.#runtime.describe(id).shape.length,
      }]
    );
  }

  #addNode(
    name: string,
    attributes: readonly Attribute[],
    takes: GraphOutput[],
  ): TensorMetadata[] {
    if (!this.xla && DROPS_NAN_WHEN_FUSED.has(name)) takes[0] = this.#keepApart(takes[0]);
    const desc = this.#newNode(name);
    let next = 0;
    for (const spec of this.#inputSpecs(name)) {
      const length = listLength(spec, attributes, takes.length);
      if (length === undefined) this.#lib.TF_AddInput(desc, packed(takes[next++]));
      else {
        this.#lib.TF_AddInputList(desc, packedList(takes.slice(next, next += length)), length);
      }
    }
    // The length of a list is known from the list itself; setting it twice is an error.
    const lengths = new Set(this.#inputSpecs(name).map((spec) => spec.numberAttribute));
    this.#writeAttributes(desc, attributes.filter((attribute) => !lengths.has(attribute.name)));
    const node = this.#finishNode(desc, name, takes);
    if (
      name.startsWith("FusedBatchNorm") || (name.startsWith("Add") && this.#sumsNormalized(takes))
    ) {
      this.#normalized.add(node);
    }
    const count = this.#lib.TF_OperationNumOutputs(node.pointer);
    return Array.from({ length: count }, (_, index) => this.#addSymbol({ node, index }));
  }

  /** Adds a tensor that JavaScript made during the trace. */
  addConstant(id: TensorId, dtype: number, tensor: Deno.PointerValue): void {
    const desc = this.#newNode("Const");
    this.#lib.TF_SetAttrTensor(desc, cText("value"), tensor, this.#status.pointer);
    this.#status.check("Const");
    this.#lib.TF_SetAttrType(desc, cText("dtype"), dtype);
    this.#outputs.set(id, { node: this.#finishNode(desc, "Const", []), index: 0 });
    this.#outside.add(id);
  }

  /** The graph from the arguments to some results, for a session; this tracer must outlive it. */
  ends(results: readonly TensorId[]): GraphEnds {
    // A result that is an argument as it came still needs a node of its own.
    const outputs = results.map((id) => this.#identity(this.#output(id)));
    return {
      graph: this.#graph,
      inputs: packedList(this.#arguments),
      inputCount: this.#arguments.length,
      outputs: packedList(outputs),
      outputCount: outputs.length,
    };
  }

  /** Captured inputs: tensors from outside that the trace used beside its arguments, which they follow. */
  get capturedInputs(): readonly TensorId[] {
    return this.#capturedInputs;
  }

  /** The points so far, in order. */
  get points(): ExchangePoint[] {
    return this.#points.map(({ point }) => point);
  }

  /** Returns the number of the recorded op that gives a tensor, counted from 0. */
  positionOf(id: TensorId): number {
    return (this.#outputs.get(id) ?? this.#narrow.get(id) ?? this.#output(id)).node.position;
  }

  /**
   * Makes functions and adds them to the runtime's context.
   *
   * @param name Unique in the process
   * @param results The results of all functions together, in order; what is handed out at points follows
   * @param cuts Positions of ops after which one function ends and the next begins, rising; none for a single one
   */
  finish(name: string, results: readonly TensorId[], cuts: readonly number[] = []): TracedFunction {
    const points = [...this.#points];
    const all = [
      ...results.map((id) => this.#result(id)),
      ...points.map(({ given }) => ({ source: given, output: given })),
    ];
    const pointCuts = points.map(({ taken }) => taken.node.position);
    const allCuts = [...new Set([...cuts, ...pointCuts])].sort((a, b) => a - b);
    const parts = cutGraph(all, allCuts);
    const numbers = new Map<GraphOutput, number>();
    const passedOn = parts.flatMap(({ carried }) => carried);
    for (const output of [...this.#arguments, ...points.map(({ taken }) => taken), ...passedOn]) {
      numbers.set(output, numbers.size);
    }
    const pointsBefore = ({ cutsBefore }: GraphPart) =>
      pointCuts.filter((cut) => allCuts.indexOf(cut) < cutsBefore).length;
    const numbersOf = (list: readonly GraphOutput[]) => list.map((output) => numbers.get(output)!);
    const made: TracedPart[] = [];
    try {
      for (const part of parts) {
        const partName = parts.length === 1 ? name : `${name}_${made.length}`;
        this.#addFunction(partName, part, all.map(({ output }) => output));
        made.push({
          name: partName,
          takes: numbersOf(part.takes),
          results: part.results,
          carried: numbersOf(part.carried),
          done: numbersOf(part.done),
          pointsBefore: pointsBefore(part),
        });
      }
    } catch (error) {
      for (const part of made) this.#runtime.removeFunction(part.name);
      throw error;
    }
    const traced = {
      parts: made,
      points: points.map(({ point, taken }) => ({ point, takes: numbers.get(taken)! })),
      capturedInputs: [...this.#capturedInputs],
    };
    this.#capturedInputs.length = 0; // they belong to the functions now
    return traced;
  }

  /** A result of the function, with a node that gives it to the caller. */
  #result(id: TensorId): GraphResult {
    const narrow = this.#narrow.get(id);
    if (narrow && !this.#outputs.has(id)) return { source: narrow, output: this.#widened(narrow) };
    const source = this.#output(id);
    // A result that is an argument as it came still needs a node of its own.
    return { source, output: this.#identity(source) };
  }

  #addPoint(id: TensorId, point: ExchangePoint): TensorMetadata {
    const given = this.#identity(this.#output(id));
    const taken = this.#placeholder(DATA_TYPES.TF_FLOAT, [point.taken]);
    this.#points.push({ point, given, taken });
    return this.#addSymbol(taken);
  }

  #addFunction(
    name: string,
    { nodes, takes, results, carried }: GraphPart,
    outputs: readonly GraphOutput[],
  ): void {
    const given = [...results.map((index) => outputs[index]), ...carried];
    const fn = this.#lib.TF_GraphToFunction(
      this.#graph,
      cText(name),
      0,
      nodes.length,
      BigUint64Array.from(nodes, ({ pointer }) => Deno.UnsafePointer.value(pointer)),
      takes.length,
      packedList(takes),
      given.length,
      packedList(given),
      null,
      null,
      null,
      this.#status.pointer,
    );
    this.#status.check("TF_GraphToFunction");
    try {
      this.#lib.TFE_ContextAddFunction(this.#runtime.context, fn, this.#status.pointer);
      this.#status.check("TFE_ContextAddFunction");
    } finally {
      this.#lib.TF_DeleteFunction(fn);
    }
  }

  /** Releases the graph, and the captured inputs of a trace that was not finished. */
  [Symbol.dispose](): void {
    for (const id of this.#capturedInputs) this.#runtime.deleteTensor(id);
    this.#lib.TF_DeleteGraph(this.#graph);
    this.#status[Symbol.dispose]();
  }

  /** A tensor for an output of a node. */
  #addSymbol(output: GraphOutput): TensorMetadata {
    const bytes = packed(output);
    const dtype = this.#lib.TF_OperationOutputType(bytes);
    const rank = this.#lib.TF_GraphGetTensorNumDims(this.#graph, bytes, this.#status.pointer);
    this.#status.check("TF_GraphGetTensorNumDims");
    const dims = new BigInt64Array(Math.max(0, rank));
    if (rank > 0) {
      const { pointer } = this.#status;
      this.#lib.TF_GraphGetTensorShape(this.#graph, bytes, dims, rank, pointer);
      this.#status.check("TF_GraphGetTensorShape");
    }
    const shape = Array.from(dims, Number);
    const isNarrow = dtype === this.#narrowType;
    const shown = { shape, dtype: isNarrow ? DATA_TYPES.TF_FLOAT : dtype };
    const id = this.#runtime.createSymbol(shown);
    if (rank < 0 || shape.some((side) => side < 0)) this.#shapeless.add(id);
    if (isNarrow) {
      this.#narrow.set(id, output);
      this.#computedNarrow.add(id);
    } else this.#outputs.set(id, output);
    this.#computed.add(id);
    return { id, ...shown };
  }

  #requireShapes(name: string, inputs: readonly TensorId[]): void {
    if (!inputs.some((id) => this.#shapeless.has(id))) return;
    throw new EngineError(
      "FAILED_PRECONDITION",
      name,
      `A captured function gives ${name} a tensor whose shape depends on values: ` +
        "set engine.capture to false",
    );
  }

  #output(id: TensorId): GraphOutput {
    const output = this.#outputs.get(id);
    if (output) return output;
    const narrow = this.#narrow.get(id);
    if (narrow) {
      const wide = this.#widened(narrow);
      this.#outputs.set(id, wide);
      return wide;
    }
    const input = this.#addArgument(id);
    this.#outside.add(id);
    this.#capturedInputs.push(this.#runtime.shareTensor(id));
    return input;
  }

  /** The tensor with 16 bits; a parameter is rounded once. */
  #narrowOutput(id: TensorId): GraphOutput {
    const known = this.#narrow.get(id);
    if (known) return known;
    const narrow = this.#cast(this.#output(id), DATA_TYPES.TF_FLOAT, this.#narrowType!);
    this.#narrow.set(id, narrow);
    return narrow;
  }

  #widened(narrow: GraphOutput): GraphOutput {
    return this.#cast(narrow, this.#narrowType!, DATA_TYPES.TF_FLOAT);
  }

  #cast(output: GraphOutput, from: number, to: number): GraphOutput {
    const desc = this.#newNode("Cast");
    this.#lib.TF_AddInput(desc, packed(output));
    this.#writeAttributes(desc, [typeAttribute("SrcT", from), typeAttribute("DstT", to)]);
    return { node: this.#finishNode(desc, "Cast", [output]), index: 0 };
  }

  #addArgument(id: TensorId): GraphOutput {
    const { dtype, shape } = this.#runtime.describe(id);
    const output = this.#placeholder(dtype, shape);
    this.#outputs.set(id, output);
    this.#arguments.push(output);
    return output;
  }

  #placeholder(dtype: number, shape: readonly number[]): GraphOutput {
    const desc = this.#newNode("Placeholder");
    this.#lib.TF_SetAttrType(desc, cText("dtype"), dtype);
    const dims = BigInt64Array.from(shape, BigInt);
    this.#lib.TF_SetAttrShape(desc, cText("shape"), dims, shape.length);
    return { node: this.#finishNode(desc, "Placeholder", []), index: 0 };
  }

  #identity(output: GraphOutput, type = "Identity"): GraphOutput {
    const desc = this.#newNode(type);
    const bytes = packed(output);
    this.#lib.TF_AddInput(desc, bytes);
    this.#lib.TF_SetAttrType(desc, cText("T"), this.#lib.TF_OperationOutputType(bytes));
    return { node: this.#finishNode(desc, type, [output]), index: 0 };
  }

  /**
   * Returns an activation's input such that the activation isn't fused with the op before. After a batch normalization
   * the input stays: in evaluation nothing is fused there, and in training NaN shows in the running statistics.
   */
  #keepApart(output: GraphOutput): GraphOutput {
    return this.#normalized.has(output.node) ? output : this.#identity(output, KEEPS_APART);
  }

  #sumsNormalized(takes: readonly GraphOutput[]): boolean {
    return takes.some(({ node }) => this.#normalized.has(node));
  }

  #newNode(type: string): Deno.PointerValue {
    return this.#lib.TF_NewOperation(this.#graph, cText(type), encodeName(type, this.#nodes));
  }

  #finishNode(desc: Deno.PointerValue, type: string, takes: readonly GraphOutput[]): GraphNode {
    const pointer = this.#lib.TF_FinishOperation(desc, this.#status.pointer);
    this.#status.check(`${type} (capture)`);
    const kind = type === "Placeholder" ? "argument" : type === "Const" ? "constant" : "op";
    return { pointer, position: this.#nodes++, takes, kind };
  }

  #inputSpecs(op: string): readonly InputSpec[] {
    const known = inputSpecs.get(op);
    if (known) return known;
    const buffer = this.#lib.TF_NewBuffer();
    try {
      this.#lib.TF_GraphGetOpDef(this.#graph, cText(op), buffer, this.#status.pointer);
      this.#status.check(`${op} (definition)`);
      const specs = parseInputSpecs(this.#runtime.bufferBytes(buffer));
      inputSpecs.set(op, specs);
      return specs;
    } finally {
      this.#lib.TF_DeleteBuffer(buffer);
    }
  }
}

const inputSpecs = new Map<string, readonly InputSpec[]>();

/** Reads `input_arg` (field 2) of an `OpDef`, and of each the type's attribute (4) and the two list attributes (5, 6). */
function parseInputSpecs(bytes: Uint8Array): InputSpec[] {
  const specs: InputSpec[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field !== 2 || wire !== WireType.LengthDelimited) {
      reader.skip(wire);
      continue;
    }
    const spec = { typeAttribute: "", numberAttribute: "", typeListAttribute: "" };
    for (const end = reader.uint32() + reader.pos; reader.pos < end;) {
      const [argField, argWire] = reader.tag();
      if (argField === 4) spec.typeAttribute = reader.string();
      else if (argField === 5) spec.numberAttribute = reader.string();
      else if (argField === 6) spec.typeListAttribute = reader.string();
      else reader.skip(argWire);
    }
    specs.push(spec);
  }
  return specs;
}

function listLength(
  { numberAttribute, typeListAttribute }: InputSpec,
  attributes: readonly Attribute[],
  most: number,
): number | undefined {
  const name = numberAttribute || typeListAttribute;
  if (!name) return undefined;
  const value = attributes.find((attribute) => attribute.name === name)?.value;
  const length = Array.isArray(value) ? value.length : Number(value);
  if (!(length >= 0 && length <= most)) {
    throw new EngineError(
      "INVALID_ARGUMENT",
      name,
      `An op with a list of inputs can't be captured: its attribute ${name} is ${value}`,
    );
  }
  return length;
}

function packed(output: GraphOutput): Uint8Array<ArrayBuffer> {
  return packedList([output]);
}

function packedList(outputs: readonly GraphOutput[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(OUTPUT_BYTES * outputs.length);
  const view = new DataView(bytes.buffer);
  outputs.forEach(({ node, index }, position) => {
    view.setBigUint64(position * OUTPUT_BYTES, Deno.UnsafePointer.value(node.pointer), true);
    view.setInt32(position * OUTPUT_BYTES + 8, index, true);
  });
  return bytes;
}

/** A node name; not cached as attribute names are, since each is used once. */
function encodeName(type: string, number: number): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${type}_${number}\0`);
}
