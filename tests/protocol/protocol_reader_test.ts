import assert from "node:assert/strict";
import fc from "fast-check";
import { ProtocolError } from "../../src/protocol/codec.ts";
import { ProtocolReader } from "../../src/protocol/protocol_reader.ts";

const encoder = new TextEncoder();

/** A line, or a line with a payload, as a server sends it. */
function message(line: string, payload?: Uint8Array): Uint8Array {
  const head = encoder.encode(payload ? `${line} ${payload.length}\r\n` : `${line}\r\n`);
  if (!payload) return head;
  const whole = new Uint8Array(head.length + payload.length + 2);
  whole.set(head);
  whole.set(payload, head.length);
  whole.set([13, 10], head.length + payload.length);
  return whole;
}

/** Hands over bytes in pieces; returns copies of what is taken after each. */
function read(reader: ProtocolReader, bytes: Uint8Array, pieces: Iterator<number>): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (let sent = 0; sent < bytes.length;) {
    const room = reader.room();
    assert.ok(room.length > 0);
    const length = Math.min(room.length, bytes.length - sent, pieces.next().value!);
    room.set(bytes.subarray(sent, sent + length));
    reader.filled(length);
    sent += length;
    const whole = reader.take();
    if (whole) taken.push(whole.slice());
    assert.equal(reader.take(), undefined, "nothing is taken twice");
  }
  return taken;
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Payloads that look like the protocol, or like nothing. */
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom("", "\r\n", "MSG a 1 5\r\nhello\r\n", "\nPING\r\n").map((text) =>
    encoder.encode(text)
  ),
  fc.integer({ min: 1, max: 600_000 }).map((length) => new Uint8Array(length).fill(length)),
);
const anyMessage = fc.oneof(
  fc.constantFrom("PING", "PONG", "+OK", "-ERR 'Slow Consumer'", 'INFO {"a":"MSG 1 2 3"}')
    .map((line) => message(line)),
  payload.map((bytes) => message("MSG some.subject 12", bytes)),
  payload.map((bytes) => message("msg some.subject 12 reply.to", bytes)),
  payload.map((bytes) => message("HMSG some.subject 12 0", bytes)),
);
const pieceLengths = fc.infiniteStream(
  fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 400_000 })),
);

Deno.test("ProtocolReader hands everything over in order, cut between messages", () => {
  fc.assert(
    fc.property(
      fc.array(anyMessage, { minLength: 1, maxLength: 12 }),
      pieceLengths,
      (all, pieces) => {
        const bytes = concatenated(all);
        const taken = read(new ProtocolReader(), bytes, pieces);
        assert.deepEqual(concatenated(taken), bytes);
        const ends = new Set<number>();
        all.reduce((end, { length }) => {
          ends.add(end + length);
          return end + length;
        }, 0);
        let end = 0;
        for (const { length } of taken) assert.ok(ends.has(end += length), `cut at ${end}`);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("ProtocolReader uses the same memory for one large message after the other", () => {
  const reader = new ProtocolReader();
  const large = message("MSG gradient.0 1", new Uint8Array(1024 * 1024).fill(7));
  const pieces = function* () {
    for (;;) yield* [60_000, 1, 200_000, 1_000_000];
  };
  read(reader, large, pieces());
  const memory = reader.room().buffer;
  for (let time = 0; time < 40; time++) {
    const [whole, ...more] = read(reader, large, pieces());
    assert.deepEqual(more, []);
    assert.deepEqual(whole, large);
    assert.equal(reader.room().buffer, memory);
  }
});

Deno.test("ProtocolReader keeps small messages whole when their memory is used again", () => {
  const reader = new ProtocolReader();
  const put = (bytes: Uint8Array) => {
    reader.room().set(bytes);
    reader.filled(bytes.length);
  };
  put(message("MSG a 1", encoder.encode("first")));
  const first = reader.take()!;
  put(message("MSG a 1", encoder.encode("later")));
  assert.equal(new TextDecoder().decode(first), "MSG a 1 5\r\nfirst\r\n");
});

Deno.test("ProtocolReader.firstLine() leaves the line where it is", () => {
  const reader = new ProtocolReader();
  const line = message('INFO {"version":"2.15.1"}');
  reader.room().set(line);
  reader.filled(5);
  assert.equal(reader.firstLine(), undefined);
  reader.room().set(line.subarray(5));
  reader.filled(line.length - 5);
  assert.equal(reader.firstLine(), 'INFO {"version":"2.15.1"}\r');
  assert.deepEqual(reader.take(), line);
});

Deno.test("ProtocolReader refuses what isn't NATS's, whose own parser would guess", () => {
  const refused: [string, RegExp][] = [
    ["MSG a 1 99999999999\r\n", /A message of 99999999999 bytes/],
    ["MSG a 1 !!!\r\n", /A line that NATS doesn't have: "MSG a 1 !!!"/], // read for ever once: a negative length
    ["MSG a 1 -5\r\n", /doesn't have/],
    ["MSG a 1 0x10\r\n", /doesn't have/],
    ["MSG a 1\r\n", /doesn't have/],
    ["MSG a x 1\r\n", /doesn't have/],
    ["MSG\r\n", /doesn't have/],
    ["M\r\n", /doesn't have/],
    ["\r\n", /doesn't have/],
    ["\n", /doesn't end in CR LF/],
    ["PING\n", /doesn't end in CR LF/],
    ["HMSG a 1 5\r\n", /doesn't have/],
    ["HMSG a 1 6 5\r\n", /doesn't have/],
    ["HTTP/1.1 400 Bad Request\r\n", /doesn't have: "HTTP\/1.1 400 Bad Request"/],
    ["MSG a 1 2\r\nabcd\r\n", /doesn't end in CR LF/],
    ['INFO {"version":\r\n', /doesn't have/],
    ["INFO {]}\r\n", /damaged JSON/],
    ["-ERR \x1b[2J\r\r\n", /broken: "-ERR \\x1b/],
    ["x".repeat(1024 * 1024 + 1), /A line of more than 1048576 bytes/],
  ];
  for (const [text, message] of refused) {
    const feed = () => read(new ProtocolReader(), encoder.encode(text), [text.length].values());
    assert.throws(
      feed,
      (error) => error instanceof ProtocolError && message.test(error.message),
      text,
    );
  }
});
