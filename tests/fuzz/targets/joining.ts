/**
 * Fuzzer of the words with which hosts find each other: `--join`, lists of Slurm's nodes, addresses to listen at, and the
 * certificate in a server's name.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { joinAddress, parseJoin } from "../../../src/hosts/join_line.ts";
import { parseListen } from "../../../src/hosts/listening.ts";
import { addressProblem } from "../../../src/hosts/local_addresses.ts";
import { expandNodeList } from "../../../src/hosts/slurm.ts";
import { announcedCertificate } from "../../../src/protocol/fingerprint.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { checkRefusal } from "../refusals.ts";

const PARTS = [
  ...[
    "nats://",
    "tls://",
    "http://",
    "10.0.0.1",
    "[fd00::1]",
    "fd00::1",
    "gpu01",
    ":4222",
    ":0",
    ":99999",
    ",",
    "#",
  ],
  ...[
    "0123456789abcdef".repeat(4),
    "plain",
    "@",
    "me:secret@",
    "[01-03]",
    "[9-1]",
    "[",
    "]",
    "-",
    "/",
    "/8",
    " ",
    "%",
  ],
  ...["lockstep", ":", "x", "MIIB", "0.0.0.0", "::", "localhost", "\n", "\0", "é"],
];
const word = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...PARTS) },
  { weight: 1, arbitrary: fc.string({ maxLength: 8, unit: "binary" }) },
);

export const FUZZER = defineFuzzer<string>({
  seed: 21_001,
  input: fc.array(word, { maxLength: 8 }).map((words) => words.join("")),
  check(text) {
    // What is read is written so that it is read again.
    readOrRefuse(
      () => {
        const address = parseJoin(text);
        assert.ok(address.servers.length > 0);
        assert.deepEqual(parseJoin(joinAddress(address)), address);
      },
      text,
      /me:secret@/,
    );
    readOrRefuse(() => assert.ok(expandNodeList(text).length > 0), text);
    try {
      const { host, port } = parseListen(text);
      assert.ok(host.length > 0 && port >= 0 && port <= 65_535);
    } catch (error) {
      assert.equal((error as Error).name, "UsageError", String(error)); // the key stands before it
    }
    addressProblem(text);
    assert.equal(announcedCertificate(text), undefined);
  },
});

function readOrRefuse(read: () => void, text: string, secret?: RegExp): void {
  try {
    read();
  } catch (error) {
    checkRefusal(error, { mayQuote: true, maxLength: 8_000 + 8 * text.length });
    if (secret) assert.doesNotMatch((error as Error).message, secret);
  }
}
