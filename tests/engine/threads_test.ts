import assert from "node:assert/strict";
import { soleProcessThreads, workerThreads } from "../../src/engine/threads.ts";
import { availableParallelism } from "node:os";

Deno.test("threads are the host's cores, divided by its workers, at least one", () => {
  const cores = availableParallelism();
  assert.deepEqual(soleProcessThreads(), { intraOp: cores, interOp: 1 });
  assert.equal(workerThreads(undefined, 1), cores);
  assert.equal(workerThreads(undefined, 10_000), 1);
  assert.equal(workerThreads(3, 10_000), 3);
});
