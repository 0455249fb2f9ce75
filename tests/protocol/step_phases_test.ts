import assert from "node:assert/strict";
import { STEP_PHASES } from "../../src/protocol/step_phases.ts";

Deno.test("STEP_PHASES keep their numbers, which stand in shared memory", () => {
  assert.deepEqual([...STEP_PHASES], [
    "none",
    "waiting for its batch",
    "computing",
    "waiting for the other ranks",
    "updating its parameters",
    "summing gradients",
    "waiting for the coordinator",
  ]);
});
