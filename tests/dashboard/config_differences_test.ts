import assert from "node:assert/strict";
import { configDifferences } from "../../src/dashboard/config_differences.ts";

Deno.test("configDifferences() lists the settings that differ, by dotted key, without those that don't matter", () => {
  const a = {
    out: "runs",
    train: { lr: 0.1, epochs: 3 },
    data: { val: [{ Resize: 8 }] },
    nats: { port: 1 },
  };
  const b = {
    out: "other",
    train: { lr: 0.2, epochs: 3, ema: null },
    data: { val: [] },
    nats: { port: 2 },
  };
  assert.deepEqual(configDifferences([a, b]), [
    { key: "data.val", values: ['[{"Resize":8}]', "[]"] },
    { key: "train.ema", values: ["–", "null"] },
    { key: "train.lr", values: ["0.1", "0.2"] },
  ]);
  assert.deepEqual(configDifferences([a, a]), []);
});
