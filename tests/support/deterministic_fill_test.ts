import assert from "node:assert/strict";
import { deterministicFill, hash32 } from "./deterministic_fill.ts";
import { summarize, summaryError, type TensorSummary } from "./tensor_summary.ts";

interface FillCheck {
  name: string;
  shape: number[];
  summary: TensorSummary;
  hashes: Record<string, number>;
}

Deno.test("deterministicFill() makes the numbers that the parity fixtures were made from", async () => {
  const url = new URL("../fixtures/parity/plain_cnn.json", import.meta.url);
  const { fillCheck } = JSON.parse(await Deno.readTextFile(url)) as { fillCheck: FillCheck };
  for (const [x, hash] of Object.entries(fillCheck.hashes)) assert.equal(hash32(Number(x)), hash);
  const filled = deterministicFill(fillCheck.name, fillCheck.shape);
  assert.ok(summaryError(summarize(filled), fillCheck.summary, filled.length) < 1e-5);
  const moved = filled.slice(1).reverse();
  assert.ok(summaryError(summarize(moved), fillCheck.summary, filled.length) > 0.1, "notices");
});
