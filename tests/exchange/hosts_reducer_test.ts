import assert from "node:assert/strict";
import type { HostMeetingListener, StepAction } from "../../src/exchange/host_meeting.ts";
import { HostsReducer } from "../../src/exchange/hosts_reducer.ts";
import { RECORD_LENGTH, StepRecord } from "../../src/exchange/step_record.ts";

const FLOATS = 5;

/** A host whose ranks do what the test says. */
function fakeHost(ranks: number) {
  const granted: StepAction[] = [];
  let listener: HostMeetingListener | undefined;
  let isClosed = false;
  const open = (own: HostMeetingListener) => {
    listener = own;
    return {
      grant: (action: StepAction) => void granted.push(action),
      close: () => void (isClosed = true),
    };
  };
  const summed = (index: number, { finite = true, floats = FLOATS, step = index } = {}) => {
    const records = new Float64Array(ranks * RECORD_LENGTH);
    for (let rank = 0; rank < ranks; rank++) {
      const own = new StepRecord(
        records.subarray(rank * RECORD_LENGTH, (rank + 1) * RECORD_LENGTH),
      );
      own.contribute({ epoch: 1, step, samples: 2, weight: 2, lossSum: 0.5, correct: 1 });
      own.share({ finite, worstRank: finite ? undefined : rank, squares: 0 });
    }
    listener!.onSummed(index, { floats: new Array(ranks).fill(floats), records });
  };
  return {
    ...{ ranks, open, granted, summed },
    contributed: (index: number) => listener!.onContributed(index),
    failed: (error: Error) => listener!.onFailed(error),
    isClosed: () => isClosed,
  };
}

function reducerOf(hosts: ReturnType<typeof fakeHost>[], timeoutMs = 5_000) {
  const worldSize = hosts.reduce((sum, { ranks }) => sum + ranks, 0);
  return HostsReducer.open({ worldSize, vectorBytes: 4 * FLOATS, timeoutMs }, hosts);
}

const key = (step: number) => ({ epoch: 1, step });

Deno.test("HostsReducer grants a step on all hosts when the ranks of all have contributed, and adds up all records", async () => {
  const [a, b] = [fakeHost(2), fakeHost(1)];
  const reducer = await reducerOf([a, b]);
  const decided: number[] = [];
  const decide = ({ step }: { step: number }) => {
    decided.push(step);
    return step === 1 ? "stop" as const : "continue" as const;
  };
  const first = reducer.reduce(key(0), decide);
  a.contributed(0);
  await Promise.resolve();
  assert.deepEqual([decided, a.granted], [[], []]);
  b.contributed(0);
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([a.granted, b.granted], [["continue"], ["continue"]]);
  b.summed(0);
  a.summed(0);
  const totals = await first;
  assert.equal(totals.samples, 6);
  assert.equal(totals.ranks.length, 3);
  assert.equal(totals.action, "continue");
  assert.equal(reducer.settled(key(1)), undefined);

  const second = reducer.reduce(key(1), decide);
  for (const host of [a, b]) host.contributed(1);
  await new Promise((resolve) => setTimeout(resolve));
  a.summed(1);
  b.summed(1, { finite: false });
  const { finite, worstRank, action } = await second;
  assert.deepEqual({ finite, worstRank, action }, { finite: false, worstRank: 0, action: "stop" });
  await reducer.close();
  assert.ok(a.isClosed() && b.isClosed());
});

Deno.test("HostsReducer ends a step whose host fails, keeps silent, has another model or is elsewhere", async () => {
  const begin = async (timeoutMs?: number) => {
    const [a, b] = [fakeHost(1), fakeHost(2)];
    const reducer = await reducerOf([a, b], timeoutMs);
    const step = reducer.reduce(key(0), () => "continue");
    step.catch(() => {});
    a.contributed(0);
    await Promise.resolve();
    return { a, b, step, reducer };
  };
  const failing = await begin();
  failing.b.failed(new Error("Host 1 (lab2) is lost"));
  await assert.rejects(failing.step, /Host 1 \(lab2\) is lost/);
  const silent = await begin(50);
  await assert.rejects(silent.step, /rank 1, 2/i);
  const other = await begin();
  other.b.contributed(0);
  await new Promise((resolve) => setTimeout(resolve));
  other.a.summed(0);
  other.b.summed(0, { floats: 6 });
  await assert.rejects(other.step, /Rank 1 exchanges 24 bytes, the coordinator 20/);
  const elsewhere = await begin();
  elsewhere.b.contributed(0);
  await new Promise((resolve) => setTimeout(resolve));
  elsewhere.a.summed(0);
  elsewhere.b.summed(0, { step: 4 });
  await assert.rejects(elsewhere.step, /Rank 1 is in epoch 1, step 4/);
  const stop = new AbortController();
  const stopped = (await reducerOf([fakeHost(1)])).reduce(key(0), () => "continue", {
    signal: stop.signal,
  });
  stop.abort(new Error("stopped"));
  await assert.rejects(stopped, /stopped/);
});
