/**
 * Looks at other processes. Through a shell: Deno opens `/proc` only to programs that may do everything.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";

async function shell(script: string, ...args: string[]) {
  return await new Deno.Command("sh", { args: ["-c", script, "sh", ...args] }).output();
}

/**
 * Tells whether a process exists, stopped or not. A process that has ended but that its parent has not taken note of (a
 * zombie) does not count: orphans may stay zombies for seconds.
 */
export async function isRunning(pid: number): Promise<boolean> {
  return (await shell('case "$(ps -o stat= -p "$1")" in ""|Z*) exit 1;; esac', String(pid)))
    .success;
}

/** Waits until none of the processes is left, or fails after so many seconds, as they don't end by themselves. */
export const allGone = (pids: readonly number[], seconds = 30): Promise<void> =>
  eventually(async () => {
    for (const pid of pids) {
      if (!await isRunning(pid)) continue;
      assert.fail(`still here after ${seconds} s: ${await commandLineOf(pid)}`);
    }
  }, { seconds });

/** The command line of a process, its arguments separated by NUL. */
export async function commandLineOf(pid: number): Promise<string> {
  return new TextDecoder().decode((await shell('cat "/proc/$1/cmdline"', String(pid))).stdout);
}

/** Those of the processes that are workers. */
export async function workersAmong(pids: readonly number[]): Promise<number[]> {
  const lines = await Promise.all(pids.map(commandLineOf));
  return pids.filter((_, index) => lines[index].includes("train_worker.ts"));
}

/** Pids of the processes that a process started, and theirs. */
export async function descendantsOf(pid: number): Promise<number[]> {
  const { stdout } = await shell('for f in /proc/[0-9]*/stat; do cat "$f" 2>/dev/null; done');
  const parents = new Map<number, number>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const [, child, parent] = /^(\d+) \(.*\) \S (\d+)/.exec(line) ?? [];
    if (child) parents.set(Number(child), Number(parent));
  }
  const found: number[] = [];
  const visit = (ancestor: number) => {
    for (const [child, parent] of parents) {
      if (parent !== ancestor || found.includes(child)) continue;
      found.push(child);
      visit(child);
    }
  };
  visit(pid);
  return found;
}

/** Makes the kernel forget how much memory this process had at its peak. */
export async function resetPeakMemory(): Promise<void> {
  await shell('echo 5 > "/proc/$1/clear_refs"', String(Deno.pid));
}

/** MiB that this process had at its peak since {@linkcode resetPeakMemory}, or since it began. */
export async function peakMemory(): Promise<number> {
  const { stdout } = await shell('grep VmHWM "/proc/$1/status"', String(Deno.pid));
  return Number(/\d+/.exec(new TextDecoder().decode(stdout))?.[0]) / 1024;
}
