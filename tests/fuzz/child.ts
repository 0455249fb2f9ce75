/**
 * The process in which a fuzzer of native code runs: a fault there may end the process, and libraries write to its
 * standard error.
 *
 * @module
 */
import { findFault } from "./run_fuzzer.ts";

if (import.meta.main) {
  const [module, options] = JSON.parse(Deno.args[0]!);
  console.log(JSON.stringify(await findFault(module, options) ?? null));
}
