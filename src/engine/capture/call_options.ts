/**
 * Options for TensorFlow's compilation of a captured function.
 *
 * @module
 */
import { BinaryWriter, WireType } from "../../deps/protobuf_wire.ts";
import { type Attribute, ATTRIBUTE_TYPES } from "../binding/attributes.ts";
import type { Precision } from "../precision.ts";

/** Options for the compilation of a captured function. */
export interface CallOptions {
  /** `float32` unless given. */
  readonly precision?: Precision;
  /** Compile with XLA instead of running TensorFlow's own kernels. */
  readonly xla?: boolean;
  /** Round to bfloat16 in the trace on CPUs too, where TensorFlow's graph optimizer would do it: as GPUs do, for tests. */
  readonly roundsInTrace?: boolean;
}

/** Fields of TensorFlow's messages, by the names that they have there. */
const CONFIG = { graphOptions: 10 };
const GRAPH_OPTIONS = { rewriteOptions: 10 };
const REWRITER = { autoMixedPrecisionOnednnBfloat16: 31 };

/** `RewriterConfig.Toggle.ON`. */
const ON = 1;

/**
 * The attributes of a call. A call without a `config_proto` runs the graph as it was traced; with one, TensorFlow's
 * graph optimizer prunes, folds and fuses first.
 *
 * @param isRewritten Whether the graph optimizer rewrites the function to bfloat16
 */
export function callAttributes(isRewritten: boolean, isXla: boolean): Attribute[] {
  if (isXla) {
    return [{ name: "_XlaMustCompile", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: true }];
  }
  const text = (name: string, value: string | Uint8Array): Attribute => ({
    name,
    type: ATTRIBUTE_TYPES.TF_ATTR_STRING,
    value,
  });
  // TensorFlow looks at the config only where an executor is named too; an empty name is the usual one.
  return [text("executor_type", ""), text("config_proto", configProto(isRewritten))];
}

/** A `tensorflow.ConfigProto` with the graph optimizer's settings. */
export function configProto(isRewritten: boolean): Uint8Array<ArrayBuffer> {
  const rewriter = new BinaryWriter();
  if (isRewritten) {
    rewriter.tag(REWRITER.autoMixedPrecisionOnednnBfloat16, WireType.Varint).int32(ON);
  }
  return nested(CONFIG.graphOptions, nested(GRAPH_OPTIONS.rewriteOptions, rewriter.finish()));
}

function nested(field: number, message: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(message).finish(),
  );
}
