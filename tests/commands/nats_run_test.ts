/**
 * Runs on a nats-server that somebody else runs: what they record of it, and what they do about strangers and limits.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { connectNats } from "../../src/protocol/connection.ts";
import { type LiveStatus, readLiveStatus } from "../../src/records/live_status.ts";
import { eventually } from "../support/eventually.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { signedFrame } from "../support/frames.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { PROTOCOL_VERSION } from "../../src/protocol/messages.ts";
import { newestRun, runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

const NATS_SERVER_VERSION = /^\d+\.\d+\.\d+/;

/** Listens to a run as a stranger who is let in by the server, and sends what the run must not accept. */
async function disturb(url: string): Promise<() => Promise<void>> {
  const connection = await connectNats({ url }, { name: "stranger" });
  const { key } = makeRunIdentity("guess");
  let done = false;
  connection.subscribe("lockstep.*.heartbeat.worker.*", {
    callback: (_, { subject, data }) => {
      if (done || data.length === 0) return; // empty ones try what the server allows
      done = true;
      const [, run] = subject.split(".");
      const envelope = {
        protocol: PROTOCOL_VERSION,
        lockstep: "1",
        from: "rank 0",
        kind: "reply",
        link: "another",
        number: 1,
        crc: 0,
        tag: null,
      };
      const [reply, heartbeat] = [`lockstep.${run}.reply`, `lockstep.${run}.heartbeat.coordinator`];
      connection.publish(subject, data); // came before
      connection.publish(reply, data); // is signed for another subject
      const damaged = data.slice();
      damaged[20] ^= 1;
      for (let time = 0; time < 300; time++) {
        connection.publish(reply, signedFrame({ key }, reply, envelope));
      }
      connection.publish(reply, "hello");
      connection.publish(reply, damaged);
      for (let time = 0; time < 5; time++) {
        connection.publish(heartbeat, signedFrame({ key }, heartbeat, envelope));
      }
    },
  });
  await connection.flush();
  return () => connection.close();
}

Deno.test("a run on a foreign server records it, counts strangers' messages and shows them; a user without rights is told", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await using server = await startPlainServer(`
      server_name: hall
      max_payload: 64KB
      authorization { users = [
        { user: good, password: hidden }
        { user: limited, password: hidden, permissions: { publish: "foo.>", subscribe: "foo.>" } }
      ] }`);
    const as = (user: string) => server.url.replace("//", `//${user}:hidden@`);
    const config = tinyConfig(root, { exchange: "nats", train: { epochs: 2_000 } });

    await using refused = await startTrain(folder, config, ["--nats", as("limited")]);
    const { code, stderr } = await refused.result;
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /^error: The nats-server at 127\.0\.0\.1:\d+ doesn't let the user "limited" publish .*give it permission to publish and subscribe on lockstep\.>, or set nats\.prefix .*\n$/m,
    );

    const doctor = await runCommand(["doctor", "--nats", as("limited")], folder);
    const printed = doctor.stdout.split("\n");
    const failed = printed.findIndex((line) => /^✗ nats-server at .*"limited" publish/.test(line));
    assert.ok(failed >= 0, doctor.stdout);
    assert.doesNotMatch(printed[failed + 1], /cure/, "the sentence has its cure");
    assert.doesNotMatch(doctor.stdout, /hidden/);

    const leave = await disturb(as("good"));
    await using run = await startTrain(folder, config, ["--nats", as("good")]);
    await run.seen(/Run folder: /);
    const out = await newestRun(join(folder, "runs"));
    let live: LiveStatus | undefined;
    await eventually(async () => {
      live = await readLiveStatus(out);
      assert.deepEqual(live?.refused, {
        unsigned: 301,
        replayed: 1,
        version: 0,
        malformed: 1,
        corrupt: 1,
        workers: 5,
      });
    });
    run.kill("SIGINT");
    assert.equal((await run.result).code, 130, run.output());
    await leave();

    const address = server.url.slice("nats://".length);
    const environment = JSON.parse(await Deno.readTextFile(join(out, "environment.json")));
    const { version, ...natsServer } = environment.natsServer;
    assert.match(version, NATS_SERVER_VERSION);
    assert.deepEqual(natsServer, {
      address,
      name: "hall",
      own: false,
      maxPayload: 65_536,
      tls: false,
    });
    const events = (await Deno.readTextFile(join(out, "events.jsonl"))).trim().split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      events.find(({ type }) => type === "joined").server,
      environment.natsServer,
    );
    const log = await Deno.readTextFile(join(out, "run.log"));
    const lines = log.split("\n").filter((line) => /on the run's subjects/.test(line));
    assert.equal(lines.length, 5, log);
    assert.match(lines[0], /Messages that came before come in .* only counted from now on$/);
    assert.match(lines[1], /Messages that aren't signed with the run's key come in /);
    assert.match(
      lines[4],
      /Refused messages of others on the run's subjects: 301 that aren't signed with the run's key, 1 that came before, 1 that are none of Lockstep's, 1 that arrived damaged, 5 by the workers$/,
    );
    const page = await Deno.readTextFile(join(out, "report.html"));
    assert.match(page, /nats-server[^]*hall[^]*messages up to/);
    assert.doesNotMatch(log + page + JSON.stringify([environment, events]), /hidden@|:hidden/);
  }));

Deno.test("a server that lets too few clients in is named when a heartbeat's connection is refused", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await using server = await startPlainServer("max_connections: 3");
    await using run = await startTrain(folder, tinyConfig(root), ["--nats", server.url]);
    const { code, stderr } = await run.result;
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /The nats-server at 127\.0\.0\.1:\d+ has as many clients as it may: raise max_connections; Lockstep needs 2 connections for each worker and for itself/,
    );
    assert.doesNotMatch(stderr, /^\s+at .*\.ts/m);
  }));
