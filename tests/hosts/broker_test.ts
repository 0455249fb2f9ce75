import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import type { NatsConnection } from "nats";
import { delay } from "../../src/base/async.ts";
import { exists } from "../../src/base/paths.ts";
import { freePort, startBroker, writeServerConfig } from "../../src/hosts/broker.ts";
import { authorizationBlock, makeServerUsers } from "../../src/hosts/server_users.ts";
import { errors } from "../../src/deps/nats_core.ts";
import type { NatsAddress } from "../../src/protocol/address.ts";
import { checkServer } from "../../src/protocol/check_server.ts";
import { connectNats } from "../../src/protocol/connection.ts";
import { type SubjectLists, Subjects } from "../../src/protocol/subjects.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { natsServerProgram } from "../support/nats_server.ts";
import { eventually } from "../support/eventually.ts";
import { allGone, commandLineOf, descendantsOf, isRunning } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startProcess } from "../support/tiny_run.ts";

const executable = await natsServerProgram();

function portOf(url: string): number {
  return Number(url.split(":").at(-1));
}

/** TCP ports of all addresses that a process listens to. */
async function listeningPorts(pid: number): Promise<number[]> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `ls -l /proc/${pid}/fd; cat /proc/${pid}/net/tcp /proc/${pid}/net/tcp6`],
  }).output();
  const text = new TextDecoder().decode(stdout);
  const sockets = new Set(Array.from(text.matchAll(/socket:\[(\d+)\]/g), ([, inode]) => inode));
  return text.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === "0A" && sockets.has(inode) ? [parseInt(local.split(":")[1], 16)] : [];
  });
}

Deno.test("startBroker() serves its users alone, and leaves nothing behind", async () => {
  let pid = 0, port = 0;
  {
    await using broker = await startBroker({ executable });
    pid = broker.pid;
    port = portOf(broker.url);
    assert.ok(await isRunning(pid));
    const client = await connectNats(broker, { name: "test" });
    assert.ok((client.info?.max_payload ?? 0) >= 8 * 1024 * 1024);
    await client.close();
    await assert.rejects(connectNats({ url: broker.url, own: true }, { name: "stranger" }), {
      name: "CredentialsError",
      message: /^The nats-server at .* wants credentials, and none were given$/,
    });
    const other = { url: broker.url, credentials: makeServerUsers().worker.credentials, own: true };
    await assert.rejects(connectNats(other, { name: "stranger" }), {
      name: "CredentialsError",
      message: /^The nats-server at .* refuses the credentials, an nkey$/,
    });
    const commandLine = await commandLineOf(pid);
    const config = /\0(\/[^\0]*nats\.conf)/.exec(commandLine)![1];
    assert.ok(!await exists(dirname(config)), "the settings are gone from the disk");
    assert.deepEqual(await listeningPorts(pid), [port], "no monitoring port");
  }
  assert.ok(!await isRunning(pid));
  Deno.listen({ port, hostname: "127.0.0.1" }).close(); // the port is free again
});

Deno.test("startBroker() lets a run's users into the run's subjects alone, each into those of its role", async () => {
  await using broker = await startBroker({ executable, runId: "mine-1" });
  const worker = { url: broker.url, credentials: broker.workerCredentials };
  const refusedBy = async (address: NatsAddress, act: (connection: NatsConnection) => void) => {
    const connection = await connectNats(address, { name: "test" });
    const refused: string[] = [];
    const reading = (async () => {
      for await (const status of connection.status()) {
        if (status.type !== "error") continue;
        assert.ok(status.error instanceof errors.PermissionViolationError);
        refused.push(`${status.error.operation} ${status.error.subject}`);
      }
    })();
    act(connection);
    await connection.flush();
    await delay(0);
    await connection.close();
    await reading;
    return refused;
  };
  const use = ({ listening, speaking }: SubjectLists) => (connection: NatsConnection) => {
    listening.forEach((subject) => connection.subscribe(subject, { callback: () => {} }));
    speaking.forEach((subject) => connection.publish(subject));
  };
  const own = new Subjects("mine-1");
  const [coordinator, rank] = [own.ofCoordinator("an-instance", 3), own.ofWorker("an-instance", 3)];
  assert.deepEqual(await refusedBy(broker, use(coordinator)), []);
  assert.deepEqual(await refusedBy(worker, use(rank)), []);
  const elsewhere = ["lockstep.yours-2.>", "lockstep.>", ">", "$SYS.>", "_INBOX.>"];
  for (const address of [broker, worker]) {
    const act = use({ listening: elsewhere, speaking: ["lockstep.yours-2.command", "any"] });
    assert.deepEqual(
      (await refusedBy(address, act)).sort(),
      [
        ...elsewhere.map((subject) => `subscription ${subject}`),
        "publish lockstep.yours-2.command",
        "publish any",
      ].sort(),
    );
  }
  const commands = await refusedBy(worker, use({ listening: [], speaking: coordinator.speaking }));
  assert.deepEqual(commands, coordinator.speaking.map((subject) => `publish ${subject}`));
  const overheard = await refusedBy(worker, use({ listening: rank.speaking, speaking: [] }));
  assert.deepEqual(overheard, rank.speaking.map((subject) => `subscription ${subject}`));
});

