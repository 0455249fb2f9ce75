import assert from "node:assert/strict";
import { parseWorkerSettings } from "../../src/protocol/worker_settings.ts";

const SETTINGS = {
  runId: "r",
  key: "k",
  nats: { url: "nats://127.0.0.1:4222" },
  index: 0,
  threads: 2,
  device: { kind: "cpu" },
  lostAfter: 10,
  reconnectTimeout: 30,
  segments: [],
};

Deno.test("parseWorkerSettings() reads the coordinator's line, and nothing else", () => {
  assert.deepEqual(parseWorkerSettings(JSON.stringify(SETTINGS)), SETTINGS);
  for (
    const bad of [
      "",
      "{}",
      "not json",
      JSON.stringify({ ...SETTINGS, more: 1 }),
      JSON.stringify({ ...SETTINGS, threads: 0 }),
      JSON.stringify({ ...SETTINGS, device: { kind: "gpu" } }),
    ]
  ) {
    assert.throws(() => parseWorkerSettings(bad), /^TypeError: Not a worker's settings: /, bad);
  }
});
