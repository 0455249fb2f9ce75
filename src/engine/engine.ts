/**
 * Opens the engine: libtensorflow behind the backend and kernels of `@tensorflow/tfjs-node-gpu`.
 *
 * @module
 */
import util from "node:util";
import { messageOf, UsageError } from "../base/errors.ts";
import { libtensorflowPath } from "../base/libtensorflow_path.ts";
import { ATTRIBUTE_TYPES, DATA_TYPES } from "./binding/attributes.ts";
import { BACKEND } from "./backend.ts";
import { registerNativeGradients } from "./gradients.ts";
import type { CudaDevice } from "./binding/cuda_driver.ts";
import { cudaProblemIn, ON_CPU } from "./binding/cuda_problems.ts";
import { LOG_LEVEL, openLibrary, setLogLevel, showGpu } from "./binding/library.ts";
import { logProblems, withCapturedStderr } from "./binding/native_output.ts";
import { setKernelThreads } from "./kernel_threads.ts";
import { setNativeRuntime } from "./native_runtime.ts";
import { type Device, Runtime, type Threads } from "./binding/runtime.ts";
import { EngineError } from "./binding/status.ts";
import { numericVariables } from "./numerics.ts";
import { tf } from "./tf.ts";
import { coresOfHost } from "./threads.ts";

/** Settings of the engine. */
export interface EngineOptions {
  /** The kind of device to compute on (default `auto`); an engine that is open must fit. */
  readonly device?: "auto" | "cpu" | "gpu";
  /** UUID of the GPU, or MIG instance, to compute on: all others stay hidden. */
  readonly gpu?: string;
  /** Sizes of TensorFlow's thread pools; 0, the default, lets TensorFlow choose. */
  readonly threads?: Partial<Threads>;
  /** Let TensorFlow write its notices to stderr. */
  readonly verbose?: boolean;
  /** Another libtensorflow than `LOCKSTEP_LIBTENSORFLOW` or the cache's. */
  readonly libraryPath?: string;
  /** The format for which the libraries are set up: TF32 is off unless it is `tf32`. `float32` unless given. */
  readonly precision?: "float32" | "tf32" | "float16" | "bfloat16" | undefined;
  /** Take only kernels that give the same bits in each run (default false). */
  readonly deterministic?: boolean | undefined;
  /** The most of a GPU's memory that this process may take: a part up to 1, or bytes; all of it unless given. */
  readonly gpuMemory?: number | undefined;
}

/** The open engine. */
export interface Engine {
  /** TensorFlow's version, such as `2.21.0`. */
  readonly tensorflowVersion: string;
  /** The library that was opened. */
  readonly libraryPath: string;
  /** The devices that TensorFlow may place ops on. */
  readonly devices: readonly Device[];
  /** `true` where one of the devices is a GPU. */
  readonly hasGpu: boolean;
}

/** The open engine, as Lockstep itself uses it. */
export interface NativeEngine extends Engine {
  /** The native side: tensors and ops. */
  readonly runtime: Runtime;
  /** The GPU that is computed on; undefined for the CPU. */
  readonly gpu?: CudaDevice;
}

const PACKAGE = "@tensorflow/tfjs-node-gpu";

let opening: Promise<NativeEngine> | undefined;

/**
 * Opens the engine and makes it tfjs's backend; later calls give the same engine.
 *
 * @throws {UsageError} when libtensorflow is missing or doesn't load, or the devices are others than asked for
 */
export async function openEngine(options: EngineOptions = {}): Promise<NativeEngine> {
  opening ??= open(options).catch((error) => {
    opening = undefined;
    throw error;
  });
  const engine = await opening;
  requireDevice(engine, options.device);
  return engine;
}

/**
 * Opens the engine without GPUs, for a process that leaves the computing to others; one that is open already stays as it
 * is.
 *
 * @throws {UsageError} as {@linkcode openEngine}
 */
export function openEngineOnCpu(
  options: Omit<EngineOptions, "device" | "gpu"> = {},
): Promise<NativeEngine> {
  return openEngine({ ...options, ...(opening ? {} : { device: "cpu" }) });
}

function requireDevice({ hasGpu }: NativeEngine, device: EngineOptions["device"]) {
  if (device === "gpu" && !hasGpu) {
    throw new UsageError(
      "device is gpu, but this process has opened TensorFlow without a GPU before: start another process",
    );
  }
  if (device === "cpu" && hasGpu) {
    throw new UsageError(
      "device is cpu, but this process has opened TensorFlow with its GPUs before: start another process",
    );
  }
}

/**
 * Opens the library and TensorFlow's context, which looks for the GPU.
 *
 * @throws {UsageError} where a GPU is to be computed on and TensorFlow doesn't list it, with TensorFlow's own lines
 */
