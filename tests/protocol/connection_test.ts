import assert from "node:assert/strict";
import { delay, within } from "../../src/base/async.ts";
import { connectNats } from "../../src/protocol/connection.ts";
import { serverAddress } from "../../src/protocol/server_address.ts";
import { startPlainServer } from "../support/nats_server.ts";

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

Deno.test("connectNats() finds a server again that ends in the moment in which it has let the client in", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const info = { server_id: "x", version: "2.15.1", max_payload: 1_048_576, proto: 1 };
  let accepted = 0;
  const serving = (async () => {
    for await (const connection of listener) {
      const isLast = ++accepted === 6;
      await connection.write(new TextEncoder().encode(`INFO ${JSON.stringify(info)}\r\n`));
      const answering = (async () => {
        for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
          for (const _ of text.matchAll(/^PING/gm)) {
            await connection.write(new TextEncoder().encode("PONG\r\n"));
          }
          if (!isLast && text.includes("PING")) return;
        }
      })();
      if (!isLast) await answering.catch(() => {});
    }
  })();
  const connection = await connectNats({ url: `nats://127.0.0.1:${port}` }, { name: "patient" });
  while (accepted < 6) await delay(20);
  await within(connection.flush(), 20_000, () => new Error("it takes itself for connected"));
  await connection.close();
  listener.close();
  await serving;
});

Deno.test("connectNats() carries large messages over TLS", async () => {
  const certificates = new URL("../fixtures/certificates/", import.meta.url).pathname;
  await using server = await startPlainServer(
    `tls { cert_file: "${certificates}server.pem", key_file: "${certificates}server.key" }`,
  );
  const url = server.url.replace("nats:", "tls:").replace("127.0.0.1", "localhost");
  const address = await serverAddress({ url, ca: `${certificates}ca.pem` });
  const connection = await connectNats(address, { name: "secret" });
  let length = 0;
  connection.subscribe("bytes", { callback: (_, { data }) => void (length += data.length) });
  for (let time = 0; time < 5; time++) connection.publish("bytes", new Uint8Array(900_000));
  await connection.flush();
  await connection.close();
  assert.equal(length, 4_500_000);
});
