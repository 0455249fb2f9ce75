/**
 * Credentials for a nats-server in a file, and the prefix of a run's subjects.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { maskSecrets } from "../../src/base/secrets.ts";
import { validateConfig } from "../../src/config/load.ts";
import { nkeys } from "../../src/deps/nats_core.ts";
import { checkServer } from "../../src/protocol/check_server.ts";
import { readCredentials } from "../../src/protocol/credentials_file.ts";
import { serverAddress } from "../../src/protocol/server_address.ts";
import { makeJwtUser } from "../support/nats_jwt.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import type { Case } from "./case.ts";

const seedOf = (pair: ReturnType<typeof nkeys.createUser>) =>
  new TextDecoder().decode(pair.getSeed());
const [user, other] = [nkeys.createUser(), nkeys.createUser()];
const [jwt, otherJwt] = [makeJwtUser(), makeJwtUser()];

/** The text of a file, the server that knows it, another file of the kind, and the sentence about the latter. */
const ACCEPTED: [name: string, text: string, config: string, wrong: string, refusal: RegExp][] = [
  [
    "user:password, with colons and blanks",
    "me@corp:hidden: p/w#%\n",
    `authorization { users = [{ user: "me@corp", password: "hidden: p/w#%" }] }`,
    "me@corp:hidden-wrong",
    /refuses the credentials, user "me@corp" and a password: put /,
  ],
  [
    "a token",
    "  hidden-token\r\n",
    `authorization { token: "hidden-token" }`,
    "hidden-wrong",
    /refuses the credentials, a token: put /,
  ],
  [
    "an nkey's seed",
    `${seedOf(user)}\n`,
    `authorization { users = [{ nkey: ${user.getPublicKey()} }] }`,
    seedOf(other),
    /refuses the credentials, an nkey: put /,
  ],
  [
    "an nkey's seed as nk writes it",
    `-----BEGIN USER NKEY SEED-----\n${seedOf(user)}\n------END USER NKEY SEED------\n`,
    `authorization { users = [{ nkey: ${user.getPublicKey()} }] }`,
    seedOf(other),
    /refuses the credentials, an nkey: put /,
  ],
  [
    "a .creds file",
    jwt.creds,
    jwt.config,
    otherJwt.creds,
    /refuses the credentials, a JWT and its nkey: put /,
  ],
];

/** With another letter in the middle: of the last one, not all bits count. */
const damaged = seedOf(user).replace(
  /^(.{30})(.)/,
  (_, start, letter) => start + (letter === "A" ? "B" : "A"),
);

