import assert from "node:assert/strict";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("deterministic_program.ts", import.meta.url).pathname;

async function steps(...args: string[]) {
  const { code, stdout, stderr } = await runDeno(["run", "-A", "--no-check", PROGRAM, ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as { losses: number[]; digest: string; composed: boolean };
}

/** Asserts that losses are the same but for rounding. */
function requireClose(losses: readonly number[], usual: readonly number[]) {
  losses.forEach((loss, step) => {
    const other = usual[step]!;
    assert.ok(Math.abs(loss - other) < 1e-3 * loss, `step ${step}: ${loss}, ${other}`);
  });
}

Deno.test("two processes with engine.deterministic learn the same bits", async () => {
  const [first, second, usual] = await Promise.all([
    steps("deterministic"),
    steps("deterministic"),
    steps("usual"),
  ]);
  assert.deepEqual(first, second);
  assert.deepEqual([first.composed, usual.composed], [true, false]);
  // After a second update, this network's loss depends on how a CPU rounds: even other threads move it by percents.
  requireClose(first.losses.slice(0, 2), usual.losses);
});

Deno.test("engine.deterministic changes what is learned by no more than rounding", async () => {
  const [first, usual] = await Promise.all([
    steps("deterministic", "plain_cnn"),
    steps("usual", "plain_cnn"),
  ]);
  assert.equal(first.losses.length, 3);
  requireClose(first.losses, usual.losses);
});
