import assert from "node:assert/strict";
import { LockstepError, SystemError, UsageError } from "../../src/base/errors.ts";
import { DataError } from "../../src/data/codecs/data_error.ts";
import { EngineError } from "../../src/engine/binding/status.ts";
import { closedError } from "../../src/exchange/silence.ts";
import { blameOf } from "../../src/worker/blame.ts";

Deno.test("blameOf() tells what another process would do as well from what it may do better", () => {
  assert.equal(blameOf(closedError()), "exchange");
  const input = [
    new UsageError("train.lr is -1"),
    new DataError("x.jpg", "it is no image"),
    new LockstepError("Worker 1 found other images than the coordinator"),
  ];
  for (const error of input) assert.equal(blameOf(error), "input", error.message);
  const process = [
    new TypeError("undefined is not a function"),
    new LockstepError("The data module failed", { cause: new Error("out of cheese") }),
    new SystemError("The disk is full", "ENOSPC", { reason: "the disk is full" }),
    new EngineError("INTERNAL", "MatMul", "MatMul failed: the GPU has fallen off the bus"),
    "a thrown text",
    undefined,
  ];
  for (const error of process) assert.equal(blameOf(error), "process", String(error));
});
