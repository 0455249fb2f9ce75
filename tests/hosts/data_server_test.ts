import assert from "node:assert/strict";
import { DataServer } from "../../src/hosts/data_server.ts";
import { freePort } from "../../src/hosts/broker.ts";
import { makeCertificate } from "../../src/hosts/own_certificate.ts";
import { openServer } from "../../src/hosts/run_server.ts";
import { natsServerProgram } from "../support/nats_server.ts";

const program = await natsServerProgram();

Deno.test("a data server takes the first free port of those that firewalls were told, or any other", async () => {
  const nkey = DataServer.makeNkey();
  const host = "127.0.0.1";
  const firstPort = Math.min(await freePort(host), 65_000);
  const listeners = [Deno.listen({ hostname: host, port: firstPort })];
  const options = { program, host, addresses: [host], onWarning: () => {} };
  const start = () => DataServer.start(nkey, { ...options, firstPort });
  try {
    {
      await using one = await start();
      await using other = await start();
      assert.ok(one.reachable.port > firstPort && one.reachable.port < firstPort + 8);
      assert.ok(other.reachable.port > one.reachable.port && other.reachable.port < firstPort + 8);
    }
    for (let port = firstPort + 1; port < firstPort + 8; port++) {
      try {
        listeners.push(Deno.listen({ hostname: host, port }));
      } catch {
        // another program has it
      }
    }
    await using any = await start();
    assert.ok(any.reachable.port < firstPort || any.reachable.port >= firstPort + 8);
  } finally {
    listeners.forEach((listener) => listener.close());
  }
});

Deno.test("openServer() refuses to listen for other machines without TLS", async () => {
  await using stack = new AsyncDisposableStack();
  const listeners = { onWarning: () => {}, onLost: () => {} };
  await assert.rejects(openServer({ program, host: "0.0.0.0" }, stack, listeners), {
    name: "UsageError",
    message: /^Other machines reach 0\.0\.0\.0, so a server may not listen there without TLS: /,
  });
  const tls = await makeCertificate();
  const { address } = await openServer({ program, host: "0.0.0.0", tls }, stack, listeners);
  assert.match(address.url, /^tls:\/\/127\.0\.0\.1:/);
});
