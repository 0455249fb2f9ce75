/**
 * The folder in which the driver keeps what it has compiled for a GPU, so that it compiles once per machine.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { cacheFolder } from "../../base/paths.ts";
import { LIBC, nativeVariable, setNativeVariables } from "./native_environment.ts";

const PATH = "CUDA_CACHE_PATH";
/** Bytes: all of TensorFlow's kernels for one GPU need several hundred MB, more than the driver's default keeps. */
const MAX_BYTES = 2 ** 32;
const FOLDER_MODE = 0o755;

/**
 * Returns the folder of a build's compiled kernels: `CUDA_CACHE_PATH` of the user, else one in Lockstep's cache.
 *
 * @param libraryPath Path of the build's libtensorflow
 */
export function kernelCacheFolder(libraryPath: string): string {
  return nativeVariable(PATH) ?? ownFolder(libraryPath);
}

/** Such as `cuda-kernels/libtensorflow-2.21.0-cuda-12.5`; the driver tells cards and its own versions apart. */
function ownFolder(libraryPath: string): string {
  return join(cacheFolder(), "cuda-kernels", basename(dirname(dirname(libraryPath))) || "own");
}

/**
 * Makes the driver keep compiled kernels in {@linkcode kernelCacheFolder}; must come before the driver starts. Values
 * that the user has set take precedence.
 */
export function keepCompiledKernels(libraryPath: string): void {
  const folder = ownFolder(libraryPath);
  if (nativeVariable(PATH) === undefined) makeFolder(folder);
  setNativeVariables({ [PATH]: folder, CUDA_CACHE_MAXSIZE: String(MAX_BYTES) }, false);
}

/** Makes a folder and those above it through the C library: workers have no right to write files. */
function makeFolder(path: string): void {
  const libc = Deno.dlopen(LIBC, {
    mkdir: { parameters: ["buffer", /* pathname */ "u32" /* mode */], result: "i32" },
  });
  const missing = [path];
  for (let above = dirname(path); above !== dirname(above); above = dirname(above)) {
    missing.unshift(above);
  }
  // Of a folder that can't be made, the driver says nothing and keeps nothing.
  for (const folder of missing) {
    libc.symbols.mkdir(new TextEncoder().encode(folder + "\0"), FOLDER_MODE);
  }
  libc.close();
}
