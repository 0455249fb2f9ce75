import assert from "node:assert/strict";
import { dirname } from "node:path";
import { connect } from "nats";
import { exists } from "../../src/base/paths.ts";
import { startBroker, writeServerConfig } from "../../src/cluster/broker.ts";
import { checkServer } from "../../src/protocol/check_server.ts";
import { natsServerProgram } from "../support/nats_server.ts";
import { allGone, commandLineOf, isRunning } from "../support/processes.ts";

const executable = await natsServerProgram();

function portOf(url: string): number {
  return Number(url.split(":").at(-1));
}

Deno.test("startBroker() serves holders of its token, and leaves nothing behind", async () => {
  let pid = 0, port = 0;
  {
    await using broker = await startBroker({ executable });
    pid = broker.pid;
    port = portOf(broker.url);
    assert.ok(await isRunning(pid));
    const client = await connect({ servers: `127.0.0.1:${port}`, token: broker.token });
    assert.ok((client.info?.max_payload ?? 0) >= 8 * 1024 * 1024);
    await client.close();
    const commandLine = await commandLineOf(pid);
    const config = /\0(\/[^\0]*nats\.conf)/.exec(commandLine)![1];
    assert.ok(!await exists(dirname(config)), "the secret is gone from the disk");
    assert.ok(!commandLine.includes(broker.token), "arguments are visible to other users");
  }
  assert.ok(!await isRunning(pid));
  Deno.listen({ port, hostname: "127.0.0.1" }).close(); // the port is free again
});

Deno.test("writeServerConfig() writes what only this user can read", async () => {
  const folder = await Deno.makeTempDir();
  const path = await writeServerConfig(folder, { host: "127.0.0.1", port: 4222, token: "secret" });
  assert.match(await Deno.readTextFile(path), /secret/);
  assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("startBroker() ends within 2 s, also when the server was stopped by a signal", async () => {
  const broker = await startBroker({ executable });
  Deno.kill(broker.pid, "SIGSTOP");
  const begin = performance.now();
  await broker.stop();
  assert.ok(performance.now() - begin < 2_000);
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
    import { startBroker } from ${
    JSON.stringify(import.meta.resolve("../../src/cluster/broker.ts"))
  };
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
  await allGone([pid], 5);
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
  await assert.rejects(startBroker({ executable: "/bin/true" }), {
    name: "LockstepError",
    message: /\/bin\/true.*exited with code 0/,
  });
});

Deno.test("checkServer() refuses a wrong token in a sentence, and the process lives on", async () => {
  await using broker = await startBroker({ executable });
  for (let time = 0; time < 5; time++) {
    await assert.rejects(checkServer({ url: broker.url, token: "wrong" }), {
      name: "CredentialsError",
      message: /^The nats-server at 127\.0\.0\.1:\d+ refuses the credentials/,
    });
  }
  await checkServer(broker);
  await checkServer({ url: broker.url.replace("//", `//${broker.token}@`) });
});

Deno.test("checkServer() says soon that nothing answers", async () => {
  using silent = Deno.listen({ port: 0, hostname: "127.0.0.1" }); // accepts, and never says a word
  const closed = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  closed.close();
  for (const { port } of [silent.addr, closed.addr]) {
    const begin = performance.now();
    await assert.rejects(checkServer({ url: `nats://secret@127.0.0.1:${port}` }, 1_000), {
      name: "LockstepError",
      message: new RegExp(`^No nats-server answers at 127\\.0\\.0\\.1:${port} \\(`),
    });
    assert.ok(performance.now() - begin < 3_000);
  }
});

Deno.test("checkServer() refuses what is not the URL of a nats-server", async () => {
  for (const url of ["http://localhost:4222", "nats://", "nats://a b"]) {
    await assert.rejects(checkServer({ url }), { name: "UsageError" });
  }
});
