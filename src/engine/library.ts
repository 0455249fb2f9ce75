/**
 * Finds libtensorflow and opens it, at the first use and not at import.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { messageOf, UsageError } from "../base/errors.ts";
import {
  LIBTENSORFLOW_FILES,
  LIBTENSORFLOW_VARIABLE,
  libtensorflowPath,
} from "../base/libtensorflow_path.ts";
import { type LibTensorflow, SYMBOLS } from "./symbols.ts";

/**
 * Opens the library. The framework library comes first: the other one needs its symbols.
 *
 * @param path The library; unless given, `LOCKSTEP_LIBTENSORFLOW` or the cache's
 * @throws {UsageError} when it is missing or can't be loaded
 */
export function openLibrary(path: string = libtensorflowPath()): LibTensorflow {
  const cure = `run "deno task setup", or set ${LIBTENSORFLOW_VARIABLE} to the path of ` +
    LIBTENSORFLOW_FILES.main;
  try {
    Deno.statSync(path);
  } catch (error) {
    throw new UsageError(`libtensorflow can't be opened at ${path}: ${messageOf(error)}; ${cure}`);
  }
  try {
    // The folder that the file really stands in: LOCKSTEP_LIBTENSORFLOW may name a link.
    const real = Deno.realPathSync(path);
    Deno.dlopen(join(dirname(real), LIBTENSORFLOW_FILES.framework), {});
    return Deno.dlopen(real, SYMBOLS).symbols;
  } catch (error) {
    throw new UsageError(
      `${path} can't be loaded as libtensorflow on this machine: ${messageOf(error)}; ${cure}`,
    );
  }
}
