/**
 * Runs a traced graph in a session, which tells how long each of its nodes took.
 *
 * A call of a function keeps no times. A session over the same graph, with the same settings, goes through the same
 * optimizers and runs the same kernels.
 *
 * @module
 */
import { BinaryWriter, WireType } from "../../deps/protobuf_wire.ts";
import { configProto } from "./call_options.ts";
import { type NodeRun, readNodeRuns } from "./run_metadata.ts";
import type { Runtime, TensorId } from "../binding/runtime.ts";
import { Status } from "../binding/status.ts";
import type { LibTensorflow } from "../binding/symbols.ts";

/** A graph and where it begins and ends, as arrays of `TF_Output`. */
export interface GraphEnds {
  readonly graph: Deno.PointerValue;
  readonly inputs: Uint8Array<ArrayBuffer>;
  readonly inputCount: number;
  readonly outputs: Uint8Array<ArrayBuffer>;
  readonly outputCount: number;
}

/** The times of a run. */
export interface GraphRun {
  /** Time from the call to its end. */
  readonly milliseconds: number;
  readonly nodes: readonly NodeRun[];
}

/** Field of `tensorflow.RunOptions`, and its value that asks for the times of nodes. */
const TRACE_LEVEL = { field: 1, software: 1 };

/** An open session. */
export class GraphSession implements Disposable {
  readonly #runtime: Runtime;
  readonly #lib: LibTensorflow;
  readonly #ends: GraphEnds;
  readonly #status: Status;
  readonly #session: Deno.PointerValue;

  /**
   * @param ends The graph, which must outlive the session
   * @param isRewritten Whether the graph optimizer rewrites it to bfloat16
   */
  constructor(runtime: Runtime, ends: GraphEnds, isRewritten: boolean) {
    this.#runtime = runtime;
    this.#lib = runtime.lib;
    this.#ends = ends;
    this.#status = new Status(this.#lib);
    const { pointer } = this.#status;
    const options = this.#lib.TF_NewSessionOptions();
    try {
      const config = joined(runtime.config, configProto(isRewritten));
      this.#lib.TF_SetConfig(options, config, BigInt(config.length), pointer);
      this.#status.check("TF_SetConfig");
      this.#session = this.#lib.TF_NewSession(ends.graph, options, pointer);
      this.#status.check("TF_NewSession");
    } finally {
      this.#lib.TF_DeleteSessionOptions(options);
    }
  }

  /** Runs the graph once; the results are dropped. */
  async run(inputs: readonly TensorId[]): Promise<GraphRun> {
    const lib = this.#lib;
    const { inputs: places, inputCount, outputs, outputCount } = this.#ends;
    using tensors = this.#runtime.tensors(inputs);
    const results = new BigUint64Array(outputCount);
    const options = new BinaryWriter().tag(TRACE_LEVEL.field, WireType.Varint)
      .int32(TRACE_LEVEL.software).finish();
    const runOptions = lib.TF_NewBufferFromString(
      new Uint8Array(options),
      BigInt(options.length),
    );
    const metadata = lib.TF_NewBuffer();
    try {
      const start = performance.now();
      await lib.TF_SessionRun_nonblocking(
        this.#session,
        runOptions,
        places,
        tensors.pointers,
        inputCount,
        outputs,
        results,
        outputCount,
        null,
        0,
        metadata,
        this.#status.pointer,
      );
      const milliseconds = performance.now() - start;
      this.#status.check("TF_SessionRun");
      return { milliseconds, nodes: readNodeRuns(this.#runtime.bufferBytes(metadata)) };
    } finally {
      for (const result of results) {
        if (result !== 0n) lib.TF_DeleteTensor(Deno.UnsafePointer.create(result));
      }
      lib.TF_DeleteBuffer(runOptions);
      lib.TF_DeleteBuffer(metadata);
    }
  }

  /** Closes the session. */
  [Symbol.dispose](): void {
    this.#lib.TF_CloseSession(this.#session, this.#status.pointer);
    this.#lib.TF_DeleteSession(this.#session, this.#status.pointer);
    this.#status[Symbol.dispose]();
  }
}

/** Joins two encoded messages of one kind to one: a reader merges messages that are written one after the other. */
function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
