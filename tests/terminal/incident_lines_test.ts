import assert from "node:assert/strict";
import { lossLine, recoveryLine } from "../../src/terminal/incident_lines.ts";

const lost = (rank: number, reason = `Rank ${rank} was ended by SIGKILL`) => ({ rank, reason });

Deno.test("lossLine() gives the reasons of the first workers, and the numbers of the others", () => {
  const ranks = Array.from({ length: 20 }, (_, rank) => lost(rank));
  const lines: [ReturnType<typeof lost>[], string][] = [
    [[lost(1)], "Lost a worker: Rank 1 was ended by SIGKILL"],
    [
      [lost(0), lost(3)],
      "Lost 2 workers: Rank 0 was ended by SIGKILL; Rank 3 was ended by SIGKILL",
    ],
    [
      ranks.slice(0, 4),
      "Lost 4 workers: Rank 0 was ended by SIGKILL; Rank 1 was ended by SIGKILL; " +
      "Rank 2 was ended by SIGKILL; rank 3 as well",
    ],
    [
      [lost(0, "Rank 0 exited; its last lines:\n  | no memory"), lost(1)],
      "Lost 2 workers: Rank 0 exited; its last lines:\n  | no memory\nRank 1 was ended by SIGKILL",
    ],
  ];
  for (const [workers, expected] of lines) assert.equal(lossLine(workers), expected);
  assert.match(lossLine(ranks), /; ranks 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 7 more as well$/);
});

Deno.test("recoveryLine() says who was replaced or left out, from where the run goes on, and the cost", () => {
  const recovery = {
    epoch: 2,
    step: 4,
    ranks: [1],
    reasons: ["ended"],
    workers: 3,
    restarts: 1,
    seconds: 1.25,
  };
  const lines: [Partial<Parameters<typeof recoveryLine>[0]>, string][] = [
    [{}, "Recovered in 1.3 s: rank 1 was started again; the run goes on from epoch 2, step 4"],
    [
      { ranks: [0, 2], restarts: 3, seconds: 75 },
      "Recovered in 1 min 15 s: ranks 0, 2 were started again, 3 restarts within an hour; the run goes on from " +
      "epoch 2, step 4",
    ],
    [
      { policy: "shrink" },
      "Recovered in 1.3 s: the run goes on without rank 1, with 3 workers, from epoch 2, step 4",
    ],
    [
      { policy: "shrink", ranks: [0, 1, 2], workers: 1 },
      "Recovered in 1.3 s: the run goes on without ranks 0, 1, 2, with 1 worker, from epoch 2, step 4",
    ],
    [
      { policy: "checkpoint" },
      "Recovered in 1.3 s: all workers were lost and started again; the run goes back to its last checkpoint: " +
      "epoch 2, step 4",
    ],
    [
      { policy: "checkpoint", epoch: 1, step: 0 },
      "Recovered in 1.3 s: all workers were lost and started again; the run goes back to its start, before its first " +
      "checkpoint: epoch 1, step 0",
    ],
    [
      { ranks: [], reasons: ["NCCL stands still"] },
      "Recovered in 1.3 s from a failed exchange (NCCL stands still): the run goes on from epoch 2, step 4",
    ],
  ];
  for (const [changes, expected] of lines) {
    assert.equal(recoveryLine({ policy: "restart", ...recovery, ...changes }), expected);
  }
});
