import assert from "node:assert/strict";
import { join } from "node:path";
import { delay } from "../../src/base/async.ts";
import { connectNats } from "../../src/protocol/connection.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

Deno.test("connectNats() carries small and large messages between two connections, unchanged", async () => {
  await using server = await startPlainServer("max_payload: 8388608");
  const sender = await connectNats(server, { name: "sender" });
  const receiver = await connectNats({ url: server.url.replace("127.0.0.1", "localhost") }, {
    name: "receiver",
  });
  const lengths = [0, 1, 100, 65_535, 65_536, 1_000_000, 5, 8_388_608, 300_000, 2];
  const messages = lengths.map((length, index) =>
    Uint8Array.from({ length }, (_, at) => (at * 31 + index) & 0xff)
  );
  const arrived: Uint8Array[] = [];
  receiver.subscribe("bytes", { callback: (_, { data }) => void arrived.push(data.slice()) });
  await receiver.flush();
  for (let round = 0; round < 3; round++) {
    for (const message of messages) sender.publish("bytes", message);
  }
  await sender.flush();
  await receiver.flush();
  assert.deepEqual(arrived, [...messages, ...messages, ...messages]);
  await sender.close();
  await receiver.close();
  assert.ok(sender.isClosed() && receiver.isClosed());
});

Deno.test("connectNats() finds a server again that was killed in the middle of a large message", async () => {
  const server = await startPlainServer();
  const port = Number(new URL(server.url.replace("nats:", "http:")).port);
  const connection = await connectNats(server, { name: "patient" });
  const arrived: number[] = [];
  connection.subscribe("bytes", { callback: (_, { data }) => void arrived.push(data.length) });
  const news = (async () => {
    const seen = [];
    for await (const { type } of connection.status()) {
      seen.push(type);
      if (type === "reconnect") return seen;
    }
    return seen;
  })();
  for (let time = 0; time < 20; time++) connection.publish("bytes", new Uint8Array(1_000_000));
  await delay(1); // on its way, with luck in the middle of one
  await server[Symbol.asyncDispose]();
  await using _again = await startPlainServer("", port);
  const seen = await news;
  assert.ok(seen.includes("disconnect"), String(seen));
  arrived.length = 0;
  connection.publish("bytes", new Uint8Array(123_456));
  await connection.flush();
  assert.deepEqual(arrived, [123_456]);
  await connection.close();
});

Deno.test("connectNats() says what answers when it is no nats-server", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const answering = (async () => {
    for await (const connection of listener) {
      await connection.write(new TextEncoder().encode("SSH-2.0-OpenSSH_9.6\r\n"));
      connection.close();
    }
  })();
  await assert.rejects(connectNats({ url: `127.0.0.1:${port}` }, { name: "lost" }), {
    name: "LockstepError",
    message: new RegExp(
      `^No nats-server answers at 127\\.0\\.0\\.1:${port} \\(unexpected response`,
    ),
  });
  listener.close();
  await answering;
});

const hasOpenssl = await new Deno.Command("openssl", { args: ["version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

Deno.test("connectNats() speaks TLS, and refuses a certificate that nobody vouches for", {
  ignore: !hasOpenssl,
}, () =>
  withTemporaryFolder(async (folder) => {
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const request =
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
    const { success } = await new Deno.Command("openssl", {
      args: [
        ...request.split(" "),
        ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        ...["-addext", "basicConstraints=critical,CA:FALSE"],
        ...["-keyout", key, "-out", certificate],
      ],
      stderr: "null",
    }).output();
    assert.ok(success);
    await using server = await startPlainServer(
      `tls { cert_file: "${certificate}", key_file: "${key}" }`,
    );
    const url = server.url.replace("nats:", "tls:").replace("127.0.0.1", "localhost");
    const program = `
      import { connectNats } from ${
      JSON.stringify(new URL("../../src/protocol/connection.ts", import.meta.url).href)
    };
      const connection = await connectNats({ url: ${JSON.stringify(url)} }, { name: "secret" });
      let length = 0;
      connection.subscribe("bytes", { callback: (_, { data }) => void (length += data.length) });
      for (let time = 0; time < 5; time++) connection.publish("bytes", new Uint8Array(900_000));
      await connection.flush();
      await connection.close();
      console.log(length);`;
    const path = join(folder, "program.ts");
    await Deno.writeTextFile(path, program);
    const run = async (...flags: string[]) => {
      const args = [
        "run",
        "-A",
        "--no-check",
        "--config",
        join(PROJECT, "deno.json"),
        ...flags,
        path,
      ];
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
      const decoder = new TextDecoder();
      return { stdout: decoder.decode(stdout).trim(), stderr: decoder.decode(stderr) };
    };
    const trusting = await run("--cert", certificate);
    assert.equal(trusting.stdout, "4500000", trusting.stderr);
    assert.match(
      (await run()).stderr,
      /No nats-server answers at localhost:\d+ \(invalid peer certificate/,
    );
  }));
