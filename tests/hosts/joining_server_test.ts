import assert from "node:assert/strict";
import { join } from "node:path";
import { delay, within } from "../../src/base/async.ts";
import { type Broker, startBroker } from "../../src/hosts/broker.ts";
import { makeCertificate } from "../../src/hosts/own_certificate.ts";
import { makeServerUsers } from "../../src/hosts/server_users.ts";
import type { NatsAddress } from "../../src/protocol/address.ts";
import { connectNats } from "../../src/protocol/connection.ts";
import { announcingName, fingerprint } from "../../src/protocol/fingerprint.ts";
import { hostCredentials, makeToken } from "../../src/protocol/join_token.ts";
import { natsServerProgram, startPlainServer } from "../support/nats_server.ts";
import { eventually } from "../support/eventually.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const executable = await natsServerProgram();

/** The address of a server as another host knows it. */
function joining(broker: Broker, token: string, print: string, host = "127.0.0.1"): NatsAddress {
  const { port } = new URL(broker.url);
  return { url: `nats://${host}:${port}`, credentials: hostCredentials(token), fingerprint: print };
}

Deno.test("a server that hosts join is known by its fingerprint, lets in its token alone, and speaks TLS alone", () =>
  withTemporaryFolder(async (folder) => {
    const token = await makeToken(join(folder, "token"));
    const tls = await makeCertificate();
    const print = fingerprint(tls.certificate);
    const users = makeServerUsers(token);
    const log: string[] = [];
    const options = { executable, tls, users, host: "0.0.0.0", runId: "mine-1" };
    await using broker = await startBroker({ ...options, onLine: (line) => log.push(line) });
    const { port } = new URL(broker.url);
    assert.equal(broker.url, `tls://127.0.0.1:${port}`);

    // The coordinator and a host hear each other; by any name and address of the machine.
    const coordinator = await connectNats(broker, { name: "coordinator" });
    const host = await connectNats(joining(broker, token, print, "localhost"), { name: "host" });
    const heard: string[] = [];
    coordinator.subscribe("lockstep.hosts.join", {
      callback: (_, { data }) => void heard.push(new TextDecoder().decode(data)),
    });
    await coordinator.flush();
    host.publish("lockstep.hosts.join", "here I am");
    await host.flush();
    await coordinator.flush();
    assert.deepEqual(heard, ["here I am"]);
    await coordinator.close();

    // Wrong fingerprint, wrong token, no token, no TLS.
    const refused = async (address: NatsAddress, message: RegExp) =>
      await assert.rejects(connectNats(address, { name: "stranger" }), { message });
    const other = fingerprint((await makeCertificate()).certificate);
    await refused(
      joining(broker, token, other),
      new RegExp(
        `^The nats-server at 127\\.0\\.0\\.1:${port} is not the one whose fingerprint was given: it has a certificate with the fingerprint ${print}, and not ${other}: copy the line again`,
      ),
    );
    await refused(
      joining(broker, "0123456789-another-token-abcdefghij", print),
      /refuses the credentials, an nkey/,
    );
    await refused(
      { url: joining(broker, token, print).url, fingerprint: print },
      /wants credentials, and none were given/,
    );
    await refused(
      { url: `nats://127.0.0.1:${port}`, credentials: hostCredentials(token) },
      /is signed by an authority that this machine doesn't know/,
    );
    using plain = await Deno.connect({ port: Number(port) });
    const words = `CONNECT {"verbose":false,"user":"a","pass":"b"}\r\nPING\r\n`;
    await plain.write(new TextEncoder().encode(words));
    const answers = await within(allOf(plain), 60_000, () => new Error("it waits"));
    assert.doesNotMatch(answers, /PONG/, "a plain client isn't let in");

    // A host may not do what the coordinator and workers do.
    const rights: string[] = [];
    void (async () => {
      for await (const status of host.status()) {
        if (status.type === "error") rights.push(String(status.error.message));
      }
    })();
    for (
      const subject of [
        "lockstep.mine-1.command",
        "lockstep.mine-1.join",
        "lockstep.other-2.host.x",
      ]
    ) {
      host.publish(subject);
      host.subscribe(subject, { callback: () => {} });
    }
    host.publish("lockstep.mine-1.host.x");
    await host.flush();
    await delay(0);
    assert.equal(rights.length, 6, rights.join("\n"));
    await host.close();

    // No secret is in sight.
    const seen = [await textsOf(broker.pid), ...log].join("\n");
    for (const secret of [token, hostCredentials(token).nkey, tls.key.split("\n")[1]!]) {
      assert.ok(!seen.includes(secret));
    }
    assert.match(seen, /nats-server/);
  }));

