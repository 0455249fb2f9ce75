/**
 * Keeps modules of the user's own from ending the process or thread that they run in.
 *
 * @module
 */
import { LockstepError } from "./errors.ts";

/** Turns a module's call of `Deno.exit()` or `process.exit()` into an error that names the module. */
export function forbidExit(): void {
  Deno.exit = (code = 0): never => {
    throw new LockstepError(`Deno.exit(${code}) was called: a module must not end its worker`);
  };
}
