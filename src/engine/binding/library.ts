/**
 * Finds libtensorflow and opens it, at the first use and not at import.
 *
 * @module
 */
import { task } from "../../base/invocation.ts";
import { dirname, join } from "node:path";
import { messageOf, reasonOf, UsageError } from "../../base/errors.ts";
import { requireRegularFileSync } from "../../base/regular_file.ts";
import {
  LIBTENSORFLOW_FILES,
  LIBTENSORFLOW_VARIABLE,
  libtensorflowPath,
} from "../../base/libtensorflow_path.ts";
import { type CudaDevice, openCudaDevice } from "./cuda_driver.ts";
import { nameXlaFolder, nvidiaFolder, openCudaLibraries } from "./cuda_libraries.ts";
import { ON_CPU } from "./cuda_problems.ts";
import { keepCompiledKernels } from "./kernel_cache.ts";
import { folderOfLoaded, loadForGood, MODE } from "./dynamic_loader.ts";
import { requireWholeLibrary } from "./library_file.ts";
import { setNativeVariables } from "./native_environment.ts";
import { FRAMEWORK_SYMBOLS, type LibTensorflow, SYMBOLS } from "./symbols.ts";

/**
 * TensorFlow takes oneDNN's kernels by itself only on CPUs with AVX-512 and newer extensions. On older ones it falls
 * back to Eigen's, which take more than twice the time, and whose results for an image depend on the images beside
 * it, in the last bits: then features could not be kept, and runs would differ between machines by more than they
 * need. A value that the user sets takes precedence.
 */
const ONEDNN = { TF_ENABLE_ONEDNN_OPTS: "1" };

/** Kinds of devices to compute on. */
export type DeviceKind = "auto" | "cpu" | "gpu";

/** An open library. */
export interface OpenLibrary {
  readonly lib: LibTensorflow;
  /** The GPU that TensorFlow will compute on; undefined for the CPU. */
  readonly gpu?: CudaDevice;
}

/** Options for opening the library. */
export interface LibraryOptions {
  /** The library; unless given, `LOCKSTEP_LIBTENSORFLOW` or the cache's. */
  readonly path?: string;
  /** The kind of device to compute on (default `auto`: a GPU where a CUDA build finds one). */
  readonly device?: DeviceKind | undefined;
  /** Environment variables for the libraries: those that replace the user's, and those that don't. */
  readonly variables?: {
    readonly required: Readonly<Record<string, string>>;
    readonly preferred: Readonly<Record<string, string>>;
  };
  /** Multiply float32 as TF32 on GPUs that have it (default false). */
  readonly tf32?: boolean;
}

/** Keeps TensorFlow from finding any GPU but one; must come before the library is opened. */
export function showGpu(uuid: string): void {
  setNativeVariables({ CUDA_VISIBLE_DEVICES: uuid }, true);
}

/**
 * Opens the library, and before it, for a GPU, the driver and CUDA's libraries. The framework library comes before the
 * main one, which needs its symbols.
 *
 * @throws {UsageError} when the library is missing or can't be loaded, and for everything that keeps a GPU from being
 * used: TensorFlow by itself would go on with the CPU
 */