const REFUSED: [name: string, text: string, message: RegExp][] = [
  [
    "nothing",
    " \n",
    /which has nothing: write a \.creds file, the seed of a user's nkey \(SU…\), /,
  ],
  ["two lines", "me:hidden\nyou:hidden\n", /which has 2 lines: write /],
  ["a password alone", ":hidden", /which has a password and no user: write user:password/],
  ["an account's seed", seedOf(nkeys.createAccount()), /not a user's: name a user's seed, SU…/],
  ["a damaged seed", damaged, /whose nkey is damaged \(.*\): copy the file anew/],
  [
    "a .creds file without its seed",
    jwt.creds.slice(0, jwt.creds.indexOf("-----BEGIN USER")),
    /which has no user's seed/,
  ],
  [
    "a .creds file whose JWT is cut off",
    jwt.creds.replace(/-+END NATS USER JWT-+/, ""),
    /whose JWT is cut off: copy the file anew/,
  ],
  [
    "a private key of TLS",
    "-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----\n",
    /a private key of TLS: Lockstep has no certificate of its own to show/,
  ],
  ["64 KiB and more", "x".repeat(64 * 1024 + 1), /which can't be read: /],
];

function withFile(text: string, run: (path: string) => Promise<void>): Promise<void> {
  return withTemporaryFolder(async (folder) => {
    const path = join(folder, "credentials");
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    await run(path);
  });
}

/** Asserts that a call is refused by its first words and a pattern, without a secret in the sentence. */
function assertRefused(call: () => Promise<unknown>, beginning: string, message: RegExp) {
  return assert.rejects(call, (error: Error) => {
    assert.ok(error.message.startsWith(beginning), error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /hidden|\.$|SU[A-Z2-7]{20}|eyJ/);
    return true;
  });
}

const PREFIXES: [prefix: string, isGood: boolean][] = [
  ["lockstep.alice", true],
  ["team-a", true],
  ["a.b_c.d-1", true],
  ["lockstep.", false],
  [".alice", false],
  ["a..b", false],
  ["lockstep.*", false],
  ["lockstep.>", false],
  ["$SYS", false],
  ["two words", false],
  ["a".repeat(101), false],
  ["line\nbreak", false],
];

export const CASES: readonly Case[] = [
  ...ACCEPTED.map(([name, text, config, wrong, refusal]): Case => ({
    name: `nats.credentials: ${name}`,
    must: "lets in, and others of the kind are refused",
    run: async () => {
      await using server = await startPlainServer(config);
      await withFile(text, async (credentials) => {
        const address = await serverAddress({ url: server.url, credentials });
        await checkServer(address);
        const [secret = ""] = Object.values(address.credentials!).slice(-1);
        assert.equal(maskSecrets(`<${secret}>`), "<***>");
      });
      await withFile(wrong, async (credentials) => {
        const address = await serverAddress({ url: server.url, credentials });
        await assertRefused(() => checkServer(address), "The nats-server at 127.0.0.1:", refusal);
      });
    },
  })),
  ...REFUSED.map(([name, text, message]): Case => ({
    name: `nats.credentials: ${name}`,
    must: "is refused by what the file is",
    run: () =>
      withFile(text, (path) =>
        assertRefused(
          () => readCredentials(path, "nats.credentials"),
          `nats.credentials is ${path}, `,
          message,
        )),
  })),
  {
    name: "nats.credentials: a file that isn't there, a folder, one that others may read",
    must: "is refused",
    run: () =>
      withFile("me:hidden", async (path) => {
        const read = (file: string) => () => readCredentials(file, "nats.credentials");
        await assertRefused(read(`${path}x`), `nats.credentials is ${path}x, `, /doesn't exist/);
        await assertRefused(read(join(path, "..")), "nats.credentials is ", /can't be read/);
        for (const mode of [0o604, 0o602, 0o666]) {
          await Deno.chmod(path, mode);
          await assertRefused(
            read(path),
            "nats.credentials is ",
            /other users may open: chmod 600/,
          );
        }
        await Deno.chmod(path, 0o640);
        assert.deepEqual(await read(path)(), { user: "me", pass: "hidden" });
      }),
  },
  {
    name: "nats.credentials beside credentials in nats.url",
    must: "are refused: two kinds",
    run: () =>
      withFile("me:hidden", (credentials) =>
        assertRefused(
          () => serverAddress({ url: "nats://you:hidden@h:4222", credentials }),
          "The address of the nats-server has credentials, and nats.credentials names others: ",
          /leave one of them out$/,
        )),
  },
  ...PREFIXES.map(([prefix, isGood]): Case => ({
    name: `nats.prefix ${JSON.stringify(prefix).slice(0, 40)}`,
    must: isGood ? "is taken" : "is refused with how to write one",
    run: () => {
      const config = tinyConfig("images", { nats: { url: "nats://h:4222", prefix } });
      if (isGood) return assert.equal(validateConfig(config).nats.prefix, prefix);
      assert.throws(() => validateConfig(config), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.match(
          error.message,
          /nats\.prefix .*: write names of letters, digits, - and _ with /s,
        );
        return true;
      });
    },
  })),
  {
    name: "nats.ca, nats.credentials and nats.prefix without nats.url",
    must: "are refused",
    run: () => {
      for (const [key, value] of [["ca", "/a/ca.pem"], ["credentials", "/a/c"], ["prefix", "p"]]) {
        const config = tinyConfig("images", { nats: { [key!]: value } });
        assert.throws(() => validateConfig(config), (error: Error) => {
          assert.match(
            error.message,
            new RegExp(`nats\\.${key} is ${value}, but no server is named`),
          );
          return true;
        });
      }
    },
  },
  {
    name: "nats.url by name and by address",
    must: "is all that a worker may connect to",
    run: async () => {
      const reachOf = async (url: string) => (await serverAddress({ url })).reach;
      assert.deepEqual(await reachOf("nats://127.0.0.1:14222"), ["127.0.0.1:14222"]);
      assert.deepEqual(await reachOf("[::1]"), ["[::1]:4222"]);
      const [name, ...addresses] = await reachOf("tls://localhost:4333") ?? [];
      assert.equal(name, "localhost");
      assert.ok(addresses.length > 0);
      for (const address of addresses) assert.match(address, /^(127\.0\.0\.1|\[::1\]):4333$/);
      assert.deepEqual(await reachOf("nats://no-such-host.invalid"), ["no-such-host.invalid"]);
    },
  },
  {
    name: "nats-server: permissions on lockstep.alice.> alone",
    must: "are met with nats.prefix, and named without",
    run: async () => {
      await using server = await startPlainServer(
        `authorization { users = [{ user: alice, password: hidden, permissions: {
          publish: "lockstep.alice.>", subscribe: "lockstep.alice.>" } }] }`,
      );
      const url = server.url.replace("//", "//alice:hidden@");
      await checkServer(await serverAddress({ url, prefix: "lockstep.alice" }));
      const wrong = await serverAddress({ url, prefix: "lockstep.bob" });
      await assertRefused(
        () => checkServer(wrong),
        "The nats-server at 127.0.0.1:",
        /"alice" publish to lockstep\.bob\.\*\..* nor subscribe .* on lockstep\.bob\.>, or set nats\.prefix /,
      );
      const none = await serverAddress({ url });
      await assertRefused(
        () => checkServer(none),
        "The nats-server",
        /on lockstep\.>.*nats\.prefix/,
      );
    },
  },
];
