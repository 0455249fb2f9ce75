/**
 * Asserts that something doesn't sit out a wait. Tests never hold a time against what it usually takes: a loaded
 * machine may stand still for seconds.
 *
 * @module
 */
import assert from "node:assert/strict";

/**
 * Does the work, and asserts that it took less than half of a wait that it must not sit out.
 *
 * @param waitSeconds How long the work takes when it does wait: a minute and more
 */
export async function withoutWaiting<Result>(
  waitSeconds: number,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  const start = performance.now();
  const result = await work();
  const seconds = (performance.now() - start) / 1000;
  assert.ok(seconds < waitSeconds / 2, `${seconds} s: it sat out a wait of ${waitSeconds} s`);
  return result;
}

/**
 * Plays a race that must be won, though not on a machine that stands still in the midst of it: again, until a round
 * is won.
 *
 * @param round Tells whether it was won; asserts what must hold whoever wins
 */
export async function wonAtLeastOnce(round: () => Promise<boolean>, rounds = 8): Promise<void> {
  for (let number = 0; number < rounds; number++) if (await round()) return;
  assert.fail(`lost ${rounds} times`);
}
