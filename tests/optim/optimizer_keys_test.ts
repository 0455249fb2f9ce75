import assert from "node:assert/strict";
import { betas, eps } from "../../src/optim/optimizer_keys.ts";

Deno.test("betas and eps take what Adam can compute with in float32", () => {
  assert.equal(betas.safeParse([0.9, 0.999]).success, true);
  for (const bad of [[0.9], [0.9, 1], [-0.1, 0.9], [0.9, 0.99999999]]) {
    assert.equal(betas.safeParse(bad).success, false, String(bad));
  }
  assert.equal(eps.safeParse(1e-8).success, true);
  for (const bad of [0, -1, 1e-46]) assert.equal(eps.safeParse(bad).success, false, String(bad));
});
