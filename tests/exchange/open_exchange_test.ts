import assert from "node:assert/strict";
import {
  agreeOnSegment,
  exchangeOf,
  makeSegment,
  openExchange,
  openReducer,
} from "../../src/exchange/open_exchange.ts";
import { contribution, floatsOf, takeStep } from "../support/exchange_bench.ts";
import { LocalBus } from "../support/local_link.ts";

const SHAPE = { worldSize: 1, vectorBytes: 4 * 1000, regions: 1 };

Deno.test("openExchange() and openReducer() take the exchange of the segment, and work together", async () => {
  const bus = new LocalBus();
  using segment = makeSegment("shared-memory", SHAPE, assert.fail)!;
  for (const place of [undefined, segment]) {
    const reducer = await openReducer(bus.link(), SHAPE, place);
    const rank = await openExchange(bus.link(), { ...SHAPE, rank: 0 }, place);
    assert.equal(rank.buffers.peers !== undefined, exchangeOf(place) === "shared-memory");
    const own = contribution(0, 0, 4, 1000);
    const [result] = await Promise.all([
      takeStep(rank, own),
      reducer.reduce({ epoch: 1, step: 0 }, () => "continue"),
    ]);
    assert.deepEqual(floatsOf(result.vector), floatsOf(own.vector));
    await rank.exchange.close();
    await reducer.close();
  }
});

Deno.test("makeSegment() makes none for nats, and one for auto where memory can be shared", () => {
  assert.equal(makeSegment("nats", SHAPE, assert.fail), undefined);
  using segment = makeSegment("auto", SHAPE, assert.fail)!;
  assert.ok(segment.bytes >= 2 * SHAPE.vectorBytes);
  assert.equal(exchangeOf(segment), "shared-memory");
  assert.equal(exchangeOf(undefined), "nats");
});

Deno.test("agreeOnSegment() falls back with a reason under auto, and refuses under shared-memory", () => {
  const notices: string[] = [];
  const note = (reason: string) => void notices.push(reason);
  assert.equal(agreeOnSegment("auto", [null, null], note), true);
  assert.deepEqual(notices, []);
  assert.equal(agreeOnSegment("auto", [null, "no access"], note), false);
  assert.deepEqual(notices, [
    "Rank 1 can't use the run's shared memory (no access): gradients go over NATS",
  ]);
  assert.throws(() => agreeOnSegment("shared-memory", ["no access"], note), {
    name: "LockstepError",
    message:
      /^Rank 0 can't use the run's shared memory \(no access\): set exchange to auto or nats/,
  });
});
