/**
 * Fuzzer of the beginning of a connection: whatever answers at a server's address.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import fc from "fast-check";
import { connectNats } from "../../../src/protocol/connection.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { changeJson, type JsonChange, jsonChanges } from "../json_changes.ts";
import { joined, mutate, type Mutation, mutations } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";

const encoder = new TextEncoder();
const INFO = {
  ...{
    server_id: "NA",
    server_name: "n",
    version: "2.11.4",
    proto: 1,
    go: "go1.24",
    host: "0.0.0.0",
    port: 4222,
  },
  ...{
    headers: true,
    max_payload: 1048576,
    client_id: 7,
    client_ip: "127.0.0.1",
    auth_required: false,
  },
};
/** Beginnings of programs that are no nats-server. */
const FOREIGN = [
  ...[
    "SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "220 mail ESMTP\r\n",
    "\x15\x03\x01\0\x02\x02\x46",
  ],
  ...[
    "-ERR unknown command\r\n",
    "+OK\r\n",
    "PING\r\n",
    "INFO\r\n",
    "INFO {}\r\n",
    "INFO []\r\n",
    "INFO null\r\n",
    "\n",
    "\0",
  ],
  ...[
    "",
    "MSG a 1 5\r\nhello\r\n",
    "-ERR 'Authorization Violation'\r\n",
    "-ERR 'maximum connections exceeded'\r\n",
  ],
];
const FOLLOWING = [
  "PONG\r\n",
  "+OK\r\n",
  "-ERR 'Authorization Violation'\r\n",
  "-ERR \x1b[2J\r\n",
  'INFO {"a":1}\r\n',
  "",
];

interface Input {
  readonly start: string | readonly JsonChange[];
  readonly following: string;
  readonly changes: readonly Mutation[];
  readonly pieces: readonly number[];
}

/** A program's end of a connection: it says its bytes and hangs up. */
class Program {
  #at = 0;
  #turn = 0;

  constructor(readonly bytes: Uint8Array, readonly pieces: readonly number[]) {}

  setNoDelay(): void {}
  close(): void {}

  write(bytes: Uint8Array): Promise<number> {
    return Promise.resolve(bytes.length);
  }

  async read(room: Uint8Array): Promise<number | null> {
    await new Promise((resolve) => setImmediate(resolve)); // as from the network, never at once
    const piece = this.pieces[this.#turn++ % this.pieces.length] ?? 1;
    const part = this.bytes.subarray(this.#at, this.#at + Math.min(piece, room.length));
    room.set(part);
    this.#at += part.length;
    return part.length === 0 ? null : part.length;
  }
}

let bytes: Uint8Array = new Uint8Array(0);
let pieces: readonly number[] = [];
const printed: unknown[] = [];

export const FUZZER = defineFuzzer<Input>({
  seed: 20_012,
  input: fc.record({
    start: fc.oneof({ weight: 1, arbitrary: fc.constantFrom(...FOREIGN) }, {
      weight: 3,
      arbitrary: jsonChanges,
    }),
    following: fc.constantFrom(...FOLLOWING),
    changes: fc.oneof(fc.constant<Mutation[]>([]), mutations),
    pieces: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 4 }),
  }),
  maxBytes: 280 * 2 ** 20,
  setUp() {
    const program = () => Promise.resolve(new Program(bytes, pieces));
    Deno.connect = program as unknown as typeof Deno.connect;
    Deno.startTls = () => Promise.reject(new Deno.errors.InvalidData("received corrupt message"));
    console.log = (...args: unknown[]) => void printed.push(args);
    return Promise.resolve();
  },
  async check(drawn) {
    const { start, following, changes } = drawn;
    const first = typeof start === "string"
      ? start
      : `INFO ${JSON.stringify(changeJson(INFO, start))}\r\n`;
    bytes = mutate({ bytes: joined(encoder.encode(first), encoder.encode(following)) }, changes);
    pieces = drawn.pieces;
    printed.length = 0;
    try {
      const connection = await connectNats({ url: "nats://127.0.0.1:4222" }, {
        name: "fuzz",
        timeoutMs: 900,
      });
      await connection.close();
    } catch (error) {
      checkRefusal(error, { naming: "127.0.0.1:4222", mayQuote: true });
    }
    assert.deepEqual(printed, [], "the client prints nothing");
  },
});
