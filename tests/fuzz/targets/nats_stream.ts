/**
 * Fuzzer of the NATS stream reader: the protocol, altered, in pieces of any length.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Parser, State } from "../../../src/deps/nats_core.ts";
import { ProtocolReader } from "../../../src/protocol/protocol_reader.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { joined, mutate, mutations } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";

const encoder = new TextEncoder();
const word = fc.oneof(
  fc.constantFrom(
    "a",
    "lockstep.run.gradient.0",
    "7",
    "0",
    "-1",
    "+5",
    "1e3",
    "0x10",
    "99999999999",
    "１",
    "",
  ),
  fc.string({ maxLength: 6 }),
);
const verb = fc.constantFrom(
  "MSG",
  "msg",
  "HMSG",
  "MSGX",
  "M",
  "H",
  "PING",
  "+OK",
  "-ERR",
  "INFO",
  "",
  "MS G",
);
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom("\r\n", "MSG a 1 5\r\nhello\r\n", "\nPING\r\n").map((text) =>
    encoder.encode(text)
  ),
);

/** A message as servers send it. */
const whole = fc.oneof(
  fc.constantFrom("PING", "PONG", "+OK", "-ERR 'Slow Consumer'", 'INFO {"version":"2.15.1"}').map((
    line,
  ) => encoder.encode(`${line}\r\n`)),
  fc.tuple(fc.constantFrom("MSG subject 12", "MSG subject 12 reply"), payload).map((
    [line, bytes],
  ) => joined(encoder.encode(`${line} ${bytes.length}\r\n`), bytes, encoder.encode("\r\n"))),
  payload.map((bytes) =>
    joined(
      encoder.encode(`HMSG subject 12 ${bytes.length} ${bytes.length}\r\n`),
      bytes,
      encoder.encode("\r\n"),
    )
  ),
);
/** A line that has the form of one, with words that don't fit. */
const odd = fc.tuple(
  verb,
  fc.array(word, { maxLength: 5 }),
  fc.constantFrom("\r\n", "\n", "\r", " \r\n", ""),
)
  .map(([name, words, end]) => encoder.encode([name, ...words].join(" ") + end));

const stream = fc.tuple(
  fc.array(fc.oneof({ weight: 3, arbitrary: whole }, { weight: 1, arbitrary: odd }), {
    minLength: 1,
    maxLength: 8,
  }),
  mutations,
).map(([parts, changes]) => mutate({ bytes: joined(...parts) }, changes));

/** The messages before the first fault, and whether there is one; the room that the reader takes is bounded. */
function readAll(
  bytes: Uint8Array,
  pieces: Iterable<number>,
): { taken: Uint8Array; isRefused: boolean } {
  const reader = new ProtocolReader();
  const taken: Uint8Array[] = [];
  let at = 0;
  const lengths = pieces[Symbol.iterator]();
  const take = () => {
    for (let part = reader.take(); part; part = reader.take()) taken.push(part.slice());
  };
  try {
    while (at < bytes.length) {
      const room = reader.room();
      assert.ok(room.length > 0, "there is room");
      const count = Math.min(lengths.next().value ?? 1, room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      at += count;
      reader.filled(count);
      take();
    }
  } catch (error) {
    checkRefusal(error, { mayQuote: true });
    return { taken: joined(...taken), isRefused: true };
  }
  return { taken: joined(...taken), isRefused: false };
}

export const FUZZER = defineFuzzer({
  seed: 20_001,
  input: fc.record({
    bytes: fc.oneof({ weight: 9, arbitrary: stream }, {
      weight: 1,
      arbitrary: fc.uint8Array({ maxLength: 200 }),
    }),
    pieces: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
  }),
  maxBytes: 280 * 2 ** 20,
  check({ bytes, pieces }) {
    const atOnce = readAll(bytes, [bytes.length]);
    const inPieces = readAll(
      bytes,
      function* () {
        for (;;) yield* pieces;
      }(),
    );
    assert.equal(inPieces.isRefused, atOnce.isRefused, "pieces change nothing");
    // What comes in the same piece as a fault goes with it.
    const { taken } = inPieces;
    assert.deepEqual(taken, bytes.slice(0, taken.length), "nothing is lost or changed");
    assert.deepEqual(atOnce.taken, taken.slice(0, atOnce.taken.length));
    assertWhole(taken);
  },
});

/** The client's own parser understands all of what is taken, and waits for nothing more. */
function assertWhole(taken: Uint8Array): void {
  const parser = new Parser({ push: () => {} });
  parser.parse(taken);
  assert.equal(parser.state, State.OP_START);
}
