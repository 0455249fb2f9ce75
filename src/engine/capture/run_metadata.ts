/**
 * Reads what TensorFlow wrote down about a run: `tensorflow.RunMetadata`, as far as a profile needs it
 * (tensorflow/core/protobuf/config.proto, tensorflow/core/framework/step_stats.proto).
 *
 * @module
 */
import { BinaryReader, WireType } from "../../deps/protobuf_wire.ts";

/** An output of a node. */
export interface NodeOutput {
  /** `TF_DataType`. */
  readonly dtype: number;
  readonly shape: readonly number[];
}

/** One run of one node. */
export interface NodeRun {
  readonly name: string;
  /** Type of the op as it ran, such as `_MklNativeConv2D`. */
  readonly op: string;
  readonly device: string;
  /** Start of its kernel, in nanoseconds since 1970. */
  readonly start: number;
  /** Nanoseconds that its kernel took. */
  readonly duration: number;
  readonly outputs: readonly NodeOutput[];
}

/** A field of a message: a nested one as its bytes, a number as such. */
type Fields = Map<number, (Uint8Array | number)[]>;

/** The node runs of all devices, in no order. */
export function readNodeRuns(metadata: Uint8Array): NodeRun[] {
  const STEP_STATS = 1;
  const DEVICE_STATS = 1;
  return nestedIn(fieldsOf(metadata), STEP_STATS)
    .flatMap((stats) => nestedIn(stats, DEVICE_STATS))
    .flatMap((device) => {
      const name = textIn(device, 1);
      return nestedIn(device, 2).map((node) => readNode(node, name));
    });
}

/** `tensorflow.NodeExecStats`. */
function readNode(node: Fields, device: string): NodeRun {
  const name = textIn(node, 1);
  const [allStart, opStart, opEnd] = [13, 14, 15].map((field) => numberIn(node, field));
  return {
    name,
    op: opOf(textIn(node, 8), name),
    device,
    start: allStart + opStart,
    duration: opEnd - opStart,
    outputs: nestedIn(node, 7).map(readOutput),
  };
}

/** The type in a label such as `[CPU] a = MatMul(b, c)`; in one without, the name has to do. */
function opOf(label: string, name: string): string {
  return / = ([\w>]+)\(/.exec(label)?.[1] ?? name;
}

/** `tensorflow.NodeOutput`, with a `TensorDescription` in it. */
function readOutput(output: Fields): NodeOutput {
  const [description] = nestedIn(output, 3);
  if (!description) return { dtype: 0, shape: [] };
  const [shape] = nestedIn(description, 2);
  const dims = shape ? nestedIn(shape, 2).map((dim) => numberIn(dim, 1)) : [];
  return { dtype: numberIn(description, 1), shape: dims };
}

function fieldsOf(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (wire !== WireType.LengthDelimited && wire !== WireType.Varint) {
      reader.skip(wire);
      continue;
    }
    const value = wire === WireType.Varint ? Number(reader.int64()) : reader.bytes();
    const values = fields.get(field);
    if (values) values.push(value);
    else fields.set(field, [value]);
  }
  return fields;
}

function nestedIn(fields: Fields, field: number): Fields[] {
  return (fields.get(field) ?? []).map((bytes) => fieldsOf(bytes as Uint8Array));
}

const decoder = new TextDecoder();

function textIn(fields: Fields, field: number): string {
  const [bytes] = fields.get(field) ?? [];
  return bytes instanceof Uint8Array ? decoder.decode(bytes) : "";
}

function numberIn(fields: Fields, field: number): number {
  const [value] = fields.get(field) ?? [];
  return typeof value === "number" ? value : 0;
}
