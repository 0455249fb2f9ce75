import assert from "node:assert/strict";
import { Cuts, HostLayout, spansHosts } from "../../src/exchange/hosts/host_layout.ts";
import { IncomingParts } from "../../src/exchange/hosts/incoming_parts.ts";
import { OutgoingParts } from "../../src/exchange/hosts/outgoing_parts.ts";
import { PartMemory } from "../../src/exchange/hosts/part_memory.ts";
import { PeerWaits } from "../../src/exchange/hosts/peer_waits.ts";
import { partFloats } from "../../src/exchange/shard_sum.ts";
import { FRAME_HEADER_BYTES } from "../../src/protocol/codec.ts";
import type { Link } from "../../src/protocol/link.ts";
import type { Fields } from "../../src/protocol/messages.ts";

type Sent = { kind: string; fields: Fields<"hostPart">; payload: Uint8Array };

/** Floats of a part, and of a window that holds two of them. */
const PART = 1000;
const WINDOW = 2 * (FRAME_HEADER_BYTES + 4 * PART) + 100;

/** A sender and a receiver; what either publishes is kept. */
function pair(maxPayloadBytes = 2 ** 20) {
  const sent: Sent[] = [];
  const notes: Fields<"hostAck">[] = [];
  const keep = (_: string, kind: string, fields: Fields<"hostPart">, payload = new Uint8Array()) =>
    void sent.push({ kind, fields, payload: payload.slice() });
  const data = {
    maxPayloadBytes,
    publish: keep,
    publishInPlace: (
      subject: string,
      kind: string,
      fields: Fields<"hostPart">,
      frame: Uint8Array<ArrayBuffer>,
    ) => keep(subject, kind, fields, frame.subarray(FRAME_HEADER_BYTES)),
  } as unknown as Link;
  const answers = {
    publish: (_: string, _kind: string, fields: Fields<"hostAck">) => void notes.push(fields),
  } as unknown as Link;
  const waits = new PeerWaits();
  const end = { way: "sums", host: 0, rank: 0 } as const;
  const memory = new PartMemory(FRAME_HEADER_BYTES + 4 * PART);
  const wait: ConstructorParameters<typeof IncomingParts>[0]["wait"] = (
    askAgain,
    signal,
    begin,
  ) => {
    const silence = () => new Error("silent");
    const times = { silenceMs: 60_000, firstAskMs: 10 };
    return waits.wait({ ...times, askAgain, silence, isExcused: () => false }, signal, begin);
  };
  const outgoing = new OutgoingParts({
    ...{ data, dataSubject: "parts", sender: end, windowBytes: WINDOW, memory, wait },
  });
  const incoming = new IncomingParts({
    ...{ notes: answers, notesSubject: "notes", receiver: end, ackBytes: 4 * PART, memory, wait },
  });
  return { outgoing, incoming, sent, notes, waits };
}

const values = (at: number, floats = PART) => new Float32Array(floats).fill(at + 0.5);
const segment = (at: number, floats = PART) => ({
  ...{ begin: at * PART, end: at * PART + floats, rank: 0, dtype: "float32" as const },
});

Deno.test("OutgoingParts keeps no more than a window, and sends again what is missing", async () => {
  const { outgoing, sent, waits } = pair();
  const end = { way: "sums", host: 1, rank: 0 } as const;
  let done = 0;
  const sending = (async () => {
    for (let at = 0; at < 5; at++) {
      await outgoing.send(segment(at), values(at), undefined);
      done++;
    }
  })();
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  const partsOf = (from: number) =>
    sent.slice(from).filter(({ kind }) => kind === "hostPart").map(({ fields }) => fields.part);
  await settle();
  assert.equal(done, 2);
  // The sender asks how far the receiver is; an answer to what was never sent frees nothing.
  outgoing.onAck({ ...end, taken: 9, missing: [], asks: false });
  await settle();
  assert.equal(done, 2);
  outgoing.onAck({ ...end, taken: 0, missing: [1], asks: true });
  assert.deepEqual(partsOf(0), [0, 1, 1]);
  assert.equal(sent.at(-1)!.kind, "hostProbe");
  assert.deepEqual(new Float32Array(sent[2]!.payload.buffer), values(1));
  outgoing.onAck({ ...end, taken: 1, missing: [], asks: false });
  await settle();
  assert.equal(done, 3);
  outgoing.onAck({ ...end, taken: 3, missing: [], asks: false });
  await sending;
  // A part without values takes no memory, so that it needs no window.
  for (let at = 5; at < 50; at++) await outgoing.send(segment(at), undefined, undefined);
  assert.equal(sent.filter(({ fields }) => fields.isEmpty).length, 45);
  waits.end(new Error("over"));
  await assert.rejects(outgoing.send(segment(50), values(50), undefined), { message: "over" });
});

