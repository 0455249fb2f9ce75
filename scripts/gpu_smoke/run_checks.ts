/**
 * Runs checks one after the other, each in a process of its own that is ended at its time limit.
 *
 * @module
 */
import { join } from "node:path";
import { readRegularText } from "../../src/base/regular_file.ts";
import type { CheckContext, Outcome, SmokeCheck } from "./check.ts";
import { checkProcess } from "./process.ts";

/** A check that was made. */
export interface CheckResult extends Outcome {
  readonly name: string;
  readonly seconds: number;
}

/** Settings of a run of checks. */
export interface RunOptions {
  /** Factor of the time limits. */
  readonly limitFactor: number;
  /** Called when a check has ended. */
  readonly onResult: (result: CheckResult) => void;
  /** Ends the present check; the others are left out. */
  readonly signal: AbortSignal;
  /** Another program for the checks' processes. */
  readonly program?: URL;
}

/** Runs the checks. */
export async function runChecks(
  checks: readonly SmokeCheck[],
  context: CheckContext,
  options: RunOptions,
): Promise<CheckResult[]> {
  const { onResult, signal } = options;
  const results: CheckResult[] = [];
  for (const check of checks) {
    const start = performance.now();
    const outcome = signal.aborted
      ? skipped("the smoke test was interrupted before it")
      : context.device === "cpu" && check.needsGpu
      ? skipped("needs a GPU")
      : await runCheck(check, context, options);
    const seconds = (performance.now() - start) / 1000;
    const result = { name: check.name, ...outcome, seconds };
    results.push(result);
    onResult(result);
  }
  return results;
}

function skipped(figure: string): Outcome {
  return { status: "skip", figure };
}

async function runCheck(
  check: SmokeCheck,
  context: CheckContext,
  { limitFactor, signal, program }: RunOptions,
): Promise<Outcome> {
  const limitSeconds = limitFactor * check.limitSeconds;
  const log = join(context.folder, `${check.name}.log`);
  await Deno.remove(resultPath(context, check)).catch(() => {}); // of an earlier smoke test in this folder
  const child = checkProcess(check, context, "check", {
    log,
    ...(program ? { program } : {}),
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true, // a group of its own: what the check has started ends with it
  }).spawn();
  let ending: string | undefined;
  const end = (why: string) => {
    ending = why;
    killGroup(child.pid);
  };
  const onAbort = () => end("interrupted");
  const timer = setTimeout(
    () => end(`hung: no result within ${limitSeconds} s`),
    limitSeconds * 1000,
  );
  signal.addEventListener("abort", onAbort);
  const { code, signal: killer } = await child.status;
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
  killGroup(child.pid); // whatever it left behind
  if (ending !== undefined) return { status: "fail", figure: ending };
  const result = code === 0 ? await readOutcome(context, check) : undefined;
  if (result) return result;
  const how = killer ? `crashed with ${killer}` : `ended with code ${code}`;
  const line = await lastLine(log);
  return { status: "fail", figure: `${how}${line === "" ? "" : `: ${line}`}` };
}

/** Returns the path of a check's result. */
export function resultPath(
  { folder }: Pick<CheckContext, "folder">,
  { name }: Pick<SmokeCheck, "name">,
): string {
  return join(folder, `${name}.json`);
}

/** Reads the result of a check; undefined when there is none. */
export async function readOutcome(
  context: Pick<CheckContext, "folder">,
  check: Pick<SmokeCheck, "name">,
): Promise<Outcome | undefined> {
  try {
    return JSON.parse(await readRegularText(resultPath(context, check)));
  } catch {
    return undefined; // the check wrote none
  }
}

/** Returns the last line of a log that says something. */
async function lastLine(path: string): Promise<string> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.trimEnd().split("\n").at(-1)!.trim();
}

function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch {
    // All of the group have ended.
  }
}
