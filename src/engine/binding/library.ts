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
import { LIBC, setNativeVariables } from "./native_environment.ts";
import { type LibTensorflow, LOGGING_SYMBOLS, SYMBOLS } from "./symbols.ts";

/** `absl::LogSeverityAtLeast::kError`. */
const ERRORS_ONLY = 2;

/**
 * TensorFlow takes oneDNN's kernels by itself only on CPUs with AVX-512 and newer extensions. On older ones it falls
 * back to Eigen's, which take more than twice the time, and whose results for an image depend on the images beside
 * it, in the last bits: then features could not be kept, and runs would differ between machines by more than they
 * need. A value that the user sets takes precedence.
 */
const ONEDNN = { TF_ENABLE_ONEDNN_OPTS: "1" };

/** Hides all GPUs from CUDA, which reads it when the library first asks for them. */
const WITHOUT_GPUS = { CUDA_VISIBLE_DEVICES: "-1" };

/** Keeps TensorFlow from finding GPUs; must come before the library is opened. */
export function hideGpus(): void {
  setNativeVariables(WITHOUT_GPUS, true);
}

/** Keeps TensorFlow from finding any GPU but one; must come before the library is opened. */
export function showGpu(uuid: string): void {
  setNativeVariables({ CUDA_VISIBLE_DEVICES: uuid }, true);
}

/**
 * Opens the library. The framework library comes first: the other one needs its symbols.
 *
 * @param path The library; unless given, `LOCKSTEP_LIBTENSORFLOW` or the cache's
 * @param verbose Let TensorFlow write its notices to stderr
 * @throws {UsageError} when it is missing or can't be loaded
 */
export function openLibrary(path: string = libtensorflowPath(), verbose = false): LibTensorflow {
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
    setNativeVariables(ONEDNN, false);
    const { symbols } = verbose
      ? open(framework, real, true)
      : quietly(() => open(framework, real, false));
    pin([framework, real]);
    return symbols;
  } catch (error) {
    throw new UsageError(
      `${path} can't be loaded as libtensorflow on this machine: ${messageOf(error)}; ${cure}`,
    );
  }
}

function open(framework: string, main: string, verbose: boolean) {
  const { symbols: logging } = Deno.dlopen(framework, LOGGING_SYMBOLS);
  if (!verbose) logging.SetMinLogLevel?.(ERRORS_ONLY);
  return Deno.dlopen(main, SYMBOLS);
}

/**
 * Runs `load` with file descriptor 2 turned away: TensorFlow logs while it is being loaded, before anybody
 * could turn its logger down.
 */
function quietly<T>(load: () => T): T {
  const libc = Deno.dlopen(LIBC, {
    dup: { parameters: ["i32" /* fd */], result: "i32" },
    dup2: { parameters: ["i32", /* from */ "i32" /* to */], result: "i32" },
    open: { parameters: ["buffer", /* path */ "i32" /* flags */], result: "i32" },
    close: { parameters: ["i32" /* fd */], result: "i32" },
  });
  const stderr = 2;
  const writeOnly = 1; // O_WRONLY
  const saved = libc.symbols.dup(stderr);
  const nowhere = libc.symbols.open(new TextEncoder().encode("/dev/null\0"), writeOnly);
  try {
    if (saved >= 0 && nowhere >= 0) libc.symbols.dup2(nowhere, stderr);
    return load();
  } finally {
    if (saved >= 0) libc.symbols.dup2(saved, stderr);
    for (const descriptor of [saved, nowhere]) if (descriptor >= 0) libc.symbols.close(descriptor);
    libc.close();
  }
}

/**
 * Keeps the libraries loaded for good. Deno unloads what it opened when the process ends, while
 * TensorFlow's threads still run in it: a segmentation fault after the work is done.
 */
function pin(paths: readonly string[]): void {
  const darwin = Deno.build.os === "darwin";
  const noDelete = darwin ? 0x80 : 0x1000; // RTLD_NODELETE
  const lazy = 1; // RTLD_LAZY
  const system = Deno.dlopen(darwin ? "libSystem.dylib" : "libdl.so.2", {
    dlopen: { parameters: ["buffer", /* file */ "i32" /* mode */], result: "pointer" },
  });
  const encoder = new TextEncoder();
  for (const path of paths) system.symbols.dlopen(encoder.encode(path + "\0"), lazy | noDelete);
  system.close();
}
