/**
 * Opens each library that TensorFlow needs, by full path and in order, and asks for its version.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { CUDA_LIBRARIES } from "../../../src/base/cuda_libraries.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { LIBTENSORFLOW_FILES } from "../../../src/base/libtensorflow_path.ts";
import { exists } from "../../../src/base/paths.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";

/** A library that was opened, or the reason why it was not. */
interface Opened {
  readonly path: string;
  readonly version?: string;
  readonly problem?: string;
}

/** Reads a library's version; undefined when the library doesn't say. */
type ReadVersion = (path: string) => string | undefined;

/** The check. */
export const CHECK: SmokeCheck = {
  name: "libraries",
  title: "that the driver's, CUDA's and TensorFlow's libraries open",
  limitSeconds: 40,
  cards: "all",
  needsGpu: false,
  run,
};

const DRIVER: readonly [string, ReadVersion][] = [
  ["libcuda.so.1", (path) => cudaVersion(intOf(path, "cuDriverGetVersion"))],
  ["libnvidia-ml.so.1", driverVersion],
];

const VERSIONS: Readonly<Record<string, ReadVersion>> = {
  "libcudart.so.12": (path) => cudaVersion(intOf(path, "cudaRuntimeGetVersion")),
  "libcudnn.so.9": cudnnVersion,
  "libcublas.so.12": (path) => propertyVersion(path, "cublasGetProperty"),
  "libcufft.so.11": (path) => propertyVersion(path, "cufftGetProperty"),
  "libcusparse.so.12": (path) => propertyVersion(path, "cusparseGetProperty"),
  "libcusolver.so.11": (path) => propertyVersion(path, "cusolverGetProperty"),
};

async function run(context: CheckContext): Promise<Outcome> {
  const opened: Opened[] = [];
  if (context.device === "gpu") {
    opened.push(...DRIVER.map(([name, version]) => open(name, version)));
    for (const { folder, name } of CUDA_LIBRARIES) {
      opened.push(open(await cudaLibraryPath(context.libraryPath, folder, name), VERSIONS[name]));
    }
  }
  const folder = dirname(await Deno.realPath(context.libraryPath));
  opened.push(open(join(folder, LIBTENSORFLOW_FILES.framework)));
  opened.push(open(context.libraryPath, tensorflowVersion));
  const problems = opened.filter(({ problem }) => problem !== undefined);
  const [first] = problems;
  if (first) {
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
    return { status: "fail", figure: `${first.path}: ${first.problem}${more}`, details: opened };
  }
  const versions = opened.filter(({ version }) => version !== undefined)
    .map(({ path, version }) => `${shortName(path)} ${version}`);
  return {
    status: "pass",
    figure: `${opened.length} open: ${versions.join(", ")}`,
    details: opened,
  };
}

/** Returns the path of a library beside a build of TensorFlow, or its name where it comes from the system. */
export async function cudaLibraryPath(
  libraryPath: string,
  folder: string,
  name: string,
): Promise<string> {
  const root = dirname(dirname(await Deno.realPath(libraryPath)));
  const path = join(root, "nvidia", folder, "lib", name);
  return await exists(path) ? path : name;
}

function open(path: string, version?: ReadVersion): Opened {
  try {
    Deno.dlopen(path, {}); // stays open, as libraries after it need its symbols
    const found = version?.(path);
    return { path, ...(found === undefined ? {} : { version: found }) };
  } catch (error) {
    return { path, problem: messageOf(error).replace(/^Could not open library: /, "") };
  }
}

function shortName(path: string): string {
  return path.replace(/^.*\/?lib(.+?)(_cc)?\.so.*$/, "$1").replace("nvidia-ml", "driver");
}

/** Returns what a function of the form `error f(int *value)` gives. */
function intOf(path: string, name: string): number {
  const { symbols } = Deno.dlopen(path, {
    read: { name, parameters: ["buffer"], result: "i32" },
  });
  const value = new Int32Array(1);
  const error = symbols.read(value);
  if (error !== 0) throw new Error(`${name} gives error ${error}`);
  return value[0]!;
}

function cudaVersion(number: number): string {
  return `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
}

/** Asks for major, minor and patch level by `status f(libraryPropertyType type, int *value)`. */
function propertyVersion(path: string, name: string): string | undefined {
  const { symbols: { read } } = Deno.dlopen(path, {
    read: { name, parameters: ["i32", "buffer"], result: "i32", optional: true },
  });
  if (!read) return undefined;
  const value = new Int32Array(1);
  return [0, 1, 2].map((part) => {
    const error = read(part, value);
    if (error !== 0) throw new Error(`${name} gives error ${error}`);
    return value[0];
  }).join(".");
}

function cudnnVersion(path: string): string {
  const { symbols } = Deno.dlopen(path, {
    cudnnGetVersion: { parameters: [], result: "usize" },
  });
  const number = Number(symbols.cudnnGetVersion());
  return [Math.floor(number / 10_000), Math.floor((number % 10_000) / 100), number % 100].join(".");
}

/** The driver's version, from NVML: without NVML TensorFlow finds no GPU. */
function driverVersion(path: string): string {
  const { symbols } = Deno.dlopen(path, {
    nvmlInit_v2: { parameters: [], result: "i32" },
    nvmlSystemGetDriverVersion: { parameters: ["buffer", "u32"], result: "i32" },
  });
  const text = new Uint8Array(81);
  const error = symbols.nvmlInit_v2() || symbols.nvmlSystemGetDriverVersion(text, 80);
  if (error !== 0) throw new Error(`NVML gives error ${error}`);
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}

function tensorflowVersion(path: string): string {
  const { symbols } = Deno.dlopen(path, { TF_Version: { parameters: [], result: "pointer" } });
  return new Deno.UnsafePointerView(symbols.TF_Version()!).getCString();
}
