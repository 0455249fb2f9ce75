import assert from "node:assert/strict";
import type { NatsConnection } from "nats";
import { FRAME_HEADER_BYTES } from "../../src/protocol/codec.ts";
import { Link } from "../../src/protocol/link.ts";
import type { Fields, Kind } from "../../src/protocol/messages.ts";
import {
  contribution,
  floatsOf,
  oneStep,
  openBench,
  reference,
} from "../support/exchange_bench.ts";
import { startRig } from "../support/nats_server.ts";

const transfer = { id: "a", owner: "rank-0", bytes: 12, chunkBytes: 4 };
const position = { epoch: 1, step: 2 };
const totals = {
  samples: 8,
  weight: 12.5,
  lossSum: 3.25,
  correct: 4,
  statisticsRows: 3,
  trackedBatches: 1,
};

/** A message of each kind, as a run sends it. */
const FIELDS: { readonly [K in Kind]: Fields<K> } = {
  join: {
    instance: crypto.randomUUID(),
    index: 1,
    pid: 77,
    host: "machine",
    segmentProblem: "ENOENT",
  },
  refusal: { reason: "The run has started" },
  welcome: {
    rank: 1,
    worldSize: 2,
    job: { lr: 0.125 },
    jobBytes: 0,
    segment: null,
    cache: null,
    payload: transfer,
  },
  heartbeat: {
    ...position,
    activity: "training",
    phase: "computing",
    sample: 37,
    residentBytes: 123_456,
  },
  contribution: {
    rank: 1,
    ...position,
    ...totals,
    times: { data: 1, forwardBackward: 2, exchange: 3, update: 4 },
    bytes: 400,
    chunkBytes: 100,
    dtype: "float32",
    narrowBytes: 0,
  },
  gradient: { rank: 1, ...position, chunk: 3, tooLarge: false },
  reduced: { ...position, chunk: 3 },
  result: { ...position, ...totals, action: "continue", finite: true },
  values: { rank: 1, round: 5 },
  sum: { round: 5 },
  missing: { rank: 1, ...position, chunks: [1, 2], totals: true },
  command: { id: 3, name: "train", args: { lr: 0.1 }, payload: transfer },
  reply: { id: 3, rank: 1, error: null, result: { loss: 1.5 }, resultBytes: 0, payload: transfer },
  pull: { id: "a", chunk: 1, to: "rank-1" },
  piece: { id: "a", owner: "rank-0", chunk: 1 },
};

/** A link without a server: what it publishes is kept, and what it gets is given. */
function wire() {
  const sent: Uint8Array[] = [];
  let deliver: (data: Uint8Array) => void = () => {};
  const connection = {
    isClosed: () => false,
    async *status() {},
    publish: (_subject: string, frame: Uint8Array) => void sent.push(frame.slice()),
    subscribe: (
      subject: string,
      { callback }: { callback: (error: null, message: object) => void },
    ) => {
      deliver = (data) => callback(null, { subject, data });
    },
  } as unknown as NatsConnection;
  const link = new Link(connection, { runId: "r", token: "secret" }, "rank 1");
  return { link, sent, deliver: (data: Uint8Array) => deliver(data) };
}

for (const kind of Object.keys(FIELDS) as Kind[]) {
  Deno.test(`every altered byte of a ${kind} message is noticed`, () => {
    const { link, sent, deliver } = wire();
    const fields = FIELDS[kind] as never; // those of one kind, which isn't known here
    let arrived = 0;
    const senders: string[] = [];
    link.subscribe("s", { [kind]: () => arrived++ } as never, {
      onCorrupt: (header: { from: string }) => senders.push(header.from),
    });
    link.publish("s", kind, fields, Uint8Array.of(1, 2, 3, 4, 5));
    const inPlace = new Uint8Array(FRAME_HEADER_BYTES + 8).fill(7);
    if (kind !== "welcome" && kind !== "command") {
      link.publishInPlace("s", kind, fields, inPlace);
    }
    for (const frame of sent) {
      arrived = 0;
      deliver(frame);
      assert.equal(arrived, 1);
      let altered = 0;
      for (let at = 0; at < frame.length; at++) {
        for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 0xff]) {
          frame[at] ^= mask;
          deliver(frame);
          frame[at] ^= mask;
          altered++;
        }
      }
      for (const cut of [0, 3, 4, 5, frame.length - 1]) deliver(frame.subarray(0, cut));
      altered += 5;
      assert.equal(arrived, 1);
      const { token, version, malformed, corrupt } = link.refused;
      assert.equal(malformed + corrupt, altered);
      assert.deepEqual([token, version], [0, 0]); // not blamed on strangers or other versions
      Object.assign(link.refused, { malformed: 0, corrupt: 0 });
      deliver(frame);
      assert.equal(arrived, 2);
    }
    assert.deepEqual([...new Set(senders)], ["rank 1"]); // of the damaged payloads
  });
}

Deno.test("a digit altered on the way in control messages changes no sum", async () => {
  await using rig = await startRig();
  const altered: string[] = [];
  const publishFrame = Link.prototype.publishFrame;
  // The first message of each kind with totals arrives with another digit in it.
  Link.prototype.publishFrame = function (subject, frame) {
    const head = new TextDecoder().decode(frame.subarray(0, 800));
    const [, name] = /"kind":"(contribution|result)"/.exec(head) ?? [];
    const found = name && !altered.includes(name) ? /"weight":(?=\d)/.exec(head) : undefined;
    if (!found) return publishFrame.call(this, subject, frame);
    altered.push(name!);
    const copy = frame.slice();
    copy[found.index + found[0].length] ^= 1;
    publishFrame.call(this, subject, copy);
  };
  try {
    await using bench = await openBench(rig, "nats", { worldSize: 2 });
    const own = [0, 1].map((rank) => contribution(rank, 0, 4));
    const [, ...results] = await oneStep(bench, own);
    for (const { vector, weight } of results) {
      assert.deepEqual(floatsOf(vector), reference(own));
      assert.equal(weight, 8);
    }
    assert.deepEqual(altered.toSorted(), ["contribution", "result"]);
  } finally {
    Link.prototype.publishFrame = publishFrame;
  }
});
