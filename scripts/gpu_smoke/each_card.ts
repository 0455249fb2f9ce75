/**
 * Makes a check on each card, in processes of their own, at the same time: the engine opens one GPU per process.
 *
 * @module
 */
import { join } from "node:path";
import type { CheckContext, Outcome, SmokeCheck, SmokeGpu } from "./check.ts";
import { checkProcess } from "./process.ts";
import { readOutcome } from "./run_checks.ts";

/** The result of one card. */
export interface CardOutcome extends Outcome {
  readonly gpu: SmokeGpu;
}

/** Runs the check's processes, each with one GPU in its context and a folder of its own. */
export async function onEachCard(
  check: SmokeCheck,
  context: CheckContext,
): Promise<CardOutcome[]> {
  return await Promise.all(context.gpus.map(async (gpu, position) => {
    const folder = join(context.folder, `${check.name}-${position}`);
    await Deno.mkdir(folder, { recursive: true });
    const own = { ...context, gpus: [gpu], folder };
    const { code, signal } = await checkProcess(check, own, "check", {
      log: join(folder, `${check.name}.log`),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    const outcome = await readOutcome(own, check);
    const ended = `ended with ${signal ?? `code ${code}`}`;
    return { gpu, ...outcome ?? { status: "fail", figure: ended } };
  }));
}

/** The failure of the first card that doesn't pass, if there is one. */
export function failureOf(outcomes: readonly CardOutcome[]): Outcome | undefined {
  const bad = outcomes.filter(({ status }) => status !== "pass");
  const [first] = bad;
  if (!first) return undefined;
  const more = bad.length > 1 ? ` (and ${bad.length - 1} more)` : "";
  return {
    status: "fail",
    figure: `GPU ${first.gpu.index}: ${first.figure}${more}`,
    details: outcomes,
  };
}
