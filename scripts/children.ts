/**
 * Programs that a script runs, and takes along when it is asked to stop.
 *
 * A signal that reaches the script goes on to them. When they have ended, the script has a second to clean up, starts
 * nothing more, and ends with the signal's exit code.
 *
 * @module
 */
import { exitCodeOf, type StopSignal } from "../src/base/errors.ts";
import { exitCleanly, takeStopRequests } from "../src/base/signals.ts";

const CLEAN_UP_MS = 1000;

const children = new Set<Deno.ChildProcess>();
let isListening = false;
let stopped: StopSignal | undefined;

/** Starts a program. */
export function startChild(program: string, options: Deno.CommandOptions): Deno.ChildProcess {
  if (stopped) exitCleanly(exitCodeOf(stopped));
  if (!isListening) takeStopRequests(stop);
  isListening = true;
  const child = new Deno.Command(program, options).spawn();
  children.add(child);
  child.status.then(() => {
    children.delete(child);
    endIfStopped();
  });
  return child;
}

/** Runs a program to its end, and returns its output. */
export async function outputOf(
  program: string,
  options: Deno.CommandOptions,
): Promise<Deno.CommandOutput> {
  return await startChild(program, { stdout: "piped", stderr: "piped", ...options }).output();
}

/** Runs a program to its end with its output shown unless `options` say otherwise; returns whether it succeeded. */
export async function succeeds(program: string, options: Deno.CommandOptions): Promise<boolean> {
  return (await startChild(program, options).status).success;
}

/** The exit code of a script that would end with `code`: a signal's, where it was asked to stop. */
export function exitCode(code: number): number {
  return stopped ? exitCodeOf(stopped) : code;
}

function stop(signal: StopSignal): void {
  stopped = signal;
  for (const child of children) {
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  }
  endIfStopped();
}

function endIfStopped(): void {
  if (!stopped || children.size > 0) return;
  const code = exitCodeOf(stopped);
  setTimeout(() => exitCleanly(code), CLEAN_UP_MS);
}
