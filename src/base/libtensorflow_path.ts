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

/** The library that the engine opens: `LOCKSTEP_LIBTENSORFLOW`, or that of a build in the cache. */
export function libtensorflowPath(build: LibtensorflowBuild = "cpu"): string {
  const own = Deno.env.get(LIBTENSORFLOW_VARIABLE);
  return own
    ? pathOption(LIBTENSORFLOW_VARIABLE, own)
    : join(libtensorflowFolder(build), "tensorflow", LIBTENSORFLOW_FILES.main);
}
