import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import type { NatsConnection } from "nats";
import { delay } from "../../src/base/async.ts";
import type { NatsAddress } from "../../src/protocol/address.ts";
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

const hostEnd = { way: "sums", host: 1, rank: 0 } as const;

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
  hostJoin: {
    instance: crypto.randomUUID(),
    facts: { hostname: "lab2", pid: 77, index: null },
  },
  hostWelcome: { instance: crypto.randomUUID(), settings: { index: 1 } },
  hostPacket: {
    session: crypto.randomUUID(),
    packet: 3,
    acknowledged: 2,
    body: { notice: "grant", args: { meeting: 1, action: "continue" } },
  },
  welcome: {
    rank: 1,
    worldSize: 2,
    generation: 1,
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
  skippedSamples: {
    rank: 1,
    ...position,
    part: 0,
    samples: [{ index: 4, path: "a.jpg", reason: "damaged" }],
  },
  nonFinite: { rank: 1, ...position, report: { origin: { at: "nowhere" } } },
  noted: { ...position, part: 0 },
  missing: { rank: 1, ...position, chunks: [1, 2], totals: true },
  hostPart: { ...hostEnd, part: 7, begin: 100, floats: 25, dtype: "float32", isEmpty: false },
  hostAck: { ...hostEnd, taken: 6, missing: [7, 9], asks: false },
  hostProbe: { ...hostEnd, sent: 8 },
  hostShare: { round: "contributions", index: 5, host: 1 },
  hostShares: { round: "values", index: 5, lengths: [8, 16] },
  hostSharesWanted: { round: "results", index: 5 },
  command: { id: 3, name: "train", workers: [1], args: { lr: 0.1 }, payload: transfer },
  reply: {
    id: 3,
    worker: 1,
    error: null,
    blame: null,
    result: { loss: 1.5 },
    resultBytes: 0,
    payload: transfer,
  },
  pull: { id: "a", chunk: 1, to: "rank-1" },
  piece: { id: "a", owner: "rank-0", chunk: 1 },
};

/** A link without a server: what it publishes is kept, and what it gets is given. */
function wire(address?: NatsAddress) {
  const sent: Uint8Array[] = [];
  let deliver: (data: Uint8Array) => void = () => {};
  const lost = Promise.withResolvers<void>();
  const connection = {
    isClosed: () => false,
    async *status() {
      await lost.promise;
      yield { type: "disconnect" };
      yield { type: "reconnect" };
    },
    publish: (_subject: string, frame: Uint8Array) => void sent.push(frame.slice()),
    subscribe: (
      subject: string,
      { callback }: { callback: (error: null, message: object) => void },
    ) => {
      deliver = (data) => callback(null, { subject, data });
    },
  } as unknown as NatsConnection;
  const link = new Link(connection, { runId: "r", key: "secret" }, "rank 1", address);
  return { link, sent, lose: lost.resolve, deliver: (data: Uint8Array) => deliver(data) };
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
      assert.equal(arrived, 0);
      const { malformed, corrupt, ...others } = link.refused;
      assert.equal(malformed + corrupt, altered);
      // Not blamed on strangers or other versions.
      assert.deepEqual(others, { unsigned: 0, replayed: 0, version: 0 });
      Object.assign(link.refused, { malformed: 0, corrupt: 0 });
      deliver(frame);
      assert.equal(arrived, 1);
      deliver(frame);
      assert.equal(arrived, 1);
      assert.deepEqual(link.refused, {
        unsigned: 0,
        replayed: 1,
        version: 0,
        malformed: 0,
        corrupt: 0,
      });
      link.refused.replayed = 0;
    }
    assert.deepEqual([...new Set(senders)], ["rank 1"]); // of the damaged payloads
  });
}

/** Another byte of the payload, and the four behind it such that the CRC-32 stays. */
function forgePayload(frame: Uint8Array, bytes: number): Uint8Array {
  const forged = frame.slice();
  const payload = forged.subarray(forged.length - bytes);
  const wanted = crc32(payload);
  payload[0] ^= 0xff;
  payload.fill(0, bytes - 4);
  // CRC-32 is linear: a sum of those of single bits leads from any value to the wanted one.
  const basis = Array.from({ length: 32 }, (_, bit) => {
    const one = new Uint8Array(bytes);
    one[bytes - 4 + (bit >> 3)] = 1 << (bit & 7);
    return { bits: 1 << bit, crc: crc32(one) ^ crc32(new Uint8Array(bytes)) };
  });
  let rest = crc32(payload) ^ wanted;
  let bits = 0;
  for (let digit = 31; digit >= 0; digit--) {
    const at = basis.findIndex(({ crc }) => (crc >>> digit) & 1);
    const [pivot] = basis.splice(at, 1);
    for (const each of basis) {
      if (!((each.crc >>> digit) & 1)) continue;
      each.crc ^= pivot!.crc;
      each.bits ^= pivot!.bits;
    }
    if (!((rest >>> digit) & 1)) continue;
    rest ^= pivot!.crc;
    bits ^= pivot!.bits;
  }
  new DataView(payload.buffer, payload.byteOffset + bytes - 4).setInt32(0, bits, true);
  assert.equal(crc32(payload), wanted);
  return forged;
}

Deno.test("a payload that was altered so that its CRC stays is refused on a server of others, and on our own after it was lost", async () => {
  const arrivesForged = ({ link, sent, deliver }: ReturnType<typeof wire>) => {
    let arrived = 0;
    link.subscribe("s", { piece: () => arrived++ });
    sent.length = 0;
    const payload = Uint8Array.from({ length: 64 }, (_, at) => at);
    link.publish("s", "piece", FIELDS.piece, payload);
    deliver(forgePayload(sent[0]!, 64));
    return arrived === 1;
  };
  const own = { url: "nats://127.0.0.1:4222", own: true };
  assert.equal(arrivesForged(wire()), false);
  const first = wire(own);
  assert.equal(arrivesForged(first), true, "who can do this there is root");
  first.lose();
  await delay(0);
  assert.equal(arrivesForged(first), false);
  // Another process that never lost the server hears of it with the first message.
  const second = wire(own);
  first.sent.length = 0;
  first.link.publish("s", "refusal", FIELDS.refusal);
  second.link.subscribe("s", { refusal: () => {} });
  second.deliver(first.sent[0]!);
  assert.equal(arrivesForged(second), false);
});

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
