/**
 * Troubles with a nats-server: each is said as what it is, with a cure.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { LockstepError, UsageError } from "../../src/base/errors.ts";
import { parseAddress } from "../../src/protocol/address.ts";
import { checkServer } from "../../src/protocol/check_server.ts";
import { connectFailure } from "../../src/protocol/connect_failure.ts";
import { connectNats } from "../../src/protocol/connection.ts";
import { Handshake } from "../../src/protocol/handshake.ts";
import { Link } from "../../src/protocol/link.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { readAuthorities, serverAddress } from "../../src/protocol/server_address.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { eventually } from "../support/eventually.ts";
import { type PlainServer, startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

/** Made by `scripts/make_certificates.ts`. */
const CERTIFICATES = new URL("../fixtures/certificates/", import.meta.url).pathname;

/** URLs, and what is wrong with them. */
const BAD_URLS: [url: string, message: RegExp][] = [
  ["http://h:4222", /not http:\/\/; write nats:\/\/host:4222/],
  ["ws://h:4222", /NATS over TCP \(nats:\/\/\) or TLS \(tls:\/\/\), not ws:\/\//],
  ["nats:h:4222", /two slashes belong behind nats:/],
  ["nats://", /it names no host/],
  ["nats://a:4222,nats://b:4222", /it names several servers, and one is needed/],
  ["nats://h:99999", /the port is "99999", and must be 1 to 65535/],
  ["nats://h:0", /the port is "0"/],
  ["nats://h:", /the port is ""/],
  ["nats://h:port", /the port is "port"/],
  ["nats://::1", /an IPv6 address stands in brackets, as in \[::1\]/],
  ["nats://a b:4222", /"a b" is no name of a host/],
  ["nats://h:4222/foo", /"\/foo" has no meaning behind the host and port/],
  ["nats://h:4222?x=1", /"\?x=1" has no meaning/],
  ["nats://:hidden@h", /it has a password and no user/],
  ["nats://me:hid/den@h:4222", /write "\/" as %2F;/],
  ["nats://me:12#hidden@h:4222", /write "#" as %23;/],
  ["nats://me:hidden%@h:4222", /write "%" as %25;/],
  ["nats://me:hidden%zz@h:4222", /write "%" as %25;/],
  ["nats://me@corp:hid@den:w/rd#%@127.0.0.1:14224", /write "\/" as %2F, "#" as %23, "%" as %25;/],
  ["nats://me:hidden?x@h", /write "\?" as %3F;/],
  ["nats://me:hidden%FF@h", /write "%" as %25/],
];

/** URLs that are fine, with what they mean. */
const GOOD_URLS: [url: string, server: string, credentials?: object][] = [
  ["h", "h:4222"],
  [" nats://h:4223/ ", "h:4223"],
  ["NATS://Host", "host:4222"],
  ["tls://[::1]:4333", "[::1]:4333"],
  ["nats://münchen.example", "xn--mnchen-3ya.example:4222"],
  ["nats://t%2Foken@h", "h:4222", { token: "t/oken" }],
  ["nats://me:p%40s%3As@h:80", "h:80", { user: "me", pass: "p@s:s" }],
  ["nats://me@corp:a:b@c@h", "h:4222", { user: "me@corp", pass: "a:b@c" }],
  ["me:pw@[fe80::1]", "[fe80::1]:4222", { user: "me", pass: "pw" }],
  ["nats://me:@h", "h:4222", { user: "me", pass: "" }],
];

function tlsBlock(name: string, more = ""): string {
  const file = (ending: string) => JSON.stringify(join(CERTIFICATES, `${name}.${ending}`));
  return `tls { cert_file: ${file("pem")}, key_file: ${file("key")}${more} }`;
}

/** A server's config, how it is spoken to, and the sentence. */
interface Refused {
  readonly name: string;
  readonly config: string;
  /** The address, made of the server's. */
  readonly url?: (url: string) => string;
  readonly ca?: string;
  readonly message: RegExp;
  /** True where the client finds out only by hearing nothing for a while. */
  readonly isSilent?: boolean;
}

const named = (url: string) => url.replace("127.0.0.1", "localhost");
const USERS = `authorization { users = [{ user: "me@corp", password: "p@ss:w/rd#%" }] }`;

const REFUSED: Refused[] = [
  {
    name: "no credentials",
    config: USERS,
    message:
      /^The nats-server at 127\.0\.0\.1:\d+ wants credentials, and none were given: put user:password@ or TOKEN@ before the host of the URL, by (?:nats\.url|--nats) or in the environment variable LOCKSTEP_NATS_URL, or name a file with them \(.*\) (?:by (?:--set )?nats\.credentials=FILE or )?in the environment variable LOCKSTEP_NATS_CREDENTIALS; /,
  },
  {
    name: "a wrong password",
    config: USERS,
    url: (url) => url.replace("//", "//me%40corp:hidden@"),
    message: /refuses the credentials, user "me@corp" and a password: put /,
  },
  {
    name: "a wrong token",
    config: `authorization { token: "right" }`,
    url: (url) => url.replace("//", "//hidden@"),
    message: /refuses the credentials, a token: put /,
  },
  {
    name: "a server without TLS behind tls://",
    config: "",
    url: (url) => url.replace("nats:", "tls:"),
    message: /speaks no TLS: write nats:\/\/127\.0\.0\.1:\d+, or give the server a tls block$/,
  },
  {
    name: "a server without TLS and nats.ca",
    config: "",
    ca: "ca",
    message: /speaks no TLS: leave out nats\.ca \(or the environment variable LOCKSTEP_NATS_CA\)/,
  },
  {
    name: "an unknown authority",
    config: tlsBlock("server"),
    url: named,
    message:
      /^The certificate of the nats-server at localhost:\d+ is signed by an authority that this machine doesn't know: .*nats\.ca.*LOCKSTEP_NATS_CA$/,
  },
  {
    name: "another authority than nats.ca",
    config: tlsBlock("server"),
    url: named,
    ca: "other_ca",
    message: /isn't signed by the authority that nats\.ca names/,
  },
  {
    name: "a certificate of another host",
    config: tlsBlock("other_host"),
    url: named,
    ca: "ca",
    message: /isn't made out to localhost: it is made out to broker\.example: /,
  },
  {
    name: "an expired certificate",
    config: tlsBlock("expired"),
    url: named,
    ca: "ca",
    message: /^The certificate .* expired on 2026-02-01: renew it/,
  },
  {
    name: "an authority's own certificate",
    config: tlsBlock("ca"),
    url: named,
    ca: "ca",
    message: /is that of an authority: give the server one of its own/,
  },
  {
    name: "a server that wants a client's certificate",
    config: tlsBlock("server", `, ca_file: "${join(CERTIFICATES, "ca.pem")}", verify: true`),
    url: named,
    ca: "ca",
    message: /wants a certificate of its client, and Lockstep has none to show: turn verify off/,
  },
  {
    name: "a server that wants TLS from the first byte",
    config: tlsBlock("server", ", handshake_first: true"),
    url: named,
    ca: "ca",
    message: /set handshake_first/,
    isSilent: true,
  },
  {
    name: "max_control_line of 64",
    config: "max_control_line: 64",
    message: /refuses lines as long as Lockstep's: set its max_control_line to at least 1024$/,
  },
];

const ALL = '"lockstep.>"';

/** The permissions of a server's user, and the expected message; no message where all is well. */
const RIGHTS: [name: string, permissions: string, message?: RegExp][] = [
  ["all on lockstep.>", `publish: ${ALL}, subscribe: ${ALL}`],
  [
    "nothing there, as in auth.conf",
    'publish: "foo.>", subscribe: ["foo.>", "_INBOX.>"]',
    /^The nats-server at 127\.0\.0\.1:\d+ doesn't let the user "limited" publish to lockstep\.\*\.heartbeat\.coordinator, lockstep\.\*\.command and \d+ other subjects, nor subscribe to lockstep\.\*\.join, .* and 16 other subjects: give it permission to publish and subscribe on lockstep\.>, or set nats\.prefix /,
  ],
  [
    "no publishing",
    `publish: { deny: ">" }, subscribe: ${ALL}`,
    /doesn't let the user "limited" publish to .* other subjects: give it permission to publish on lockstep\.>, or set nats\.prefix /,
  ],
  [
    "no subscribing",
    `publish: ${ALL}, subscribe: "foo"`,
    /"limited" subscribe to .* other subjects: give it permission to subscribe on lockstep\.>, or set nats\.prefix /,
  ],
  [
    "all but heartbeats of workers",
    `publish: { allow: ${ALL}, deny: "lockstep.*.heartbeat.worker.*" }, subscribe: ${ALL}`,
    /"limited" publish to lockstep\.\*\.heartbeat\.worker\.0: give it permission to publish on/,
  ],
];

function limited(permissions: string): string {
  return `authorization { users = [{ user: limited, password: hidden, permissions: { ${permissions} } }] }`;
}

const asLimited = (url: string) => url.replace("//", "//limited:hidden@");

/** The events on a link to a server during a run. */
const MIDST: {
  readonly name: string;
  readonly before: string;
  readonly url?: (url: string) => string;
  readonly act: (server: PlainServer, link: Link) => Promise<unknown>;
  readonly message: RegExp;
}[] = [
  {
    name: "a right is taken away",
    before: limited(`publish: ${ALL}, subscribe: ${ALL}`),
    url: asLimited,
    act: (server) => server.configure(limited(`publish: ${ALL}, subscribe: "foo"`)),
    message:
      /^The nats-server at .* doesn't let the user "limited" subscribe to lockstep\.test-\w+\.reply: /,
  },
  {
    name: "the password is changed",
    before: limited(`publish: ${ALL}, subscribe: ${ALL}`),
    url: asLimited,
    act: (server) =>
      server.configure(`authorization { users = [{ user: limited, password: another }] }`),
    message: /doesn't accept the credentials any more .*go on with --resume$/,
  },
  {
    name: "max_payload is made smaller",
    before: "",
    act: async (server, link) => {
      await server.configure("max_payload: 32KB");
      server.signal("SIGHUP");
      await eventually(() => {
        link.publish(link.subjects.reply, "refusal", { reason: "x" }, new Uint8Array(100_000));
        assert.ok(link.failed.aborted);
      });
    },
    message: /max_payload was made smaller while the run went on: restore it, or resume the run/,
  },
];

/** Programs that are no nats-server, by what they do with a connection. */
const STRANGERS: [
  name: string,
  act: (connection: Deno.TcpConn) => Promise<unknown>,
  message: RegExp,
  isSilent?: boolean,
][] = [
  [
    "SSH",
    (connection) => connection.write(new TextEncoder().encode("SSH-2.0-OpenSSH_9.6\r\n")),
    /^What answers at 127\.0\.0\.1:\d+ is no nats-server for clients: it says "SSH-2\.0-OpenSSH_9\.6": check host and port/,
  ],
  [
    "a web server",
    async (connection) => {
      await connection.read(new Uint8Array(1000));
      await connection.write(
        new TextEncoder().encode("HTTP/1.1 400 Bad Request 123456789\r\n\r\n"),
      );
    },
    /it is a web server, such as nats-server's own at its monitoring port.*4222 unless configured/,
    true, // until it is asked
  ],
  [
    "one that hangs up",
    () => Promise.resolve(),
    /\(it closed the connection\): check host and port/,
  ],
];

async function assertFails(
  address: { url: string; ca?: string | undefined },
  message: RegExp,
  isSilent = false,
): Promise<void> {
  const timeoutMs = isSilent ? 2_000 : 60_000;
  await withoutWaiting(
    60,
    () =>
      assert.rejects(connectNats(address, { name: "case", timeoutMs }), (error: Error) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hidden|\.$/);
        return true;
      }),
  );
}

