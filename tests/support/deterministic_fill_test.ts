import assert from "node:assert/strict";
import { join } from "node:path";
import { deterministicFill, hash32, summarize } from "./deterministic_fill.ts";

for (const model of ["resnet18", "efficientnet_lite0"]) {
  Deno.test(`deterministicFill() makes the numbers that ${model}.json was made from`, async () => {
    const path = join(import.meta.dirname!, "..", "fixtures", "models", `${model}.json`);
    const { fillCheck } = JSON.parse(await Deno.readTextFile(path));
    for (const [x, hash] of Object.entries(fillCheck.hashes)) assert.equal(hash32(Number(x)), hash);
    const { sum, norm, projection, values } = summarize(
      deterministicFill(fillCheck.name, fillCheck.shape),
    );
    const near = (actual: number, expected: number) =>
      assert.ok(Math.abs(actual - expected) <= 1e-7, `${actual} and ${expected}`);
    near(sum, fillCheck.sum);
    near(norm, fillCheck.norm);
    near(projection, fillCheck.projection);
    values.forEach((value, k) => near(value, fillCheck.values[k]));
  });
}
