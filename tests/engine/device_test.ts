import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";

Deno.test("openEngine() opens what is asked for, and refuses another device later", async () => {
  const { hasGpu } = await openEngine({ device: "cpu" });
  assert.equal(hasGpu, false);
  await openEngine({ device: "auto" });
  await assert.rejects(
    openEngine({ device: "gpu" }),
    /^UsageError: device is gpu, but this process has opened TensorFlow without a GPU before: start another process/,
  );
});
