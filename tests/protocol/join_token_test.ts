import assert from "node:assert/strict";
import { join } from "node:path";
import { nkeys } from "../../src/deps/nats_core.ts";
import { maskSecrets } from "../../src/base/secrets.ts";
import {
  ensureToken,
  hostCredentials,
  lobbyKey,
  makeToken,
  readToken,
} from "../../src/protocol/join_token.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("makeToken() makes a file for this user alone, and readToken() reads it", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "sub", "token");
    const token = await makeToken(path);
    assert.match(token, /^[\w-]{43}$/);
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    assert.equal(await readToken(path), token);
    assert.equal(maskSecrets(`the token ${token} is shown`), "the token *** is shown");
    assert.notEqual(await makeToken(join(folder, "other")), token);
    await assert.rejects(makeToken(path), {
      name: "UsageError",
      message: `Cannot make a token in ${path}: the file is there already: remove it first`,
    });
    assert.equal(await readToken(path), token, "the file is as it was");
    await assert.rejects(makeToken(join(path, "below")), {
      name: "UsageError",
      message: `Cannot make a token in ${path}/below: ${path} is a file, where a folder belongs`,
    });
    // Two coordinators that start at the same moment have the same token.
    const both = join(folder, "both");
    const tokens = await Promise.all([ensureToken(both, "x"), ensureToken(both, "x")]);
    assert.equal(tokens[0].token, tokens[1].token);
    assert.deepEqual(tokens.map(({ isNew }) => isNew).sort(), [false, true]);
    assert.deepEqual(
      Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(),
      ["both", "other", "sub"],
    );
  }));

Deno.test("hostCredentials() and lobbyKey() derive secrets that are the same on every host, and tell nothing of each other", () => {
  const token = "a-token-for-tests-0123456789-abcdefghij";
  const { nkey } = hostCredentials(token);
  assert.deepEqual(hostCredentials(token), { nkey });
  assert.match(nkey, /^SU[A-Z2-7]{56}$/);
  assert.match(nkeys.fromSeed(new TextEncoder().encode(nkey)).getPublicKey(), /^U[A-Z2-7]{55}$/);
  assert.match(lobbyKey(token), /^[\w-]{43}$/);
  // From Python: HMAC of hashlib, extract and expand of RFC 5869.
  assert.equal(lobbyKey(token), "N4mOrktcF4DvrrDsVutPKbIVyM9QnLowW8BGI_S6XRk");
  assert.notEqual(lobbyKey(`${token}x`), lobbyKey(token));
  assert.notEqual(hostCredentials(`${token}x`).nkey, nkey);
});

Deno.test("readToken() refuses files that others may open, and what is no token", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "token");
    const good = "0123456789abcdefghijklmnopqrstuvwxyz";
    const written = async (text: string, mode = 0o600) => {
      await Deno.writeTextFile(path, text);
      await Deno.chmod(path, mode);
      return readToken(path, "LOCKSTEP_TOKEN_FILE");
    };
    for (const text of [good, `${good}\n`, `\n  ${good}\r\n`]) {
      assert.equal(await written(text), good);
    }
    assert.equal(await written(good, 0o400), good);
    const isRoot = (await Deno.stat(path)).uid === 0;
    for (const mode of [0o604, 0o644, 0o666, 0o620, ...(isRoot ? [] : [0o640])]) {
      await assert.rejects(written(good, mode), {
        name: "UsageError",
        exitCode: 2,
        message: `LOCKSTEP_TOKEN_FILE is ${path}, which other users may open: chmod 600 ${path}`,
      });
    }
    const refused: [text: string, reason: RegExp][] = [
      ["", /which has nothing in it: a token is one line/],
      ["\n\n", /which has nothing in it/],
      [`${good}\n${good}\n`, /which has 2 lines/],
      ["short", /whose token can be guessed \(5 characters\)/],
      ["x".repeat(64), /whose token can be guessed \(64 characters\)/],
      ["0123456789abcdef 0123456789abcdef", /whose line has spaces or odd characters/],
      ["0123456789abcdefghijklmnopqrstüvwxyz", /whose line has spaces or odd characters/],
      [
        `nats://10.0.0.1:4222#${"ab".repeat(32)}`,
        /which holds an address: give the address to --join/,
      ],
      [good.repeat(40), /which has 1440 characters/],
      [`${good}\n`.repeat(200), /can't be read: it has 7400 bytes, and at most 4096 are read/],
    ];
    for (const [text, message] of refused) {
      await assert.rejects(written(text), { name: "UsageError", message });
    }
    await assert.rejects(readToken(join(folder, "none")), {
      name: "UsageError",
      message: /^--token-file is .*none, which doesn't exist: copy the file here that/,
    });
    await assert.rejects(readToken(folder), { name: "UsageError", message: /it is a folder/ });
  }));
