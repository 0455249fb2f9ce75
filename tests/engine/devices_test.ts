import assert from "node:assert/strict";
import { DEVICES } from "../../src/engine/devices.ts";

Deno.test("DEVICES begin with the default", () => {
  assert.deepEqual([...DEVICES], ["auto", "cpu", "gpu"]);
});
