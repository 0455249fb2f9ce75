import assert from "node:assert/strict";
import { delay, within } from "../../src/base/async.ts";
import { CPU_DEVICE } from "../../src/base/compute_device.ts";
import { HeartbeatMonitor } from "../../src/cluster/heartbeat_monitor.ts";
import type { WorkerLostError } from "../../src/cluster/lost_worker.ts";
import { Rendezvous } from "../../src/cluster/rendezvous.ts";
import type { SpawnedWorker } from "../../src/hosts/spawn.ts";
import { BlobTransfers } from "../../src/protocol/blob_transfers.ts";
import { CommandClient, serveCommands } from "../../src/protocol/command_channel.ts";
import { HeartbeatSender } from "../../src/protocol/heartbeat_sender.ts";
import { Subjects } from "../../src/protocol/subjects.ts";
import { joinRun } from "../../src/worker/join.ts";
import { startRig } from "../support/nats_server.ts";

Deno.test("messages of the exchange reach nobody in another generation, all others do", async () => {
  await using rig = await startRig();
  const [coordinator, old] = [await rig.open("coordinator"), await rig.open("rank 1")];
  const heard: string[] = [];
  coordinator.enterGeneration(3);
  const { subjects } = coordinator;
  coordinator.subscribe(subjects.values("*"), {
    values: ({ header: { round } }) => heard.push(`values ${round}`),
  });
  coordinator.subscribe(subjects.reply, {
    reply: ({ header: { id } }) => heard.push(`reply ${id}`),
  });
  await coordinator.flush();
  for (const generation of [0, 2, 3, 4]) {
    old.enterGeneration(generation);
    old.publish(old.subjects.values(1), "values", { rank: 1, round: generation });
  }
  const reply = {
    worker: 1,
    error: null,
    blame: null,
    result: null,
    resultBytes: 0,
    payload: null,
  };
  old.publish(old.subjects.reply, "reply", { id: 7, ...reply });
  for (let time = 0; time < 3; time++) await Promise.all([old.flush(), coordinator.flush()]);
  assert.deepEqual(heard, ["values 3", "reply 7"]);
});

Deno.test("Subjects.patternsOfWorkers() fits the subjects of all generations", () => {
  const matches = (pattern: string, subject: string) =>
    new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^.]+")}$`).test(subject);
  const patterns = Subjects.patternsOfWorkers("run-1");
  for (const generation of [0, 1, 12]) {
    const subjects = new Subjects("run-1").ofGeneration(generation);
    const own = subjects.ofWorker("5f3c", 3);
    for (const side of ["listening", "speaking"] as const) {
      for (const subject of own[side]) {
        const isCovered = patterns[side].some((pattern) => matches(pattern, subject));
        assert.ok(isCovered, `${subject} in ${patterns[side]}`);
      }
    }
  }
});

Deno.test("a command is for some workers, ends the one before, and names them by the ranks with which they joined", async () => {
  await using rig = await startRig();
  const coordinator = await rig.open("coordinator");
  const transfers = await BlobTransfers.open(coordinator, "coordinator");
  const commands = await CommandClient.open(coordinator, transfers, 3);
  const done: string[] = [];
  const begun = Promise.withResolvers<void>();
  const closing: { close(): void }[] = [commands, transfers];
  for (const number of [0, 1, 2]) {
    const link = await rig.open(`rank ${number}`);
    const own = await BlobTransfers.open(link, `rank-${number}`);
    closing.push(own);
    await serveCommands(link, own, number, async ({ name, signal }) => {
      if (name === "long") {
        begun.resolve();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await delay(30); // its end comes before the next one's begin
        done.push(`long ended on ${number}`);
        return { result: "nobody waits for it" };
      }
      done.push(`${name} on ${number}`);
      return { result: number };
    });
  }
  const replies: unknown[] = [];
  const listener = await rig.open("listener");
  listener.subscribe(listener.subjects.reply, {
    reply: ({ header: { id, worker, result } }) => replies.push([id, worker, result]),
  });
  await listener.flush();
  const stop = new AbortController();
  const long = commands.callAll("long", null, { ranks: [2], signal: stop.signal });
  long.catch(() => {});
  await begun.promise;
  stop.abort(new Error("a loss"));
  await assert.rejects(long, /a loss/);
  assert.deepEqual(await commands.callAll("pause", null, { ranks: [2] }), [{ rank: 2, result: 2 }]);
  assert.deepEqual(done, ["long ended on 2", "pause on 2"]);
  assert.deepEqual(await commands.callAll("none", null, { ranks: [] }), []);

  commands.keep([1, 2]);
  commands.keep([1]); // the second of those
  assert.deepEqual(commands.numbers, [2]);
  assert.deepEqual(await commands.callAll("again", null, { ranks: [0] }), [{ rank: 0, result: 2 }]);
  for (let time = 0; time < 3; time++) await listener.flush();
  const ids = replies.map((reply) => (reply as number[])[0]);
  assert.ok(!ids.includes(1), "no reply to the command that was ended");
  assert.ok(replies.every((reply) => (reply as number[])[1] === 2));
  for (const each of closing) each.close();
});