Deno.test("a host finds the server again that was restarted with its certificate, and not one with another", async () => {
  const token = "0123456789-a-token-abcdefghijklmnop";
  const tls = await makeCertificate();
  const users = makeServerUsers(token);
  const broker = await startBroker({ executable, tls, users });
  const port = Number(new URL(broker.url).port);
  const host = await connectNats(joining(broker, token, fingerprint(tls.certificate)), {
    name: "host",
  });
  const news: string[] = [];
  void (async () => {
    for await (const { type } of host.status()) news.push(type);
  })();
  await broker.stop();
  {
    await using _impostor = await startBroker({
      executable,
      tls: await makeCertificate(),
      users,
      port,
    });
    await delay(1_200); // four attempts
    assert.ok(news.includes("disconnect") && !news.includes("reconnect"), news.join());
  }
  await using _again = await startBroker({ executable, tls, users, port });
  await eventually(() => assert.ok(news.includes("reconnect")));
  await host.flush();
  await host.close();
});

Deno.test("connectNats() with a fingerprint refuses servers without TLS, and without a certificate to show", async () => {
  const print = "ab".repeat(32);
  const certificates = new URL("../fixtures/certificates/", import.meta.url).pathname;
  const files = `cert_file: "${certificates}server.pem", key_file: "${certificates}server.key"`;
  await using plain = await startPlainServer();
  await using secured = await startPlainServer(`tls { ${files} }`);
  const refused = async (url: string, message: RegExp) =>
    await assert.rejects(connectNats({ url, fingerprint: print }, { name: "x" }), {
      name: "ServerRefusalError",
      message,
    });
  await refused(plain.url, /speaks no TLS, so it is not the one whose fingerprint was given: copy/);
  await refused(
    secured.url,
    /is not the one whose fingerprint was given: it shows no certificate of Lockstep's: copy/,
  );
});

Deno.test("a server copies another's certificate in vain", async () => {
  const tls = await makeCertificate();
  const own = await makeCertificate();
  // It shows the other's certificate, and has its own in TLS.
  await withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/c.pem`, own.certificate);
    await Deno.writeTextFile(`${folder}/k.pem`, own.key);
    await using impostor = await startPlainServer(
      `server_name: "${
        announcingName("x", tls.certificate)
      }"\ntls { cert_file: "${folder}/c.pem", key_file: "${folder}/k.pem" }`,
    );
    const address = { url: impostor.url, fingerprint: fingerprint(tls.certificate) };
    await assert.rejects(connectNats(address, { name: "x" }), {
      name: "ServerRefusalError",
      message:
        /is not the one whose fingerprint was given: it shows that server's certificate, and has another: copy/,
    });
  });
});

Deno.test("startBroker() serves with a given certificate, whose authority the clients know", async () => {
  const at = (name: string) =>
    Deno.readTextFile(new URL(`../fixtures/certificates/${name}`, import.meta.url));
  const ca = await at("ca.pem");
  const tls = {
    certificate: await at("server.pem"),
    key: await at("server.key"),
    name: "localhost",
    ca,
  };
  const token = "0123456789-a-token-abcdefghijklmnop";
  await using broker = await startBroker({ executable, tls, users: makeServerUsers(token) });
  const { port } = new URL(broker.url);
  const credentials = hostCredentials(token);
  const client = await connectNats({ url: `tls://localhost:${port}`, ca, credentials }, {
    name: "host",
  });
  assert.ok(!client.info?.server_name?.includes(":"), "such a certificate isn't shown");
  await client.close();
  const address = { url: `tls://localhost:${port}`, ca: await at("other_ca.pem"), credentials };
  await assert.rejects(connectNats(address, { name: "host" }), {
    message: /isn't signed by the authority that nats\.ca names/,
  });
});

Deno.test("startBroker() listens at IPv6 addresses", async () => {
  const tls = await makeCertificate();
  await using broker = await startBroker({ executable, tls, host: "::1" });
  assert.match(broker.url, /^tls:\/\/\[::1\]:\d+$/);
});

/** All that a connection says until it is closed. */
async function allOf(connection: Deno.TcpConn): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(65_536);
  try {
    for (
      let count = await connection.read(buffer);
      count !== null;
      count = await connection.read(buffer)
    ) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  return text;
}

/** The arguments and the environment of a process. */
async function textsOf(pid: number): Promise<string> {
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`],
  }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("a server that is plain on loopback speaks TLS with those who know its fingerprint, and plain text with its own machine", async () => {
  const tls = await makeCertificate();
  const options = { executable, tls, host: "0.0.0.0", plainOnLoopback: true };
  await using broker = await startBroker(options);
  const { credentials } = broker;
  const url = broker.url.replace("tls:", "nats:");
  const protocols = [{ plain: true }, { fingerprint: fingerprint(tls.certificate) }].map(
    async (own) => {
      const connection = await connectNats({ url, credentials, ...own }, { name: "test" });
      const isEncrypted =
        (connection as unknown as { protocol: { transport: { isEncrypted(): boolean } } })
          .protocol.transport.isEncrypted();
      await connection.close();
      return isEncrypted;
    },
  );
  assert.deepEqual(await Promise.all(protocols), [false, true]);
  const stranger = { url, plain: true, credentials: makeServerUsers().coordinator.credentials };
  await assert.rejects(connectNats(stranger, { name: "stranger" }), {
    name: "CredentialsError",
  });
});
