/**
 * Two requests to stop, of which the second one ends a command at once.
 *
 * @module
 */
import { delay } from "../../src/base/async.ts";
import { isRunning, workersAmong } from "./processes.ts";
import type { CommandResult, TrainProcess } from "./tiny_run.ts";

/**
 * Sends SIGINT twice to a command whose workers stand still, so that its orderly end would take 2.5 s and more.
 *
 * @param started The processes that the command started
 * @returns Its end; `wasAtOnce` is false where the orderly end came first, as on a machine that stands still
 */
export async function interruptTwice(
  run: TrainProcess,
  started: readonly number[],
): Promise<CommandResult & { readonly wasAtOnce: boolean }> {
  const workers = await workersAmong(started);
  for (const pid of workers) Deno.kill(pid, "SIGSTOP");
  try {
    run.kill("SIGINT");
    await run.seen(/again to stop at once/);
    await delay(1_100); // until then it would be the same request
    run.kill("SIGINT");
    const result = await run.result;
    return { ...result, wasAtOnce: !/Interrupted by/.test(result.stderr) };
  } finally {
    for (const pid of workers) if (await isRunning(pid)) Deno.kill(pid, "SIGCONT");
  }
}
