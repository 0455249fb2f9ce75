import assert from "node:assert/strict";
import { ONLY_RANK } from "../../src/base/rank_info.ts";

Deno.test("ONLY_RANK is rank 0 of a world of one", () => {
  assert.deepEqual(ONLY_RANK, { rank: 0, worldSize: 1 });
});
