/**
 * A nats-server that several users share, set up by the steps of docs/security.md.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { delay } from "../../src/base/async.ts";
import { errors } from "../../src/deps/nats_core.ts";
import { connectNats } from "../../src/protocol/connection.ts";
import { serverAddress } from "../../src/protocol/server_address.ts";
import { eventually } from "../support/eventually.ts";
import { makeImages } from "../support/images.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const CERTIFICATES = join(PROJECT, "tests/fixtures/certificates");
const PASSWORDS = { ALICE: "alice-hidden", BOB: "bob-hidden", CAROL: "carol-hidden" };

/** The blocks of code of the section on shared servers. */
async function steps(): Promise<string[]> {
  const page = await Deno.readTextFile(join(PROJECT, "docs/security.md"));
  const section = page.slice(page.indexOf("## A shared server"));
  return Array.from(section.matchAll(/^```\w+\n(.*?)^```$/gms), ([, code = ""]) => code);
}

async function shell(folder: string, code: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-ec", code],
    cwd: folder,
    env: PASSWORDS,
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

async function hasOpenssl(): Promise<boolean> {
  return await new Deno.Command("openssl", { args: ["version"], stdout: "null", stderr: "null" })
    .output().then(({ success }) => success, () => false);
}

/** Subscribes to subjects, as far as the server allows; collects what is heard, and the subjects that are denied. */
async function eavesdrop(connection: NatsConnection, subjects: readonly string[]) {
  const heard = new Map<string, Uint8Array>();
  const denied: string[] = [];
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type !== "error") continue;
      assert.ok(status.error instanceof errors.PermissionViolationError, String(status.error));
      denied.push(status.error.subject);
    }
  })();
  for (const subject of subjects) {
    connection.subscribe(subject, {
      callback: (error, message) => {
        if (!error) heard.set(message.subject, message.data.slice());
      },
    });
  }
  await connection.flush();
  await delay(0);
  return { heard, denied };
}

Deno.test("the steps of docs/security.md: two runs on one server over TLS, whose users can't read each other", () =>
  withTemporaryFolder(async (folder) => {
    const [authority, certificate, conf, alices] = await steps();
    if (await hasOpenssl()) {
      await shell(folder, authority!);
      await shell(folder, certificate!);
      assert.equal((await Deno.stat(join(folder, "server.key"))).mode! & 0o777, 0o600);
    } else {
      console.log("openssl isn't installed: the certificates are those of tests/fixtures");
      for (const name of ["ca.pem", "server.pem", "server.key"]) {
        await Deno.copyFile(join(CERTIFICATES, name), join(folder, name));
      }
    }
    await using server = await startPlainServer(conf!.replace(/^port: .*$/m, ""), -1, {
      cwd: folder,
      env: PASSWORDS,
    });
    const url = `tls://localhost:${server.url.split(":").at(-1)}`;
    const [writeCredentials, ...train] = alices!.split("\n");
    await shell(folder, writeCredentials!);
    const flags = train.join(" ").replaceAll("\\", " ").trim().split(/\s+/)
      .map((word) => word.replace("tls://localhost:4222", url));
    assert.deepEqual(flags.splice(0, 3), ["deno", "task", "train"]);

    const connectAs = async (user: "alice" | "bob" | "carol") => {
      const password = PASSWORDS[user.toUpperCase() as keyof typeof PASSWORDS];
      const own = url.replace("//", `//${user}:${password}@`);
      const address = await serverAddress({ url: own, ca: join(folder, "ca.pem") });
      return await connectNats(address, { name: user });
    };
    const [alice, bob, carol] = [
      await connectAs("alice"),
      await connectAs("bob"),
      await connectAs("carol"),
    ];
    const own = await eavesdrop(alice, ["lockstep.alice.>"]);
    const neighbour = await eavesdrop(bob, [
      ">",
      "lockstep.>",
      "lockstep.alice.>",
      "lockstep.bob.>",
    ]);
    const stranger = await eavesdrop(carol, [">"]);
    assert.deepEqual(own.denied, []);
    assert.deepEqual(neighbour.denied.sort(), [">", "lockstep.>", "lockstep.alice.>"]);

    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { exchange: "nats", train: { epochs: 1 } });
    await using first = await startTrain(folder, config, flags);
    const hers = join(folder, "carol");
    await Deno.mkdir(hers);
    await using second = await startTrain(hers, { ...config, name: "carols" }, [
      ...["--nats", url.replace("//", `//carol:${PASSWORDS.CAROL}@`)],
      ...["--set", "nats.ca=../ca.pem"],
    ]);
    for (const { code, stderr } of await Promise.all([first.result, second.result])) {
      assert.equal(code, 0, stderr);
    }
    await eventually(() => assert.ok(own.heard.size > 0 && stranger.heard.size > 0));
    const runs = (heard: ReadonlyMap<string, unknown>) =>
      new Set([...heard.keys()].map((subject) => subject.replace(/-\w{8}\..*/, "")));
    assert.deepEqual(runs(own.heard), new Set(["lockstep.alice.check", "lockstep.alice.tiny"]));
    assert.deepEqual(runs(stranger.heard), new Set(["lockstep.check", "lockstep.carols"]));
    assert.deepEqual([...neighbour.heard], []);
    // Neither key, token nor password is in what travels.
    const bytes = Array.from(own.heard.values(), (data) => new TextDecoder("latin1").decode(data));
    assert.doesNotMatch(bytes.join(), /hidden|"token"|"key"/);
    await Promise.all([alice.close(), bob.close(), carol.close()]);

    const other = join(CERTIFICATES, "other_ca.pem");
    const doctor = await runCommand(["doctor", "--nats", url], folder, { LOCKSTEP_NATS_CA: other });
    assert.match(
      doctor.stdout,
      /^✗ .*The certificate of the nats-server at localhost:\d+ isn't signed by the authority that nats\.ca names/m,
    );
  }));
