/**
 * The native side of the open engine, for code that needs no tfjs: a loader thread has this and nothing else of the
 * engine.
 *
 * @module
 */
import { attachLibrary } from "./binding/library.ts";
import { Runtime } from "./binding/runtime.ts";
import { EngineError } from "./binding/status.ts";

/** The engine of one thread of this process, in a form that another thread can attach to. */
export interface EngineAddress {
  /** The library that is open. */
  readonly libraryPath: string;
  /** The eager context. */
  readonly context: bigint;
}

/** The engine of this thread. */
interface OpenedEngine {
  readonly runtime: Runtime;
  readonly libraryPath: string;
  readonly deterministic: boolean;
}

let current: OpenedEngine | undefined;

/**
 * Makes a runtime this thread's.
 *
 * @param deterministic True where TensorFlow takes only kernels that give the same bits in each run
 */
export function setNativeRuntime(
  runtime: Runtime,
  libraryPath: string,
  deterministic = false,
): void {
  current = { runtime, libraryPath, deterministic };
}

/**
 * Tells whether TensorFlow takes only kernels that give the same bits in each run.
 *
 * @throws {EngineError} when the engine isn't open
 */
export function isDeterministic(): boolean {
  return opened().deterministic;
}

/**
 * Returns this thread's runtime.
 *
 * @throws {EngineError} when the engine isn't open
 */
export function nativeRuntime(): Runtime {
  return opened().runtime;
}

/** Tells whether the engine is open, and computes on a GPU. */
export function isGpuOpen(): boolean {
  return current?.runtime.hasGpu ?? false;
}

/**
 * Returns the address of this thread's engine.
 *
 * @throws {EngineError} when the engine isn't open
 */
export function engineAddress(): EngineAddress {
  const { runtime, libraryPath } = opened();
  return { libraryPath, context: Deno.UnsafePointer.value(runtime.context) };
}

/**
 * Gives this thread a runtime of its own over another thread's context, which must stay open. TensorFlow's eager ops
 * may run in any number of threads at the same time.
 */
export function attachEngine({ libraryPath, context }: EngineAddress): void {
  setNativeRuntime(new Runtime(attachLibrary(libraryPath), { context }), libraryPath);
}

function opened(): OpenedEngine {
  if (current) return current;
  throw new EngineError(
    "FAILED_PRECONDITION",
    "engine",
    "The engine is not open: call openEngine()",
  );
}
