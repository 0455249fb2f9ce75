import assert from "node:assert/strict";
import { checkGpuSettings } from "../../src/engine/gpu_settings.ts";

Deno.test("checkGpuSettings() refuses single ops on a GPU", () => {
  checkGpuSettings({ capture: true, precision: "float32" });
  assert.throws(
    () => checkGpuSettings({ capture: false, precision: "float32" }),
    /^UsageError: engine\.capture is false, .*: set engine\.capture to true, or device to cpu$/,
  );
  assert.throws(
    () => checkGpuSettings({ capture: true, precision: "bf16" }),
    /^UsageError: engine\.precision is bf16, but TensorFlow sees a GPU/,
  );
});