Deno.test("Rendezvous.replace() welcomes the new processes alone, and keep() leaves some out", async () => {
  await using rig = await startRig();
  const link = await rig.open("coordinator");
  const refusals: string[] = [];
  const rendezvous = await Rendezvous.open(link, {
    ...{ worldSize: 2, joinTimeout: 10, spawned: [] },
    onRefused: (reason) => refusals.push(reason),
  });
  const settings = (index: number) => ({
    ...rig.run,
    nats: { url: rig.broker.url, credentials: rig.broker.workerCredentials },
    ...{ index, threads: 1, device: CPU_DEVICE, lostAfter: 5, reconnectTimeout: 5, segments: [] },
  });
  const first = rendezvous.gather(() => ({ job: "first" }));
  const members = await Promise.all([0, 1].map((index) => joinRun(settings(index), 10)));
  await first;
  const spawned = (pid: number): SpawnedWorker => ({
    ...{ index: 1, id: `0/${pid}`, pid, device: CPU_DEVICE, exited: new Promise(() => {}) },
    ...{ exit: undefined, lastLines: [] },
  });
  const controller = new AbortController();
  const waiting = assert.rejects(
    rendezvous.replace([spawned(1)], () => ({ job: "never" }), controller.signal),
    /nobody came/,
  );
  // Another process than the one that was started: one before it, whose last message comes late.
  await assert.rejects(joinRun(settings(1), 10), /Rank 1 is kept for another process/);
  controller.abort(new Error("nobody came"));
  await waiting;
  const second = rendezvous.replace([spawned(Deno.pid)], () => ({ job: "second", generation: 4 }));
  const member = await joinRun(settings(1), 10);
  assert.deepEqual([member.rank, member.job, member.generation], [1, "second", 4]);
  assert.deepEqual((await second).map(({ rank }) => rank), [0, 1]);
  rendezvous.keep([1]);
  await assert.rejects(joinRun(settings(1), 10), /This run has 1 workers: no rank 1/);
  await assert.rejects(joinRun(settings(0), 10), /Rank 0 is taken by pid/);
  assert.equal(refusals.length, 3);
  for (const each of [...members, member]) await each.link.close();
  rendezvous.close();
});

Deno.test("HeartbeatMonitor.watch() keeps what it knows, reports a loss once, and forgets those that are ended", async () => {
  await using rig = await startRig();
  const [link, worker] = [await rig.open("coordinator"), await rig.open("rank 2")];
  const lost: WorkerLostError[] = [];
  const exits = [0, 1, 2].map((index) => {
    const exited = Promise.withResolvers<NonNullable<SpawnedWorker["exit"]>>();
    const spawned: SpawnedWorker = {
      ...{
        index,
        id: `0/${100 + index}`,
        pid: 100 + index,
        device: CPU_DEVICE,
        exited: exited.promise,
      },
      ...{ exit: undefined, lastLines: [] },
    };
    const end = () => exited.resolve({ index, pid: 100 + index, code: 9, signal: null });
    return { spawned, end };
  });
  const workers = [0, 1, 2].map((rank) => ({
    ...{ rank, id: `0/${100 + rank}`, pid: 100 + rank },
    ...{ host: "here", hostIndex: 0, segmentProblem: null },
  }));
  const monitor = await HeartbeatMonitor.open(link, rig.broker, rig.run, {
    ...{ workers, spawned: exits.map(({ spawned }) => spawned) },
    ...{ lostAfter: 60, joinTimeout: 60, stallAfter: 60 },
    onLost: (error) => lost.push(error),
    onServerLost: (error) => assert.fail(error),
  });
  const sender = new HeartbeatSender({
    ...{ address: rig.broker, run: rig.run },
    ...{ from: "rank 2", subject: worker.subjects.workerHeartbeat(2) },
  });
  sender.at(4, 7);
  const until = async (isThere: () => boolean) => {
    const wait = async () => {
      while (!isThere()) await delay(20);
    };
    await within(wait(), 30_000, () => new Error("It never came"));
  };
  await until(() => monitor.lastHeartbeat(2)?.step === 7);
  monitor.inStep({ epoch: 4, step: 7 });
  exits[0]!.end();
  await until(() => lost.length === 1);
  monitor.forget(["0/101"]); // it is killed now
  exits[1]!.end();
  await delay(50);
  assert.deepEqual(lost.map(({ rank, pid }) => [rank, pid]), [[0, 100]]);
  assert.match(lost[0]!.message, /^Rank 0 \(pid 100\) exited with code 9 in epoch 4, step 7/);

  monitor.watch([{ ...workers[2]!, rank: 0 }], [exits[2]!.spawned]);
  assert.equal(monitor.lastHeartbeat(0)?.step, 7, "what is known stays");
  sender.rename({ from: "rank 0", subject: worker.subjects.workerHeartbeat(0) });
  sender.at(4, 8);
  await until(() => monitor.lastHeartbeat(0)?.step === 8);
  assert.deepEqual(monitor.heartbeats().map(({ rank, pid }) => [rank, pid]), [[0, 102]]);
  exits[2]!.end();
  await until(() => lost.length === 2);
  monitor.watch([{ ...workers[2]!, rank: 0 }], [exits[2]!.spawned]); // nobody is watched twice
  await delay(50);
  assert.deepEqual(lost.map(({ rank, pid }) => [rank, pid]), [[0, 100], [0, 102]]);
  sender.stop();
  monitor.close();
});
