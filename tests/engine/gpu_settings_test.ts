import assert from "node:assert/strict";
import { checkGpuSettings } from "../../src/engine/gpu_settings.ts";

Deno.test("checkGpuSettings() refuses single ops on a GPU", () => {
  checkGpuSettings({ capture: true });
  assert.throws(
    () => checkGpuSettings({ capture: false }),
    /^UsageError: engine\.capture is false, .*: set engine\.capture to true, or device to cpu$/,
  );
});
