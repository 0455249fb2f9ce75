/**
 * Fuzzer of the message codec: frames of every kind, altered in their bytes, or in their fields with the right checksum.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { NatsConnection } from "../../../src/deps/nats.ts";
import { MessageKey } from "../../../src/protocol/authentication.ts";
import { checksum, encodeFrame } from "../../../src/protocol/codec.ts";
import { Link } from "../../../src/protocol/link.ts";
import { type Fields, type Kind, makeHeader } from "../../../src/protocol/messages.ts";
import { STEP_PHASES } from "../../../src/protocol/step_phases.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { changeJson, jsonChanges } from "../json_changes.ts";
import { joined, mutate, mutations } from "../mutations.ts";

const SUBJECT = "lockstep.fuzzed";
const KEY_TEXT = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY";
const KEY = new MessageKey(KEY_TEXT);
const sign = (bytes: Uint8Array) => KEY.sign(SUBJECT, bytes);
const at = { epoch: 3, step: 141 };
const totals = {
  samples: 32,
  weight: 31.5,
  lossSum: 45.25,
  correct: 20,
  statisticsRows: 32,
  trackedBatches: 1,
};
const transfer = { id: "b7c6", owner: "coordinator", bytes: 4096, chunkBytes: 1024 };
const times = { data: 1, forwardBackward: 2.5, exchange: 3, update: 0.5 };

const hostEnd = { way: "sums", host: 1, rank: 0 } as const;

/** One message of each kind. */
const SAMPLES: { [K in Kind]: Fields<K> } = {
  join: {
    instance: "6f1b1b0e-63a4-4a0b-8a55-0c2d9f6f2f11",
    index: 1,
    pid: 4711,
    host: "here",
    segmentProblem: null,
  },
  refusal: { reason: "Another version" },
  hostJoin: {
    instance: "6f1b1b0e-63a4-4a0b-8a55-0c2d9f6f2f11",
    facts: { hostname: "lab2", pid: 77, index: null },
  },
  hostWelcome: { instance: "6f1b1b0e-63a4-4a0b-8a55-0c2d9f6f2f11", settings: { index: 1 } },
  hostPacket: {
    session: "6f1b1b0e-63a4-4a0b-8a55-0c2d9f6f2f11",
    packet: 3,
    acknowledged: 2,
    body: { notice: "grant", args: { meeting: 1, action: "continue" } },
  },
  welcome: {
    ...{
      rank: 1,
      worldSize: 2,
      generation: 1,
      job: { model: "resnet18", classes: ["a", "b"] },
      jobBytes: 0,
    },
    ...{ segment: { path: "/dev/shm/x", bytes: 4096 }, cache: null, payload: transfer },
  },
  heartbeat: {
    ...at,
    activity: "training",
    phase: STEP_PHASES[0],
    sample: null,
    residentBytes: 1e9,
    refused: 2,
  },
  contribution: {
    rank: 1,
    ...at,
    ...totals,
    times,
    bytes: 400,
    chunkBytes: 64,
    dtype: "float32",
    narrowBytes: 0,
  },
  gradient: { rank: 1, ...at, chunk: 3, tooLarge: false },
  reduced: { ...at, chunk: 3 },
  result: { ...at, ...totals, lossSum: "NaN", action: "continue", finite: true },
  values: { rank: 1, round: 7 },
  sum: { round: 7 },
  skippedSamples: {
    rank: 1,
    ...at,
    part: 0,
    samples: [{ index: 3, path: "a.jpg", reason: "it is empty" }],
  },
  nonFinite: { rank: 1, ...at, report: { origin: { at: "output", layer: "fc" }, alone: false } },
  noted: { ...at, part: 0 },
  missing: { rank: 1, ...at, chunks: [0, 1, 2], totals: true },
  hostPart: { ...hostEnd, part: 7, begin: 100, floats: 25, dtype: "float32", isEmpty: false },
  hostAck: { ...hostEnd, taken: 6, missing: [7, 9], asks: false },
  hostProbe: { ...hostEnd, sent: 8 },
  hostShare: { round: "contributions", index: 5, host: 1 },
  hostShares: { round: "values", index: 5, lengths: [8, 16] },
  hostSharesWanted: { round: "results", index: 5 },
  command: {
    ...{ id: 5, name: "train", workers: [0, 1] },
    args: { epoch: 1, list: [1, { a: null }] },
    payload: transfer,
  },
  reply: {
    ...{ id: 5, worker: 1, error: null, blame: null },
    result: [1, "two"],
    ...{ resultBytes: 0, payload: null },
  },
  pull: { id: "b7c6", chunk: 2, to: "worker-1" },
  piece: { id: "b7c6", owner: "worker-1", chunk: 2 },
};
const NAMES = Object.keys(SAMPLES) as Kind[];

