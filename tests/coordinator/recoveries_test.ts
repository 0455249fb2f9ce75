import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { keepSecret } from "../../src/base/secrets.ts";
import { Recoveries } from "../../src/coordinator/recoveries.ts";
import type { RunEvent } from "../../src/events/run_events.ts";
import type { History } from "../../src/records/history.ts";

const worker = (rank: number, reason: string) => ({ rank, pid: 70 + rank, host: "here", reason });
const RECOVERED = { policy: "restart", workers: 2, restarts: 1, seconds: 1.5 } as const;

/** A run at a place, whose events are kept. */
function startRun(epoch: number, stepsDone: number) {
  const heard: RunEvent[] = [];
  const history: Pick<History, "recoveries" | "workers"> = { workers: 2 };
  const events = { emit: (event: RunEvent) => void heard.push(event) };
  return { events, history, position: { epoch, stepsDone }, heard };
}

Deno.test("Recoveries records each loss with its place, and each recovery with the reasons, without secrets", () => {
  keepSecret("hunter2-of-the-server");
  const recoveries = new Recoveries({ onWorkerLost: "restart", maxRestarts: 3 });
  const run = startRun(2, 4);
  const { onLost, onRecovered } = recoveries.optionsFor(run);
  const during = { generation: 0, during: "training", place: { epoch: 2, step: 6 } } as const;
  onLost({ ...during, workers: [worker(1, "no hunter2-of-the-server")] });
  onLost({ ...during, workers: [worker(0, "killed")] });
  onRecovered({ ...RECOVERED, generation: 1, steps: 5, ranks: [0, 1] });
  onRecovered({
    ...RECOVERED,
    generation: 2,
    steps: undefined,
    ranks: [],
    exchangeFailure: "NCCL",
  });
  onLost({ ...during, during: "validation", workers: [worker(1, "gone")] });
  const places = run.heard.map((event) =>
    event.type === "workersLost" || event.type === "recovery" ? [event.type, event.step] : []
  );
  assert.deepEqual(places, [
    ...[["workersLost", 6], ["workersLost", 6], ["recovery", 5]],
    ["recovery", 4],
    ["workersLost", 4],
  ]);
  const [first, second] = run.history.recoveries!;
  const { time, ...facts } = first;
  assert.ok(Date.parse(time) > 0);
  assert.deepEqual(facts, {
    ...{ epoch: 2, step: 5, policy: "restart", ranks: [0, 1], workers: 2, seconds: 1.5 },
    reasons: ["killed", "no ***"],
  });
  assert.deepEqual([second.ranks, second.reasons], [[], ["NCCL"]]);
});

Deno.test("Recoveries records a return to a checkpoint from the first loss until the run goes on, in a new history too", async () => {
  const recoveries = new Recoveries({ onWorkerLost: "restart", maxRestarts: 3 });
  const before = startRun(1, 2);
  const first = recoveries.optionsFor(before);
  const during = { generation: 0, during: "training", place: undefined } as const;
  first.onLost({ ...during, workers: [worker(1, "killed")] });
  first.onRecovered({ ...RECOVERED, generation: 1, steps: 2, ranks: [1] });
  first.onLost({ ...during, workers: [worker(0, "a"), worker(1, "b")] });
  assert.equal(recoveries.areAllLost, false);
  recoveries.allLost();
  assert.equal(recoveries.areAllLost, true);
  await delay(50);
  // They are lost again before the run goes on, and one of the next ones is replaced.
  const after = startRun(1, 0);
  const second = recoveries.optionsFor(after);
  second.onLost({ ...during, workers: [worker(1, "c")] });
  recoveries.allLost();
  second.onLost({ ...during, workers: [worker(0, "d")] });
  second.onRecovered({ ...RECOVERED, generation: 1, steps: undefined, ranks: [0] });
  recoveries.cameBack(after, 2);
  recoveries.cameBack(after, 2);
  assert.equal(recoveries.areAllLost, false);
  assert.deepEqual(
    after.history.recoveries!.map(({ policy, ranks, reasons }) => [policy, ranks, reasons]),
    [
      ["restart", [1], ["killed"]],
      ["restart", [0], ["d"]],
      ["checkpoint", [0, 1], ["a", "c"]],
    ],
    "those of before the start as well",
  );
  assert.ok(after.history.recoveries![2].seconds >= 0.05);
});
