import assert from "node:assert/strict";
import { CommandClient, serveCommands } from "../../src/protocol/command_channel.ts";
import { packJson, unpackJson } from "../../src/protocol/large_json.ts";
import { Link } from "../../src/protocol/link.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { BlobTransfers } from "../../src/protocol/blob_transfers.ts";
import { startPlainServer } from "../support/nats_server.ts";

Deno.test("packJson() leaves short values where they are, and puts long ones behind the payload", () => {
  const payload = Uint8Array.from([1, 2, 3, 4]);
  assert.deepEqual(packJson({ a: 1 }, payload, 65_536), { value: { a: 1 }, jsonBytes: 0, payload });
  assert.deepEqual(packJson(null, undefined, 65_536), { value: null, jsonBytes: 0 });
  for (const before of [undefined, payload]) {
    const long = { names: Array.from({ length: 5000 }, (_, index) => `é ${index}.jpg`) };
    const packed = packJson(long, before, 65_536);
    assert.equal(packed.value, null);
    const bytes = packed.payload as Uint8Array<ArrayBuffer>;
    const back = unpackJson(packed.value, packed.jsonBytes, bytes);
    assert.deepEqual(back, { value: long, payload: before ?? new Uint8Array() });
    assert.throws(
      () => unpackJson(null, packed.jsonBytes, bytes.subarray(0, 9)),
      {
        name: "ProtocolError",
        message: /^A message with JSON of \d+ bytes behind it brings 9 bytes$/,
      },
    );
    const damaged = bytes.slice();
    damaged[bytes.length - 1] = 0xff;
    assert.throws(() => unpackJson(null, packed.jsonBytes, damaged), {
      name: "ProtocolError",
      message: `The ${packed.jsonBytes} bytes of JSON behind a message are none`,
    });
  }
});

Deno.test("a reply of 60,000 skipped images goes through a server with 64 KB messages", async () => {
  await using server = await startPlainServer("max_payload: 65536");
  const run = makeRunIdentity("test");
  const address = { url: server.url };
  await using coordinator = await Link.open(address, run, "coordinator");
  await using worker = await Link.open(address, run, "rank 0");
  const transfers = await BlobTransfers.open(coordinator, "coordinator");
  const commands = await CommandClient.open(coordinator, transfers, 1);
  const own = await BlobTransfers.open(worker, "rank-0");
  const skipped = Array.from({ length: 60_000 }, (_, index) => ({
    index,
    path: `train/class_${index % 1000}/image_${index}.jpg`,
    reason: "no image: the file is empty",
  }));
  await serveCommands(worker, own, 0, ({ name }) => {
    if (name === "fail") throw new Error("x".repeat(100_000));
    const payload = name === "both" ? Uint8Array.from([7, 8, 9]) : undefined;
    return Promise.resolve({ result: { steps: 1, skipped }, ...(payload ? { payload } : {}) });
  });
  const [plain] = await commands.callAll("plain");
  assert.deepEqual(plain.result, { steps: 1, skipped });
  const [both] = await commands.callAll("both");
  assert.deepEqual(both.result, { steps: 1, skipped });
  assert.deepEqual(both.payload, Uint8Array.from([7, 8, 9]));
  await assert.rejects(commands.callAll("fail"), /Rank 0 failed: x{2000} …$/);
  commands.close();
  transfers.close();
  own.close();
});

Deno.test("a server whose messages are too small is refused with the cure", async () => {
  await using server = await startPlainServer("max_payload: 4096");
  await assert.rejects(
    Link.open({ url: server.url }, makeRunIdentity("test"), "coordinator"),
    /lets messages of 4096 bytes through: set its max_payload to at least 16384$/,
  );
});