/** A link without a server, and what it makes of bytes that arrive. */
class Receiver {
  readonly link: Link;
  readonly taken: { header: unknown; payload: Uint8Array }[] = [];
  corrupt = 0;
  #receive = (_: Uint8Array) => {};

  constructor() {
    const connection = {
      info: { max_payload: 1024 * 1024 },
      getServer: () => "fuzzed:4222",
      isClosed: () => false,
      status: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }),
      subscribe: (
        _: string,
        { callback }: { callback: (error: null, message: unknown) => void },
      ) => {
        this.#receive = (data) => callback(null, { subject: SUBJECT, data });
      },
    };
    this.link = new Link(
      connection as unknown as NatsConnection,
      { runId: "fuzzed", key: KEY_TEXT },
      "coordinator",
    );
    const take = (message: { header: unknown; payload: Uint8Array }) => this.taken.push(message);
    const handlers = Object.fromEntries(NAMES.map((name) => [name, take]));
    this.link.subscribe(SUBJECT, handlers as never, { onCorrupt: () => this.corrupt++ });
  }

  /** The count of refusals and of messages that were passed on. */
  receive(bytes: Uint8Array): { refused: number; taken: Receiver["taken"] } {
    this.taken.length = 0;
    const before = Object.values(this.link.refused).reduce((sum, count) => sum + count, 0);
    this.#receive(bytes);
    const after = Object.values(this.link.refused).reduce((sum, count) => sum + count, 0);
    return { refused: after - before, taken: this.taken };
  }
}

let number = 0;

export const FUZZER = defineFuzzer({
  seed: 20_002,
  input: fc.record({
    kind: fc.constantFrom(...NAMES),
    payload: fc.uint8Array({ maxLength: 40 }),
    fields: jsonChanges,
    depth: fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, {
      weight: 1,
      arbitrary: fc.integer({ min: 1, max: 20_000 }),
    }),
    bytes: fc.oneof(mutations, fc.constant([])),
  }),
  check({ kind, payload, fields, depth, bytes: changes }) {
    const place = { link: "fuzzed", number: ++number };
    const whole = makeHeader(
      { ...place, from: "rank 1" },
      kind,
      SAMPLES[kind] as never,
      {
        crc: checksum(payload),
        tag: KEY.signPayload(place, payload),
      },
    );
    const header = changeJson(whole, fields);
    // Fields that were damaged on the way aren't signed; those of a faulty program of the run are.
    const frame = depth > 0 && kind === "command"
      ? deepFrame(header, depth)
      : encodeFrame(header as object ?? {}, payload, sign);
    const arrived = mutate({ bytes: frame, fields: FIELDS }, changes);
    const receiver = new Receiver();
    const { refused, taken } = receiver.receive(arrived);
    assert.equal(refused + taken.length, 1, "either refused and counted, or passed on");
    const isSame = arrived.length === frame.length && arrived.every((byte, i) => byte === frame[i]);
    if (!isSame) return assert.equal(taken.length, 0, "no altered byte goes unseen");
    if (fields.length === 0 && depth === 0) {
      assert.equal(taken.length, 1, "what nobody changed is passed on");
    }
    for (const message of depth === 0 ? [...taken] : []) {
      assert.deepEqual(plain(message.header), plain(header));
      assert.deepEqual(message.payload, payload);
      assert.equal(receiver.receive(arrived).refused, 1, "nothing is accepted a second time");
    }
  },
});

/** A value as its JSON; zod leaves out keys called `__proto__`. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), function (this: object, key, each) {
    if (Object.hasOwn(this, "__proto__")) delete (this as Record<string, unknown>)["__proto__"];
    return key === "__proto__" ? undefined : each;
  });
}

/** A frame whose header holds arrays within arrays, deeper than `JSON.stringify` goes. */
function deepFrame(header: unknown, depth: number): Uint8Array<ArrayBuffer> {
  const marked = JSON.stringify({ ...header as object, args: "DEEP" });
  const json = marked.replace('"DEEP"', "[".repeat(depth) + "]".repeat(depth));
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 4) * 4));
  const head = joined(Uint8Array.of(0, 0, 0, 0), text);
  new DataView(head.buffer).setUint32(0, text.length, true);
  const signed = joined(head, sign(head));
  return joined(signed, new Uint8Array(Uint32Array.of(checksum(signed)).buffer));
}

/** The header's length. */
const FIELDS = [{ at: 0, bytes: 4 }] as const;
