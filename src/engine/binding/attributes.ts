/**
 * Attributes of ops, set alike on eager ops and on nodes of a graph.
 *
 * @module
 */
import { EngineError, type Status } from "./status.ts";
import type { LibTensorflow } from "./symbols.ts";

/** `TF_DataType`, by the names that tfjs's backend asks for (tensorflow/c/tf_datatype.h). */
export const DATA_TYPES = {
  TF_FLOAT: 1,
  TF_INT32: 3,
  TF_UINT8: 4,
  TF_STRING: 7,
  TF_COMPLEX64: 8,
  TF_INT64: 9,
  TF_BOOL: 10,
  TF_RESOURCE: 20,
} as const;

/** `DT_BFLOAT16` and `DT_HALF`, which tfjs doesn't know. */
const BFLOAT16 = 14;
const FLOAT16 = 19;

/** Bytes of an element, by `TF_DataType`; 0 for what has no such size. */
export function dtypeBytes(dtype: number): number {
  switch (dtype) {
    case DATA_TYPES.TF_FLOAT:
    case DATA_TYPES.TF_INT32:
      return 4;
    case DATA_TYPES.TF_COMPLEX64:
    case DATA_TYPES.TF_INT64:
      return 8;
    case DATA_TYPES.TF_UINT8:
    case DATA_TYPES.TF_BOOL:
      return 1;
    case BFLOAT16:
    case FLOAT16:
      return 2;
    default:
      return 0;
  }
}

/** Kinds of attributes, numbered as tfjs-node's own binding does (`TF_AttrType`). */
export const ATTRIBUTE_TYPES = {
  TF_ATTR_STRING: 0,
  TF_ATTR_INT: 1,
  TF_ATTR_FLOAT: 2,
  TF_ATTR_BOOL: 3,
  TF_ATTR_TYPE: 4,
  TF_ATTR_SHAPE: 5,
  TF_ATTR_RESOURCE: 9,
} as const;

/** One attribute, as tfjs's kernels give it. */
export interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** An attribute that names a data type. */
export function typeAttribute(name: string, value: number): Attribute {
  return { name, type: ATTRIBUTE_TYPES.TF_ATTR_TYPE, value };
}

const encoder = new TextEncoder();
const cStrings = new Map<string, Uint8Array<ArrayBuffer>>();

/** A C string for `text`; made once per text, since op and attribute names recur. */
export function cText(text: string): Uint8Array<ArrayBuffer> {
  let bytes = cStrings.get(text);
  if (!bytes) cStrings.set(text, bytes = encoder.encode(text + "\0"));
  return bytes;
}

/** The functions that set attributes on one kind of op. */
interface Setters {
  string(op: Deno.PointerValue, name: BufferSource, value: BufferSource, length: bigint): void;
  int(op: Deno.PointerValue, name: BufferSource, value: bigint): void;
  float(op: Deno.PointerValue, name: BufferSource, value: number): void;
  bool(op: Deno.PointerValue, name: BufferSource, value: number): void;
  type(op: Deno.PointerValue, name: BufferSource, value: number): void;
  shape(op: Deno.PointerValue, name: BufferSource, dims: BufferSource, rank: number): void;
  ints(op: Deno.PointerValue, name: BufferSource, values: BufferSource, count: number): void;
  floats(op: Deno.PointerValue, name: BufferSource, values: BufferSource, count: number): void;
  types(op: Deno.PointerValue, name: BufferSource, values: BufferSource, count: number): void;
}

/** Sets attributes on an op. */
export type AttributeWriter = (op: Deno.PointerValue, attributes: readonly Attribute[]) => void;

/** A writer for eager ops (`TFE_Op`). */
export function eagerAttributes(lib: LibTensorflow, status: Status): AttributeWriter {
  return writer({
    string: lib.TFE_OpSetAttrString,
    int: lib.TFE_OpSetAttrInt,
    float: lib.TFE_OpSetAttrFloat,
    bool: lib.TFE_OpSetAttrBool,
    type: lib.TFE_OpSetAttrType,
    shape: (op, name, dims, rank) => lib.TFE_OpSetAttrShape(op, name, dims, rank, status.pointer),
    ints: lib.TFE_OpSetAttrIntList,
    floats: lib.TFE_OpSetAttrFloatList,
    types: lib.TFE_OpSetAttrTypeList,
  });
}

/** A writer for nodes of a graph (`TF_OperationDescription`). */
export function graphAttributes(lib: LibTensorflow): AttributeWriter {
  return writer({
    string: lib.TF_SetAttrString,
    int: lib.TF_SetAttrInt,
    float: lib.TF_SetAttrFloat,
    bool: lib.TF_SetAttrBool,
    type: lib.TF_SetAttrType,
    shape: lib.TF_SetAttrShape,
    ints: lib.TF_SetAttrIntList,
    floats: lib.TF_SetAttrFloatList,
    types: lib.TF_SetAttrTypeList,
  });
}

function writer(set: Setters): AttributeWriter {
  return (op, attributes) => {
    for (const { name, type, value } of attributes) {
      const key = cText(name);
      switch (type) {
        case ATTRIBUTE_TYPES.TF_ATTR_STRING: {
          const bytes = value instanceof Uint8Array
            ? value as Uint8Array<ArrayBuffer>
            : encoder.encode(value as string);
          set.string(op, key, bytes, BigInt(bytes.length));
          break;
        }
        case ATTRIBUTE_TYPES.TF_ATTR_INT:
          if (Array.isArray(value)) {
            set.ints(op, key, BigInt64Array.from(value, BigInt), value.length);
          } else set.int(op, key, BigInt(value as number));
          break;
        case ATTRIBUTE_TYPES.TF_ATTR_FLOAT:
          if (Array.isArray(value)) set.floats(op, key, Float32Array.from(value), value.length);
          else set.float(op, key, value as number);
          break;
        case ATTRIBUTE_TYPES.TF_ATTR_BOOL:
          set.bool(op, key, value ? 1 : 0);
          break;
        case ATTRIBUTE_TYPES.TF_ATTR_TYPE:
          if (Array.isArray(value)) set.types(op, key, Int32Array.from(value), value.length);
          else set.type(op, key, value as number);
          break;
        case ATTRIBUTE_TYPES.TF_ATTR_SHAPE: {
          const dims = value as number[];
          set.shape(op, key, BigInt64Array.from(dims, BigInt), dims.length);
          break;
        }
        default:
          throw new EngineError(
            "UNIMPLEMENTED",
            name,
            `Attribute ${name} has the kind ${type}, which the engine doesn't bind`,
          );
      }
    }
  };
}
