import assert from "node:assert/strict";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("deterministic_program.ts", import.meta.url).pathname;

async function steps(mode: string) {
  const { code, stdout, stderr } = await runDeno(["run", "-A", "--no-check", PROGRAM, mode]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as { losses: number[]; digest: string; composed: boolean };
}

Deno.test("two processes with engine.deterministic learn the same bits", async () => {
  const [first, second, usual] = await Promise.all([
    steps("deterministic"),
    steps("deterministic"),
    steps("usual"),
  ]);
  assert.deepEqual(first, second);
  assert.deepEqual([first.composed, usual.composed], [true, false]);
  first.losses.forEach((loss, step) => {
    assert.ok(Math.abs(loss - usual.losses[step]!) < 1e-3 * loss, `step ${step}: ${loss}`);
  });
});
