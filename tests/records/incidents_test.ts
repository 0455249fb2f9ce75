import assert from "node:assert/strict";
import { costOf, Incidents, incidentsOfRecords, workerTexts } from "../../src/records/incidents.ts";
import { MADE_LOSSES, madeRecovery } from "../support/made_run.ts";

/** The incidents of events, one second after the other. */
function incidentsOf(events: readonly (readonly [type: string, fields?: object])[]) {
  const incidents = new Incidents();
  events.forEach(([type, fields], second) => {
    incidents.take({ time: new Date(1000 * second).toISOString(), type, ...fields });
  });
  return incidents.all;
}

Deno.test("Incidents puts losses and recoveries together, and a loss during a recovery to the one before", () => {
  const incidents = incidentsOf([["started"], ...MADE_LOSSES, ["warning"], ["finished"]]);
  assert.deepEqual(
    incidents.map(({ time, epoch, step, during, workers, recovery }) => [
      ...[time.slice(17, 19), epoch, step, during, workers.map(({ rank }) => rank)],
      ...[recovery?.policy, recovery?.workers, recovery?.seconds],
    ]),
    [
      ["01", 1, 6, "training", [1], "restart", 3, 1.25],
      ["03", 2, 10, "validation", [0, 2], "shrink", 1, 6.5],
    ],
  );
  assert.deepEqual(costOf(incidents), { recoveries: 2, seconds: 7.75 });
});

Deno.test("Incidents leaves a loss without a recovery at the end of its session, and passes over what is malformed", () => {
  const [lost, recovery] = MADE_LOSSES;
  const incidents = incidentsOf([
    ["workersLost", { epoch: 1, workers: "all" }],
    lost,
    ["failed"],
    ["resumed"],
    lost,
    ["recovery", { seconds: "long" }],
    recovery,
    recovery,
  ]);
  assert.deepEqual(incidents.map(({ recovery }) => recovery?.seconds), [undefined, 1.25, 1.25]);
  assert.deepEqual(incidents[2].workers, [
    { rank: 1, reason: "Rank 1 (pid 2001) was ended by SIGKILL" },
  ]);
  assert.deepEqual(costOf(incidents), { recoveries: 2, seconds: 2.5 });
});

Deno.test("Incidents puts the return to a checkpoint to the loss of all workers before it, and no other session's", () => {
  const [lost] = MADE_LOSSES;
  const back = (policy: string) =>
    ["recovery", { policy, epoch: 1, step: 0, ranks: [1], workers: 2, seconds: 4 }] as const;
  const seen = (policy: string) =>
    incidentsOf([lost, ["resumed"], ["joined"], back(policy)])
      .map(({ time, recovery }) => [time.slice(17, 19), recovery?.policy]);
  assert.deepEqual(seen("checkpoint"), [["00", "checkpoint"]]);
  assert.deepEqual(seen("restart"), [["00", undefined], ["03", "restart"]]);
  const [exchange] = incidentsOf([
    ["recovery", {
      ...{ policy: "restart", epoch: 1, step: 2, ranks: [], workers: 2, seconds: 1 },
      reasons: ["NCCL stands still"],
    }],
  ]);
  assert.deepEqual(
    [exchange.workers, exchange.exchangeFailure, exchange.recovery?.seconds],
    [[], "NCCL stands still", 1],
  );
});

Deno.test("incidentsOfRecords() gives the recoveries of a history as incidents", () => {
  const { reasons, ranks, time, ...recovery } = madeRecovery(2);
  assert.deepEqual(incidentsOfRecords([madeRecovery(2)]), [{
    time,
    epoch: 2,
    step: 3,
    workers: [{ rank: ranks[0], reason: reasons[0] }],
    recovery,
  }]);
});

Deno.test("workerTexts() doesn't repeat what the reason says", () => {
  const worker = { rank: 1, pid: 77, host: "here", device: "GPU 0" };
  assert.deepEqual(workerTexts({ ...worker, reason: "Rank 1 (pid 77) on GPU 0 ended" }), {
    sentence: "Rank 1 (pid 77) on GPU 0 ended",
    place: "on here",
  });
  assert.deepEqual(workerTexts({ ...worker, reason: "out of memory" }), {
    sentence: "Rank 1: out of memory",
    place: "pid 77, on here, GPU 0",
  });
});
