import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import {
  COORDINATOR_TIMEOUT_MS,
  noAnswer,
  noAnswerFrom,
  noArrival,
  RANK_TIMEOUT_MS,
} from "../../src/exchange/silence.ts";

Deno.test("silence is told with ranks, step and what they did last; a rank waits longer than the coordinator", () => {
  const key = { epoch: 2, step: 7 };
  const describe = (rank: number) => rank === 3 ? "Rank 3 was computing" : undefined;
  const error = noAnswerFrom([1, 3], "gradients", key, 180, describe);
  assert.ok(error instanceof LockstepError);
  assert.equal(
    error.message,
    "No gradients from rank 1, 3 for 180 s in epoch 2, step 7; Rank 3 was computing",
  );
  assert.equal(
    noAnswer(1, key, 210).message,
    "Rank 1 got no answer from the coordinator for 210 s in epoch 2, step 7",
  );
  assert.equal(
    noArrival(1, [0, 2], key, 210).message,
    "Rank 1 waited 210 s for rank 0, 2 in epoch 2, step 7",
  );
  assert.equal(
    noArrival(1, [0, 1, 2], key, 210).message,
    "Rank 1 waited 210 s for the coordinator in epoch 2, step 7",
  );
  assert.ok(RANK_TIMEOUT_MS > COORDINATOR_TIMEOUT_MS);
});