/** Something between that can break off every connection. */
function startProxy(url: string): { url: string; cut(): void } & AsyncDisposable {
  const { port } = new URL(url.replace("nats:", "http:"));
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const close = (connection: Deno.TcpConn) => {
    if (open.delete(connection)) connection.close();
  };
  const carry = async (from: Deno.TcpConn, to: Deno.TcpConn) => {
    await from.readable.pipeTo(to.writable).catch(() => {});
    open.delete(from);
    open.delete(to);
  };
  const accepting = (async () => {
    for await (const connection of listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
      open.add(connection).add(server);
      void carry(connection, server);
      void carry(server, connection);
    }
  })();
  return {
    url: `nats://127.0.0.1:${listener.addr.port}`,
    cut: () => [...open].forEach(close),
    [Symbol.asyncDispose]: async () => {
      [...open].forEach(close);
      listener.close();
      await accepting;
    },
  };
}

async function withStranger(
  act: (connection: Deno.TcpConn) => Promise<unknown>,
  run: (url: string) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const answering = (async () => {
    for await (const connection of listener) {
      await act(connection);
      connection.close();
    }
  })();
  try {
    await run(`nats://127.0.0.1:${listener.addr.port}`);
  } finally {
    listener.close();
    await answering;
  }
}

export const CASES: readonly Case[] = [
  ...BAD_URLS.map(([url, message]): Case => ({
    name: `the URL ${url.replaceAll("hidden", "PASSWORD")}`,
    must: "is refused by what is wrong with it",
    run: () =>
      assert.throws(() => parseAddress({ url }), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, /^Not the URL of a nats-server: /);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hid|\.$/);
        return true;
      }),
  })),
  ...GOOD_URLS.map(([url, server, credentials]): Case => ({
    name: `the URL ${url}`,
    must: `means ${server}`,
    run: () => {
      const parsed = parseAddress({ url });
      assert.deepEqual([parsed.server, parsed.credentials], [server, credentials]);
    },
  })),
  ...REFUSED.map(({ name, config, url = (own) => own, ca, message, isSilent }): Case => ({
    name: `nats-server: ${name}`,
    must: "is said as what it is, with a cure",
    run: async () => {
      await using server = await startPlainServer(config);
      const file = ca && join(CERTIFICATES, `${ca}.pem`);
      await assertFails(await serverAddress({ url: url(server.url), ca: file }), message, isSilent);
    },
  })),
  {
    name:
      "nats-server: a private authority that nats.ca names, and a password with characters of URLs",
    must: "works",
    run: async () => {
      await using server = await startPlainServer(`${tlsBlock("server")}\n${USERS}`);
      const url = named(server.url).replace("//", "//me%40corp:p%40ss%3Aw%2Frd%23%25@");
      const address = await serverAddress({ url, ca: join(CERTIFICATES, "ca.pem") });
      const connection = await connectNats(address, { name: "case" });
      assert.equal(connection.info?.tls_required, true);
      await connection.close();
    },
  },
  {
    name: "nats-server: max_connections that are taken",
    must: "is said, with the number that Lockstep needs",
    run: async () => {
      await using server = await startPlainServer("max_connections: 1");
      const first = await connectNats(server, { name: "first" });
      await assertFails(
        server,
        /has as many clients as it may: raise max_connections; .* 2 connections/,
      );
      await first.close();
    },
  },
  ...STRANGERS.map(([name, act, message, isSilent]): Case => ({
    name: `what answers is ${name}`,
    must: "is said as what it is",
    run: () => withStranger(act, (url) => assertFails({ url }, message, isSilent)),
  })),
  ...RIGHTS.map(([name, permissions, message]): Case => ({
    name: `nats-server: a user who may do ${name}`,
    must: message ? "is told what may not be done, before the start" : "works",
    run: async () => {
      await using server = await startPlainServer(limited(permissions));
      const check = checkServer({ url: asLimited(server.url) });
      if (!message) return void await check;
      await assert.rejects(check, (error: Error) => {
        assert.match(error.message, message);
        return true;
      });
    },
  })),
  {
    name: "nats-server: max_subscriptions of 3, and max_payload of 1 KB and 64 KB",
    must: "are refused with what is needed; 64 KB works",
    run: async () => {
      await using few = await startPlainServer("max_subscriptions: 3");
      await assert.rejects(checkServer(few), {
        message: /refuses a subscription: raise max_subscriptions .* to at least 7 for each/,
      });
      await using small = await startPlainServer("max_payload: 1KB");
      await assert.rejects(checkServer(small), {
        name: "ServerRefusalError",
        message:
          /^The nats-server at .* lets messages of 1024 bytes through: set its max_payload to at least 16384$/,
      });
      await using enough = await startPlainServer("max_payload: 64KB");
      assert.equal((await checkServer(enough)).maxPayload, 65_536);
    },
  },
  ...MIDST.map(({ name, before, url = (own) => own, act, message }): Case => ({
    name: `nats-server: ${name} in the midst of a run`,
    must: "ends the run with a sentence",
    run: async () => {
      await using server = await startPlainServer(before);
      await using link = await Link.open({ url: url(server.url) }, makeRunIdentity("test"), "case");
      link.subscribe(link.subjects.reply, {});
      await link.flush();
      await act(server, link);
      await eventually(() => assert.ok(link.failed.aborted), { seconds: 30 });
      assert.ok(link.failed.reason instanceof LockstepError);
      assert.match(link.failed.reason.message, message);
      assert.doesNotMatch(link.failed.reason.message, /hidden/);
    },
  })),
  {
    name: "nats-server: lame duck mode",
    must: "is announced",
    run: async () => {
      await using server = await startPlainServer();
      await using link = await Link.open(server, makeRunIdentity("test"), "case");
      const notices: string[] = [];
      link.onNotice((message) => notices.push(message));
      server.signal("SIGUSR2");
      await eventually(() => assert.ok(notices.length > 0), { seconds: 30 });
      assert.match(notices[0], /^The nats-server at .* is about to stop \(lame duck mode\)/);
    },
  },
  {
    name: "nats-server: a connection that is broken off again and again",
    must: "ends the run, with what to look for",
    run: async () => {
      await using server = await startPlainServer();
      await using proxy = startProxy(server.url);
      await using link = await Link.open(proxy, makeRunIdentity("test"), "case");
      link.onReconnect(() => setTimeout(() => proxy.cut(), 20));
      proxy.cut();
      await eventually(() => assert.ok(link.failed.aborted), { seconds: 30 });
      assert.match(
        link.failed.reason.message,
        /broke off the connection 5 times within \d s, though it answers: .*Slow Consumer.*max_pending/,
      );
    },
  },
  {
    name: "a host, or a port, that isn't there",
    must: "is said as what it is",
    run: async () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr;
      listener.close();
      await assertFails(
        { url: `nats://127.0.0.1:${port}` },
        /\(connection refused: nothing listens there\): check host and port, and that the server runs, or leave out nats\.url to let Lockstep start one$/,
      );
      const address = { url: "nats://no-such-host.invalid" };
      const ways: [reason: string, message: RegExp][] = [
        [
          "getaddrinfo ENOTFOUND no-such-host.invalid",
          /\(the name no-such-host\.invalid isn't known\)/,
        ],
        ["getaddrinfo EAI_AGAIN no-such-host.invalid", /\(the name server doesn't answer\)/],
        [
          "No route to host (os error 113)",
          /\(no route to that host: it is down, or in a network that this machine isn.t in\)/,
        ],
      ];
      for (const [reason, message] of ways) {
        const failure = connectFailure(address, new Handshake(), 1_000, new Error(reason));
        assert.match(failure.message, message);
      }
    },
  },
  {
    name: "nats.ca that is no certificate",
    must: "is refused by what the file is",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const path = join(folder, "ca.pem");
        const assertRefused = (message: RegExp) =>
          assert.rejects(readAuthorities(path, "nats.ca"), (error: Error) => {
            assert.ok(
              error instanceof UsageError && error.message.startsWith(`nats.ca is ${path}, `),
            );
            assert.match(error.message, message);
            return true;
          });
        await assertRefused(/which doesn't exist: name a PEM file/);
        await Deno.mkdir(path);
        await assertRefused(/which is no file/);
        await Deno.remove(path);
        await Deno.writeFile(path, new Uint8Array([0x30, 0x82, 1, 2, 3]));
        await assertRefused(/no certificate in PEM form .*openssl x509 -inform der/);
        await Deno.copyFile(join(CERTIFICATES, "server.key"), path);
        await assertRefused(/a private key and no certificate/);
        const good = await Deno.readTextFile(join(CERTIFICATES, "ca.pem"));
        await Deno.writeTextFile(path, good.replace(/\n[^\n]+\n/, "\n"));
        await assertRefused(/whose certificate 1 is damaged/);
        await Deno.writeTextFile(path, `Subject: CA\n${good}\r\n${good}`);
        const both = await readAuthorities(path, "nats.ca");
        assert.equal(both.match(/BEGIN/g)?.length, 2);
      }),
  },
];