export function openLibrary(
  { path = libtensorflowPath(), device = "auto", variables, tf32 = false }: LibraryOptions = {},
): OpenLibrary {
  const cure = `run "${task("setup")}", or set ${LIBTENSORFLOW_VARIABLE} to the path of ` +
    LIBTENSORFLOW_FILES.main;
  try {
    requireRegularFileSync(path);
  } catch (error) {
    throw new UsageError(`libtensorflow can't be opened at ${path}: ${reasonOf(error)}; ${cure}`);
  }
  try {
    // The folder that the file really stands in: LOCKSTEP_LIBTENSORFLOW may name a link.
    const real = Deno.realPathSync(path);
    const framework = join(dirname(real), LIBTENSORFLOW_FILES.framework);
    requireSameLibrary(real);
    for (const file of [framework, real]) requireWholeLibrary(file);
    setNativeVariables({ ...ONEDNN, ...variables?.preferred }, false);
    setNativeVariables({ ...variables?.required }, true);
    const nvidia = device === "cpu" ? undefined : nvidiaFolder(real);
    let gpu = nvidia === undefined ? undefined : openGpu(real, nvidia, device);
    const { symbols: build } = Deno.dlopen(framework, FRAMEWORK_SYMBOLS);
    keepLoaded(framework);
    // On by default: without this function, NVIDIA_TF32_OVERRIDE still decides.
    build.enableTensorFloat32?.(tf32 ? 1 : 0);
    const isCuda = build.IsGoogleCudaEnabled?.() === 1;
    if (nvidia === undefined && device !== "cpu" && isCuda) gpu = openGpu(real, undefined, device);
    if (device === "gpu" && !isCuda) throw new UsageError(withoutCuda(path));
    const { symbols: lib } = Deno.dlopen(real, SYMBOLS);
    keepLoaded(real);
    return { lib, ...(gpu ? { gpu } : {}) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(
      `${path} can't be loaded as libtensorflow on this machine: ${messageOf(error)}; ${cure}`,
    );
  }
}

/** TensorFlow ends a process that loads it from a second folder, with a message about its own parts. */
function requireSameLibrary(path: string): void {
  const loaded = folderOfLoaded(LIBTENSORFLOW_FILES.framework);
  if (loaded === undefined || loaded === dirname(path)) return;
  throw new UsageError(
    `libtensorflow is to be opened at ${path}, but this process has loaded the one in ${loaded} and can have only one: ` +
      `set ${LIBTENSORFLOW_VARIABLE} or LOCKSTEP_CACHE before the first use, or start another process`,
  );
}

/** Binds the library that another thread of this process has opened: no second copy is loaded. */
export function attachLibrary(path: string): LibTensorflow {
  return Deno.dlopen(Deno.realPathSync(path), SYMBOLS).symbols;
}

/**
 * Keeps a library loaded for good. Deno unloads what it opened when the process ends, while TensorFlow's threads still
 * run in it: a segmentation fault after the work is done.
 */
function keepLoaded(path: string): void {
  loadForGood(path, MODE.lazy);
}

/** Opens the driver and CUDA's libraries; returns nothing where `auto` finds no GPU. */
function openGpu(
  library: string,
  nvidia: string | undefined,
  device: DeviceKind,
): CudaDevice | undefined {
  keepCompiledKernels(library);
  const gpu = openCudaDevice(device === "gpu");
  if (!gpu) return undefined;
  openCudaLibraries(nvidia);
  if (nvidia !== undefined) nameXlaFolder(nvidia);
  return gpu;
}

function withoutCuda(path: string): string {
  const { os, arch } = Deno.build;
  const isSupported = os === "linux" && arch === "x86_64";
  return `device is gpu, but the libtensorflow at ${path} was built without CUDA: ` +
    (isSupported
      ? `run "${
        task("setup --device gpu")
      }", name a CUDA build with ${LIBTENSORFLOW_VARIABLE}, ${ON_CPU}`
      : `TensorFlow's wheels for ${os}-${arch} have none; name a CUDA build of your own with ` +
        `${LIBTENSORFLOW_VARIABLE}, ${ON_CPU}`);
}

/** Severities of TensorFlow's log (`absl::LogSeverityAtLeast`). */
export const LOG_LEVEL = { all: 0, warnings: 1, errors: 2 } as const;

/** Sets the least severity that TensorFlow logs; the library must be open. */
export function setLogLevel(path: string, level: number): void {
  const framework = join(dirname(Deno.realPathSync(path)), LIBTENSORFLOW_FILES.framework);
  Deno.dlopen(framework, FRAMEWORK_SYMBOLS).symbols.SetMinLogLevel?.(level);
}
