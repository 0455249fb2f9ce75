import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { LOCKSTEP_VERSION } from "../../src/base/versions.ts";
import { Rendezvous } from "../../src/cluster/rendezvous.ts";
import { makeHeader, PROTOCOL_VERSION } from "../../src/protocol/messages.ts";
import { CPU_DEVICE } from "../../src/base/compute_device.ts";
import { joinRun } from "../../src/worker/join.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { signedFrame } from "../support/frames.ts";
import { startCoordinator } from "../support/coordinator_rig.ts";
import { type Rig, startRig } from "../support/nats_server.ts";
import { isRunning } from "../support/processes.ts";

function settingsFor(rig: Rig, index: number | null) {
  const nats = { url: rig.broker.url, credentials: rig.broker.workerCredentials };
  return {
    ...rig.run,
    nats,
    index,
    threads: 1,
    device: CPU_DEVICE,
    lostAfter: 5,
    reconnectTimeout: 5,
    segments: [],
  };
}

Deno.test("Rendezvous.gather() gives ranks by index, and free ones to workers without", async () => {
  await using rig = await startRig();
  const link = await rig.open("coordinator");
  const refusals: string[] = [];
  const rendezvous = await Rendezvous.open(link, {
    worldSize: 3,
    joinTimeout: 10,
    spawned: [],
    onRefused: (reason) => refusals.push(reason),
  });
  const gathered = rendezvous.gather(() => ({ job: { lr: 0.1 } }));
  const numbered = [2, 0].map((index) => joinRun(settingsFor(rig, index), 10));
  await delay(1_000); // so that both have asked
  const members = await Promise.all([...numbered, joinRun(settingsFor(rig, null), 10)]);
  assert.deepEqual(members.map(({ rank }) => rank), [2, 0, 1]);
  assert.deepEqual(members.map(({ job, worldSize }) => [job, worldSize]), [
    [{ lr: 0.1 }, 3],
    [{ lr: 0.1 }, 3],
    [{ lr: 0.1 }, 3],
  ]);
  assert.deepEqual((await gathered).map(({ rank, pid }) => [rank, pid]), [
    [0, Deno.pid],
    [1, Deno.pid],
    [2, Deno.pid],
  ]);
  await assert.rejects(joinRun(settingsFor(rig, 1), 10), {
    message: /^Rank 1 is taken by pid \d+ on .*: refused the worker with pid/,
  });
  await assert.rejects(joinRun(settingsFor(rig, 5), 10), { message: /no rank 5 for/ });
  await assert.rejects(joinRun(settingsFor(rig, null), 10), { message: /has its 3 workers/ });
  assert.equal(refusals.length, 3);
  for (const { link: own } of members) await own.close();
  rendezvous.close();
});

Deno.test("Rendezvous refuses other versions with both values, and ignores what isn't signed", async () => {
  await using rig = await startRig();
  const link = await rig.open("coordinator");
  const refusals: string[] = [];
  const rendezvous = await Rendezvous.open(link, {
    worldSize: 1,
    joinTimeout: 10,
    spawned: [],
    onRefused: (reason) => refusals.push(reason),
  });
  const old = await rig.open("worker old");
  const instance = crypto.randomUUID();
  const answers: string[] = [];
  old.subscribe(old.subjects.welcome(instance), {
    refusal: ({ header }) => answers.push(header.reason),
    welcome: () => answers.push("welcome"),
  });
  const fields = { instance, index: 0, pid: 1, host: "x", segmentProblem: null };
  const send = (altered: object, run = rig.run) => {
    const sender = { from: "worker old", link: "another", number: ++number };
    const header = makeHeader(sender, "join", fields, { crc: 0, tag: null });
    const { join } = old.subjects;
    old.publishFrame(join, signedFrame(run, join, { ...header, ...altered }));
  };
  let number = 0;
  send({ protocol: PROTOCOL_VERSION + 1, newField: 1 });
  send({ lockstep: "0.0.9" });
  send({}, makeRunIdentity("guess"));
  old.publishFrame(old.subjects.join, frameOfProtocol3({ protocol: 3, token: "t" }));
  send({ pid: "one" });
  for (let time = 0; time < 3; time++) await Promise.all([old.flush(), link.flush()]);
  const cure = "install the same Lockstep on every machine";
  assert.deepEqual(answers, [
    `Worker old speaks protocol ${
      PROTOCOL_VERSION + 1
    }, the coordinator ${PROTOCOL_VERSION}: ${cure}`,
    `Worker old is Lockstep 0.0.9, the coordinator ${LOCKSTEP_VERSION}: ${cure}`,
  ]);
  assert.deepEqual(refusals, answers);
  assert.deepEqual(link.refused, {
    unsigned: 1,
    replayed: 0,
    version: 3,
    malformed: 1,
    corrupt: 0,
  });
  rendezvous.close();
});

Deno.test("two runs on one server don't hear each other", async () => {
  await using rig = await startRig();
  const link = await rig.open("coordinator");
  const rendezvous = await Rendezvous.open(link, { worldSize: 1, joinTimeout: 10, spawned: [] });
  const other = { ...settingsFor(rig, 0), runId: `${rig.run.runId}x` };
  await assert.rejects(joinRun(other, 0.5), {
    message: "No welcome from the coordinator within 0.5 s",
  });
  assert.deepEqual(link.refused, {
    unsigned: 0,
    replayed: 0,
    version: 0,
    malformed: 0,
    corrupt: 0,
  });
  rendezvous.close();
});

Deno.test("Rendezvous.gather() fails with the last lines of a worker that ends early", async () => {
  await assert.rejects(startCoordinator({ count: 2, mode: "exit early" }), {
    name: "WorkerLostError",
    message:
      /^Rank 1 \(pid \d+\) exited with code 7 before it joined; its last lines:\n {2}\| out of cheese$/,
  });
});

Deno.test("Rendezvous.gather() names who did not join in time", async () => {
  const pids: number[] = [];
  const started = startCoordinator({
    count: 2,
    mode: "never join",
    joinTimeout: 15,
    onWorkers: (workers) => pids.push(...workers.map(({ pid }) => pid)),
  });
  await assert.rejects(started, {
    name: "LockstepError",
    message: /^Rank 1 did not join within 15 s \(1 of 2 workers are here\)[^]*\| still thinking$/,
  });
  for (const pid of pids) assert.ok(!await isRunning(pid));
});

/** A message as protocol 3 made it: without a checksum of the header. */
function frameOfProtocol3(header: object): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const frame = new Uint8Array(4 + json.length);
  new DataView(frame.buffer).setUint32(0, json.length, true);
  frame.set(json, 4);
  return frame;
}
