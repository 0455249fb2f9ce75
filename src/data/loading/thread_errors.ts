/**
 * Errors on their way from a loader thread to the main thread.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { outOfMemoryMessage } from "../../engine/memory_limits.ts";
import { DataError } from "../codecs/data_error.ts";
import type { ThreadError } from "./thread_control.ts";

/** Describes an error in plain data. */
export function describeError(error: unknown): ThreadError {
  const memory = outOfMemoryMessage(error);
  if (memory !== undefined) return { kind: "memory", message: memory };
  if (error instanceof DataError) {
    const { message, path, reason } = error;
    return { kind: "image", message, path, reason };
  }
  if (error instanceof LockstepError) return { kind: "lockstep", message: error.message };
  if (!(error instanceof Error)) return { kind: "other", message: String(error) };
  return { kind: "other", message: error.message, stack: error.stack };
}

/** Makes the error again. */
export function errorOf({ kind, message, path = "", reason = "", stack }: ThreadError): Error {
  switch (kind) {
    case "image":
      return new DataError(path, reason);
    case "lockstep":
      return new LockstepError(message);
    default:
      return Object.assign(new Error(message), stack === undefined ? {} : { stack });
  }
}
