/**
 * The path of libtensorflow: agreed on by the engine, which opens it, and provision, which fetches it.
 *
 * @module
 */
import { join } from "node:path";
import { pathOption } from "./file_path.ts";
import { cacheFolder } from "./paths.ts";
import { LIBTENSORFLOW_VERSION } from "./versions.ts";

/** The environment variable that names another libtensorflow. */
export const LIBTENSORFLOW_VARIABLE = "LOCKSTEP_LIBTENSORFLOW";

/** File names of the C API's library, and of the framework library that it needs beside it. */
export const LIBTENSORFLOW_FILES: { main: string; framework: string } = Deno.build.os === "darwin"
  ? { main: "libtensorflow_cc.2.dylib", framework: "libtensorflow_framework.2.dylib" }
  : { main: "libtensorflow_cc.so.2", framework: "libtensorflow_framework.so.2" };

/** The folder of the cache that holds the unpacked wheel. */
export function libtensorflowFolder(): string {
  return join(cacheFolder(), `libtensorflow-${LIBTENSORFLOW_VERSION}`);
}

/** The library that the engine opens: `LOCKSTEP_LIBTENSORFLOW`, else the one in the cache. */
export function libtensorflowPath(): string {
  const own = Deno.env.get(LIBTENSORFLOW_VARIABLE);
  return own
    ? pathOption(LIBTENSORFLOW_VARIABLE, own)
    : join(libtensorflowFolder(), "tensorflow", LIBTENSORFLOW_FILES.main);
}
