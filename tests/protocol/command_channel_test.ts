import assert from "node:assert/strict";
import { CommandClient, serveCommands } from "../../src/protocol/command_channel.ts";
import { BlobTransfers } from "../../src/protocol/blob_transfers.ts";
import { startCoordinator } from "../support/coordinator_rig.ts";
import { startRig } from "../support/nats_server.ts";

function pattern(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => (index * 31) ^ (index >> 9));
}

Deno.test("CommandClient.callAll() carries arguments and large bytes to worker processes and back", async () => {
  const weights = pattern(9_000_001);
  await using run = await startCoordinator({ count: 2, payload: weights });
  const first = await run.commands.callAll("echo", { epoch: 3 });
  assert.deepEqual(first.map(({ rank, result }) => [rank, result]), [
    [0, { args: { epoch: 3 }, job: { greeting: "hello" }, rank: 0 }],
    [1, { args: { epoch: 3 }, job: { greeting: "hello" }, rank: 1 }],
  ]);
  for (const { payload } of first) assert.deepEqual(payload, weights); // from the welcome
  const other = pattern(5_000_000);
  const second = await run.commands.callAll("echo", null, { payload: other });
  for (const { payload } of second) assert.deepEqual(payload, other);
});

Deno.test("CommandClient.callAll() fails with the rank and message of a failing worker", async () => {
  await using run = await startCoordinator({ count: 2 });
  await assert.rejects(run.commands.callAll("fail"), {
    name: "WorkerFailedError",
    rank: 1,
    message: "Rank 1 failed: No such file: x.jpg",
  });
});

Deno.test("serveCommands() runs a repeated command once, and replies again", async () => {
  await using rig = await startRig();
  const link = await rig.open("rank 0");
  const transfers = await BlobTransfers.open(link, "rank-0");
  let runs = 0;
  await serveCommands(link, transfers, 0, () => Promise.resolve({ result: ++runs }));
  const coordinator = await rig.open("coordinator");
  const replies: unknown[] = [];
  coordinator.subscribe(coordinator.subjects.reply, {
    reply: ({ header }) => replies.push([header.id, header.result]),
  });
  const send = (id: number) =>
    coordinator.publish(coordinator.subjects.command, "command", {
      ...{ id, name: "count", workers: null, args: null, payload: null },
    });
  for (const id of [1, 1, 2, 1]) {
    send(id);
    for (let time = 0; time < 3; time++) await Promise.all([coordinator.flush(), link.flush()]);
  }
  assert.deepEqual(replies, [[1, 1], [1, 1], [2, 2]]);
  transfers.close();
});

Deno.test("CommandClient.callAll() reaches a worker that was not listening yet", async () => {
  await using rig = await startRig();
  const coordinator = await rig.open("coordinator");
  const transfers = await BlobTransfers.open(coordinator, "coordinator");
  const commands = await CommandClient.open(coordinator, transfers, 1);
  const replies = commands.callAll("late");
  await coordinator.flush();
  const link = await rig.open("rank 0");
  const own = await BlobTransfers.open(link, "rank-0");
  await serveCommands(link, own, 0, ({ name }) => Promise.resolve({ result: name }));
  assert.deepEqual(await replies, [{ rank: 0, result: "late" }]);
  commands.close();
  transfers.close();
  own.close();
});

Deno.test("CommandClient.callAll() ends with the signal's reason", async () => {
  await using rig = await startRig();
  const coordinator = await rig.open("coordinator");
  const transfers = await BlobTransfers.open(coordinator, "coordinator");
  const commands = await CommandClient.open(coordinator, transfers, 1);
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("told to end")), 50);
  await assert.rejects(commands.callAll("x", null, { signal: controller.signal }), {
    message: "told to end",
  });
  commands.close();
  transfers.close();
});

Deno.test("CommandClient.callAll() names the failed rank and its device", async () => {
  await using rig = await startRig();
  const coordinator = await rig.open("coordinator");
  const transfers = await BlobTransfers.open(coordinator, "coordinator");
  const commands = await CommandClient.open(coordinator, transfers, 1);
  commands.describe([" on GPU 3 (GPU-8f3c)"]);
  const link = await rig.open("rank 0");
  const own = await BlobTransfers.open(link, "rank-0");
  await serveCommands(link, own, 0, () => Promise.reject(new Error("it is lost")));
  await assert.rejects(commands.callAll("x"), {
    name: "WorkerFailedError",
    message: "Rank 0 on GPU 3 (GPU-8f3c) failed: it is lost",
  });
  commands.close();
  transfers.close();
  own.close();
});