function openRuntime(path: string, options: EngineOptions): { runtime: Runtime; gpu?: CudaDevice } {
  const { device, gpuMemory, verbose = false } = options;
  const threads = { intraOp: 0, interOp: 0, ...options.threads };
  let text = "";
  const captured = <T>(action: () => T): T =>
    verbose ? action() : withCapturedStderr(action, (written) => text = written);
  const { lib, gpu } = captured(() =>
    openLibrary({
      ...{ path, device, tf32: options.precision === "tf32" },
      variables: numericVariables(options, device !== "cpu"),
    })
  );
  if (!gpu) {
    if (!verbose) setLogLevel(path, LOG_LEVEL.errors);
    return { runtime: new Runtime(lib, { threads }) };
  }
  // TensorFlow says only as a warning that it goes on without the GPU.
  if (!verbose) setLogLevel(path, LOG_LEVEL.warnings);
  const memoryFraction = gpuMemory &&
    (gpuMemory <= 1 ? gpuMemory : Math.min(1, gpuMemory / gpu.memoryBytes));
  let runtime: Runtime;
  try {
    runtime = captured(() => new Runtime(lib, { threads, gpu: { memoryFraction } }));
  } catch (error) {
    throw contextError(error, text);
  }
  if (!verbose) setLogLevel(path, LOG_LEVEL.errors);
  if (!runtime.hasGpu) throw new UsageError(unlistedGpu(gpu, text));
  return { runtime, gpu };
}

/** Explains TensorFlow's failure to open a GPU. */
function contextError(error: unknown, text: string): unknown {
  const problem = error instanceof EngineError ? cudaProblemIn(error.message + text) : undefined;
  return problem === undefined
    ? error
    : new UsageError(`${problem}, ${ON_CPU} (${messageOf(error)})`, { cause: error });
}

const MAX_LOG_LINES = 5;

function unlistedGpu({ name }: CudaDevice, text: string): string {
  const said = logProblems(text).slice(-MAX_LOG_LINES);
  const problem = cudaProblemIn(text);
  const cure = problem ?? "look at deno task doctor";
  return `TensorFlow doesn't list ${name}, which the driver does: ${cure}, ${ON_CPU}` +
    (said.length === 0
      ? ""
      : `; TensorFlow said:\n${said.map((line) => `  | ${line}`).join("\n")}`);
}

async function open(options: EngineOptions): Promise<NativeEngine> {
  const libraryPath = options.libraryPath ?? libtensorflowPath();
  if (options.device !== "cpu" && options.gpu !== undefined) showGpu(options.gpu);
  const { runtime, gpu } = openRuntime(libraryPath, options);

  // The package calls a helper that newer Nodes and Deno no longer have.
  const helpers = util as unknown as Record<string, unknown>;
  helpers.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  const { NodeJSKernelBackend } = await import("../deps/tfjs_node_gpu.ts");

  tf.registerBackend(BACKEND, () => {
    // The binding's type also names two classes that exist only in the addon's declarations.
    const binding = bindingOf(runtime) as unknown as ConstructorParameters<
      typeof NodeJSKernelBackend
    >[0];
    const backend = new NodeJSKernelBackend(binding, PACKAGE);
    return Object.assign(backend, { runtime });
  });
  await tf.setBackend(BACKEND);
  setNativeRuntime(runtime, libraryPath, options.deterministic);
  setKernelThreads(options.threads?.intraOp || coresOfHost());
  registerNativeGradients();
  const { version: tensorflowVersion, devices } = runtime;
  return {
    ...{ runtime, tensorflowVersion, libraryPath, devices },
    hasGpu: runtime.hasGpu,
    ...(gpu ? { gpu } : {}),
  };
}

/** The `TFJSBinding` that the package's backend runs on. */
function bindingOf(runtime: Runtime) {
  const unsupported = (what: string) => () => {
    throw new EngineError(
      "UNIMPLEMENTED",
      what,
      `${what} is not bound: Lockstep doesn't use SavedModels`,
    );
  };
  return {
    ...DATA_TYPES,
    ...ATTRIBUTE_TYPES,
    TF_Version: runtime.version,
    createTensor: runtime.createTensor.bind(runtime),
    deleteTensor: runtime.deleteTensor.bind(runtime),
    tensorDataSync: runtime.read.bind(runtime),
    executeOp: runtime.execute.bind(runtime),
    isUsingGpuDevice: () => runtime.hasGpu,
    getNumOfTensors: () => runtime.tensorCount,
    getNumOfSavedModels: () => 0,
    loadSavedModel: unsupported("loadSavedModel"),
    deleteSavedModel: unsupported("deleteSavedModel"),
    runSavedModel: unsupported("runSavedModel"),
  };
}