Deno.test("OutgoingParts cuts a segment where the server's messages are short", async () => {
  const { outgoing, sent } = pair(4 * 300);
  await outgoing.send(segment(0), values(0), undefined);
  assert.deepEqual(sent.map(({ fields: { begin, floats } }) => [begin, floats]), [
    ...[[0, 300], [300, 300], [600, 300], [900, 100]],
  ]);
});

Deno.test("IncomingParts takes each part once and in order, and asks for gaps at once", async () => {
  const { incoming, notes, waits } = pair();
  const part = (at: number, begin = at * PART): Fields<"hostPart"> => ({
    ...{ way: "sums", host: 0, rank: 0, part: at, begin, floats: PART },
    ...{ dtype: "float32", isEmpty: false },
  });
  const bytes = (at: number) => new Uint8Array(values(at).buffer);
  const taken: (number | undefined)[] = [];
  const take = (at: number) =>
    incoming.take(at * PART, undefined, (values) => void taken.push(values?.[7]));
  const first = take(0);
  incoming.onPart(part(2), bytes(2));
  assert.deepEqual(notes.at(-1)!.missing, [0, 1]);
  incoming.onPart(part(2), bytes(9)); // again, and it doesn't count
  incoming.onPart(part(1), bytes(1).subarray(4)); // too short
  incoming.onPart(part(0), bytes(0));
  assert.equal(await first, PART);
  const second = take(1);
  incoming.onProbe({ way: "sums", host: 0, rank: 0, sent: 4 });
  assert.deepEqual(notes.at(-1)!.missing, [1, 3]);
  incoming.onPart({ ...part(1), isEmpty: true }, new Uint8Array());
  await second;
  await take(2);
  assert.deepEqual(taken, [0.5, undefined, 2.5]);
  assert.equal(notes.at(-1)!.taken, 3);
  incoming.onPart(part(1), bytes(1)); // late: its sender has not heard
  assert.equal(notes.at(-1)!.taken, 3);
  incoming.onPart(part(3, 77), bytes(3));
  await assert.rejects(take(3), {
    name: "ExchangeError",
    message: /from 3000 on, and got those from 77/,
  });
  const endless = incoming.take(0, AbortSignal.timeout(40), () => {});
  const before = notes.length;
  incoming.onPart(part(4 + 5000), bytes(0)); // too far ahead
  await endless.catch(() => {});
  assert.ok(notes.slice(before).every(({ missing }) => missing.length === 0));
  waits.end(new Error("over"));
});

Deno.test("HostLayout skips hosts without ranks, and Cuts follows the shards and formats of the receivers", () => {
  const layout = new HostLayout([0, 2, 0, 3], 3);
  assert.deepEqual(
    [layout.hub, layout.before, layout.after, layout.firstRank, layout.worldSize],
    [1, 1, undefined, 2, 5],
  );
  assert.throws(() => new HostLayout([0, 2], 0), RangeError);
  assert.deepEqual([[0, 4], [4], [1, 0, 1]].map(spansHosts), [false, false, true]);
  const vectors = { floats: 1000, gradientFloats: 700, dtype: "bfloat16" } as const;
  assert.deepEqual(new Cuts(2, vectors).of({ begin: 400, end: 900 }), [
    { begin: 400, end: 496, rank: 0, dtype: "bfloat16" },
    { begin: 496, end: 700, rank: 1, dtype: "bfloat16" },
    { begin: 700, end: 900, rank: 1, dtype: "float32" },
  ]);
  assert.deepEqual([1, 2 ** 20, 11_175_000, 10 ** 9].map(partFloats), [
    ...[2 ** 15, 2 ** 15, 2 ** 17, 2 ** 18],
  ]);
});
