/**
 * The one door through which native failures become errors.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import type { LibTensorflow } from "./symbols.ts";

/** Names of `TF_Code`, by value (tensorflow/c/tf_status.h, the same as gRPC's codes). */
const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const satisfies readonly StatusCode[];

/** Name of a native status. */
export type StatusCode =
  | "OK"
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/**
 * A failure inside TensorFlow, or a use of the engine that can't work.
 *
 * @example
 * ```ts
 * import { EngineError, evaluate, loadCheckpoint, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * const { model } = await loadCheckpoint("runs/latest/checkpoints/best");
 * try {
 *   await evaluate(model, "photos", { batchSize: 512 });
 * } catch (error) {
 *   if (!(error instanceof EngineError) || error.code !== "RESOURCE_EXHAUSTED") throw error;
 *   await evaluate(model, "photos", { batchSize: 32 }); // 512 images don't fit into the memory
 * }
 * ```
 */
export class EngineError extends LockstepError {
  /** Name of the class, for messages. */
  override name = "EngineError";
  /** Name of the native status, such as `INVALID_ARGUMENT`. */
  readonly code: StatusCode;
  /** The op or call that failed, such as `MatMul` or `TFE_NewContext`. */
  readonly op: string;

  /** Made by {@linkcode Status.check}, with a sentence that names the op and its shapes. */
  constructor(code: StatusCode, op: string, message: string) {
    super(message);
    this.code = code;
    this.op = op;
  }
}

/** A `TF_Status` and the checks on it. */
export class Status implements Disposable {
  /** The native object. */
  readonly pointer: Deno.PointerValue;
  readonly #lib: LibTensorflow;

  constructor(lib: LibTensorflow) {
    this.#lib = lib;
    this.pointer = lib.TF_NewStatus();
  }

  /**
   * Throws when the last call that was given this status failed.
   *
   * @param op The called function or op
   * @param details Adds what helps to understand the failure, such as input shapes
   * @throws {EngineError}
   */
  check(op: string, details?: () => string): void {
    const code = this.#lib.TF_GetCode(this.pointer);
    if (code === 0) return;
    const text = cString(this.#lib.TF_Message(this.pointer));
    const about = details ? ` ${details()}` : "";
    const name = CODES[code] ?? "UNKNOWN";
    throw new EngineError(name, op, `TensorFlow ${op}${about} failed: ${name}: ${text}`);
  }

  /** Releases the native object. */
  [Symbol.dispose](): void {
    this.#lib.TF_DeleteStatus(this.pointer);
  }
}

/** The text of a C string that the library owns. */
export function cString(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : new Deno.UnsafePointerView(pointer).getCString();
}
