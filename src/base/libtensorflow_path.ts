/**
 * The path of libtensorflow, for the engine, which opens it, and for provision, which downloads it.
 *
 * @module
 */
import { join } from "node:path";
import { pathOption } from "./file_path.ts";
import { cacheFolder } from "./paths.ts";
import { LIBTENSORFLOW_VERSION } from "./versions.ts";

/** The environment variable that names another libtensorflow. */
export const LIBTENSORFLOW_VARIABLE = "LOCKSTEP_LIBTENSORFLOW";

/** File names of the C API's library and of the framework library that it depends on. */
export const LIBTENSORFLOW_FILES: { main: string; framework: string } = Deno.build.os === "darwin"
  ? { main: "libtensorflow_cc.2.dylib", framework: "libtensorflow_framework.2.dylib" }
  : { main: "libtensorflow_cc.so.2", framework: "libtensorflow_framework.so.2" };

/**
 * Builds of libtensorflow: for the CPU, and for each supported CUDA release. The builds with CUDA 12.5 have
 * machine code for GPUs up to Hopper, those with 12.9 also for Blackwell.
 */
export const LIBTENSORFLOW_BUILDS = ["cpu", "cuda-12.5", "cuda-12.9"] as const;

/** Name of a build. */
export type LibtensorflowBuild = (typeof LIBTENSORFLOW_BUILDS)[number];

/** The folder of the cache that holds a build: laid out as pip unpacks its wheels. */
export function libtensorflowFolder(build: LibtensorflowBuild = "cpu"): string {
  const suffix = build === "cpu" ? "" : `-${build}`;
  return join(cacheFolder(), `libtensorflow-${LIBTENSORFLOW_VERSION}${suffix}`);
}

/** Returns the build that computes on the CPU without a download: the first that the cache holds, else the CPU's own. */
export function presentBuild(): LibtensorflowBuild {
  return LIBTENSORFLOW_BUILDS.find((build) => isThere(libraryOf(build))) ?? "cpu";
}

function libraryOf(build: LibtensorflowBuild): string {
  return join(libtensorflowFolder(build), "tensorflow", LIBTENSORFLOW_FILES.main);
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false; // not there, or not for this process: opening it says why
  }
}

/**
 * The library that the engine opens: `LOCKSTEP_LIBTENSORFLOW`, or that of a build in the cache; one that is there unless
 * a build is given.
 */
export function libtensorflowPath(build: LibtensorflowBuild = presentBuild()): string {
  const own = Deno.env.get(LIBTENSORFLOW_VARIABLE);
  return own ? pathOption(LIBTENSORFLOW_VARIABLE, own) : libraryOf(build);
}