Deno.test("a process that is killed while its server starts leaves no settings behind", () =>
  withTemporaryFolder(async (folder) => {
    // A server that never answers: the settings are there until it does.
    const slow = join(folder, "slow");
    await Deno.writeTextFile(slow, "#!/bin/sh\nexec sleep 60\n", { mode: 0o700 });
    const program = join(folder, "starts.ts");
    const broker = import.meta.resolve("../../src/hosts/broker.ts");
    await Deno.writeTextFile(
      program,
      `import { startBroker } from ${JSON.stringify(broker)};\n` +
        `await startBroker({ executable: ${JSON.stringify(slow)} });\n`,
    );
    const settings = () =>
      Array.fromAsync(Deno.readDir(folder), ({ name }) => name)
        .then((names) => names.filter((name) => name.startsWith("lockstep-nats-")));
    const config = new URL("../../deno.json", import.meta.url).pathname;
    await using starting = startProcess(
      [Deno.execPath(), "run", "-A", "--no-check", "--config", config, program],
      { env: { TMPDIR: folder } },
    );
    const started = () => descendantsOf(starting.pid);
    // The server, its guard, and what that waits with.
    await eventually(async () => assert.equal((await started()).length, 3, starting.output()), {
      seconds: 20,
    });
    assert.equal((await settings()).length, 1);
    const processes = await started();
    starting.kill("SIGKILL");
    await eventually(async () => assert.deepEqual(await settings(), []), { seconds: 5 });
    await allGone(processes);
  }));

Deno.test("writeServerConfig() writes no secret, and what only this user can read", async () => {
  const folder = await Deno.makeTempDir();
  const users = makeServerUsers();
  const authorization = authorizationBlock(users, "run-1");
  const settings = { name: "n", host: "127.0.0.1", port: 4222, authorization };
  const path = await writeServerConfig(folder, settings);
  const text = await Deno.readTextFile(path);
  for (const { publicKey, credentials } of Object.values(users)) {
    assert.match(text, new RegExp(publicKey));
    assert.ok("nkey" in credentials && !text.includes(credentials.nkey));
  }
  assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("startBroker() ends also when the server was stopped by a signal", async () => {
  const broker = await startBroker({ executable });
  Deno.kill(broker.pid, "SIGSTOP");
  await withoutWaiting(60, () => broker.stop());
  assert.equal((await broker.exited).signal, "SIGKILL");
  await broker.stop(); // a second time changes nothing
});

Deno.test("startBroker() tells when the server dies", async () => {
  await using broker = await startBroker({ executable });
  Deno.kill(broker.pid, "SIGKILL");
  assert.equal((await broker.exited).signal, "SIGKILL");
});

Deno.test("startBroker() ends its server when its own process is killed", async () => {
  const program = `
    import { startBroker } from ${JSON.stringify(import.meta.resolve("../../src/hosts/broker.ts"))};
    const broker = await startBroker({ executable: Deno.args[0] });
    console.log(broker.pid);
    await new Promise(() => setInterval(() => {}, 1000));`;
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/main.ts`, program);
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", "--config", config, `${folder}/main.ts`, executable],
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const pid = Number((await reader.read()).value);
  assert.ok(await isRunning(pid));
  process.kill("SIGKILL");
  await process.status;
  await reader.cancel();
  await allGone([pid]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("startBroker() refuses a port that is in use", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  await assert.rejects(startBroker({ executable, port }), {
    name: "UsageError",
    exitCode: 2,
    message: `Port ${port} is in use: choose another one, or leave it out`,
  });
});

Deno.test("startBroker() doesn't take another server at its port for its own", async () => {
  const port = await freePort("127.0.0.1");
  const folder = await Deno.makeTempDir();
  // Takes the port, lets everybody in, and ends when the broker's script does.
  await Deno.writeTextFile(
    `${folder}/squatter`,
    `#!/bin/sh\n${executable} --addr 127.0.0.1 --port ${port} &\nsleep 2\nkill $!\n`,
    { mode: 0o700 },
  );
  await assert.rejects(startBroker({ executable: `${folder}/squatter`, port }), {
    name: "LockstepError",
    message: /squatter exited with code 0 before it answered/,
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("startBroker() listens on the port that was asked for", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  await using broker = await startBroker({ executable, port });
  assert.equal(portOf(broker.url), port);
});

Deno.test("startBroker() names a program that isn't there or isn't a nats-server", async () => {
  await assert.rejects(startBroker({ executable: "/nowhere/nats-server" }), {
    name: "LockstepError",
    message: /\/nowhere\/nats-server.*deno task setup/,
  });
  // Many times: the guard and startBroker() remove the settings of a server that has ended, perhaps at one moment.
  const ended = Array.from(
    { length: 32 },
    async () =>
      await assert.rejects(startBroker({ executable: "/bin/true" }), {
        name: "LockstepError",
        message: /\/bin\/true.*exited with code 0/,
      }),
  );
  await Promise.all(ended);
});

Deno.test("checkServer() refuses wrong credentials in a sentence, and the process lives on", async () => {
  await using broker = await startBroker({ executable });
  for (let time = 0; time < 5; time++) {
    await assert.rejects(checkServer({ url: broker.url, credentials: { token: "wrong" } }), {
      name: "CredentialsError",
      message: /^The nats-server at 127\.0\.0\.1:\d+ refuses the credentials/,
    });
  }
  await checkServer(broker);
});

Deno.test("checkServer() says that nothing answers", async () => {
  using silent = Deno.listen({ port: 0, hostname: "127.0.0.1" }); // accepts, and never says a word
  const closed = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  closed.close();
  for (const { port } of [silent.addr, closed.addr]) {
    await withoutWaiting(
      60,
      () =>
        assert.rejects(checkServer({ url: `nats://secret@127.0.0.1:${port}` }, 1_000), {
          name: "LockstepError",
          message: new RegExp(`^No nats-server answers at 127\\.0\\.0\\.1:${port} \\(`),
        }),
    );
  }
});

Deno.test("checkServer() refuses what is not the URL of a nats-server", async () => {
  for (const url of ["http://localhost:4222", "nats://", "nats://a b"]) {
    await assert.rejects(checkServer({ url }), { name: "UsageError" });
  }
});
