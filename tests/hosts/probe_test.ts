import assert from "node:assert/strict";
import { freePort, startBroker } from "../../src/hosts/broker.ts";
import { makeCertificate } from "../../src/hosts/own_certificate.ts";
import { probeServer } from "../../src/hosts/probe.ts";
import { reachLines, slowWays, type Way } from "../../src/hosts/reach_lines.ts";
import { placesOf } from "../../src/hosts/spawn.ts";
import { makeServerUsers } from "../../src/hosts/server_users.ts";
import { connectFailure } from "../../src/protocol/connect_failure.ts";
import { fingerprint } from "../../src/protocol/fingerprint.ts";
import { Handshake } from "../../src/protocol/handshake.ts";
import { hostCredentials } from "../../src/protocol/join_token.ts";
import { natsServerProgram } from "../support/nats_server.ts";

const executable = await natsServerProgram();
const token = "0123456789-a-token-abcdefghijklmnop";
const credentials = hostCredentials(token);

Deno.test("probeServer() tries all addresses, and measures the way to the server", async () => {
  const tls = await makeCertificate();
  await using broker = await startBroker({ executable, tls, users: makeServerUsers(token) });
  const server = {
    port: Number(new URL(broker.url).port),
    fingerprint: fingerprint(tls.certificate),
    credentials,
  };
  const addresses = ["no-such-name.invalid", "::1", "127.0.0.1"];
  const found = await probeServer({ ...server, addresses });
  assert.ok("url" in found, JSON.stringify(found));
  assert.equal(found.url, `tls://127.0.0.1:${server.port}`);
  assert.ok(found.rttMs > 0, `${found.rttMs} ms`);
  assert.ok(
    found.bytesPerSecond > 1e6 && found.bytesPerSecond < 1e11,
    `${found.bytesPerSecond} B/s`,
  );

  // Each way in which a server can't be used, in a sentence.
  const problem = async (
    other: Partial<Parameters<typeof probeServer>[0]>,
    timeoutMs = 30_000,
  ) => {
    const outcome = await probeServer({ ...server, addresses: ["127.0.0.1"], ...other }, {
      timeoutMs,
    });
    return "problem" in outcome ? outcome.problem : `reached ${outcome.url}`;
  };
  const free = await freePort("127.0.0.1");
  const firewalls =
    "Let port \\d+ through the firewalls, or name an address of that host that others reach " +
    "\\(hosts\\.address; --address of deno task worker\\)$";
  assert.match(
    await problem({ port: free, addresses: ["127.0.0.1", "::1"] }),
    new RegExp(
      `^127\\.0\\.0\\.1:${free}: connection refused: nothing listens there; \\[::1\\]:${free}: connection refused: nothing listens there\\. ${firewalls}`,
    ),
  );
  assert.match(
    await problem({ fingerprint: "ab".repeat(32) }),
    /^The nats-server at 127\.0\.0\.1:\d+ is not the one whose fingerprint was given: it has a certificate with/,
  );
  assert.match(
    await problem({ credentials: hostCredentials("another-token-0123456789-abcdefghij") }),
    /^The nats-server at 127\.0\.0\.1:\d+ refuses the credentials, an nkey$/,
  );
  assert.match(await problem({ addresses: [] }), /^it has no address$/);
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  assert.match(
    await problem({ port: silent.addr.port }, 700),
    /^127\.0\.0\.1:\d+: (a program accepts connections there and says nothing|no answer within 0\.7 s)\. Let port/,
  );
});

Deno.test("connectNats() says why a host is out of reach", () => {
  const reasons: [stage: "tcp" | "address", cause: Error, reason: RegExp][] = [
    [
      "tcp",
      new Error("No route to host (os error 113)"),
      /\(no route to that host: it is down, or in a network that this machine isn't in\)/,
    ],
    [
      "tcp",
      new Deno.errors.NetworkUnreachable("Network is unreachable (os error 101)"),
      /\(this machine isn't in that network\)/,
    ],
    [
      "tcp",
      new Error("timeout"),
      /\(no connection within 5 s: the host is down, or a firewall is between\)/,
    ],
    [
      "address",
      new Error("getaddrinfo ENOTFOUND 10.0.0.1"),
      /\(the name 10\.0\.0\.1 isn't known\)/,
    ],
    ["address", new Error("timeout"), /\(the name isn't resolved within 5 s\)/],
  ];
  for (const [stage, cause, reason] of reasons) {
    const handshake = new Handshake();
    handshake.stage = stage;
    const error = connectFailure(
      { url: "nats://10.0.0.1:4222", own: true },
      handshake,
      5_000,
      cause,
    );
    assert.match(error.message, reason);
  }
});

Deno.test("reachLines() has a line for each way, and slowWays() names the ways that are much slower than most", () => {
  const way = (from: string, to: string, megabytes: number): Way => ({
    from: `Host ${from}`,
    to: `Host ${to}`,
    url: `tls://10.0.0.${to}:4223`,
    rttMs: 0.2137,
    bytesPerSecond: megabytes * 1e6,
  });
  const ways = [
    way("0", "1", 117),
    way("1", "0", 116.5),
    way("0", "2", 11.2),
    way("2", "0", 117),
    way("1", "2", 117),
    way("2", "1", 117),
  ];
  assert.equal(reachLines(ways)[0], "Host 0 reaches host 1 at 10.0.0.1:4223: 0.21 ms, 117 MB/s");
  assert.equal(reachLines(ways).length, 6);
  assert.deepEqual(slowWays(ways), [
    "Host 0 reaches host 2 at 10.0.0.2:4223 with 11.2 MB/s, and most hosts each other with 117 MB/s or more: every step waits " +
    "for the slowest; name a faster interface by hosts.address or --address if there is one",
  ]);
  assert.deepEqual(slowWays([ways[0]!, ways[2]!]), [], "between two hosts none is most");
  assert.deepEqual(reachLines([...ways, ...ways, ...ways]), [
    "Host 0 reaches host 2 at 10.0.0.2:4223: 0.21 ms, 11.2 MB/s, the slowest of 18 ways between hosts",
  ]);
});

Deno.test("placesOf() permits a worker the server's address, and a name as it is, so that its addresses may be asked for", () => {
  assert.deepEqual(placesOf("10.0.0.1:4222"), ["10.0.0.1:4222"]);
  assert.deepEqual(placesOf("[fd00::1]:4222"), ["[fd00::1]:4222"]);
  assert.deepEqual(placesOf("gpu01.cluster:4222"), ["gpu01.cluster", "gpu01.cluster:4222"]);
});
