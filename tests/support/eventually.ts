/**
 * Waiting for what a page, a process or a server shows a little later.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import { delay } from "../../src/base/async.ts";

/**
 * Runs `check` until its assertions hold; any other error ends the wait at once.
 *
 * @throws {AssertionError} the last one, when they don't hold within `seconds`
 */
export async function eventually(
  check: () => void | Promise<void>,
  { seconds = 120 }: { seconds?: number } = {},
): Promise<void> {
  const deadline = performance.now() + 1000 * seconds;
  while (true) {
    try {
      return await check();
    } catch (error) {
      if (!(error instanceof AssertionError) || performance.now() > deadline) throw error;
    }
    await delay(25);
  }
}
