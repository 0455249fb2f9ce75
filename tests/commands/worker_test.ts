import assert from "node:assert/strict";
import { join } from "node:path";
import { startBroker } from "../../src/hosts/broker.ts";
import { makeCertificate, ownFingerprint } from "../../src/hosts/own_certificate.ts";
import { makeServerUsers } from "../../src/hosts/server_users.ts";
import { makeToken } from "../../src/protocol/join_token.ts";
import { natsServerProgram } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startCommand } from "../support/tiny_run.ts";

const PRINT = "0123456789abcdef".repeat(4);
const SLURM = {
  SLURM_PROCID: "5",
  SLURM_LOCALID: "1",
  SLURM_NODEID: "2",
  SLURM_STEP_NODELIST: "gpu[1-3]",
};

Deno.test("worker says what is wrong with its settings, with exit code 2, and ends well where it has nothing to do", () =>
  withTemporaryFolder(async (folder) => {
    const tokenFile = join(folder, "token");
    await makeToken(tokenFile);
    const open = join(folder, "open");
    await Deno.writeTextFile(open, "0123456789abcdefghijklmnopqrstuvwxyz");
    await Deno.chmod(open, 0o644);
    const line = `nats://127.0.0.1:1#${PRINT}`;
    const cases: [args: string[], env: Record<string, string>, code: number, says: RegExp][] = [
      [[], {}, 2, /^error: Nothing to join is given: paste the line that the coordinator printed/],
      [
        ["--join", line],
        { LOCKSTEP_JOIN: "nats://b" },
        2,
        /^error: --join is .*, and LOCKSTEP_JOIN is nats:\/\/b: leave one of them out/,
      ],
      [
        ["--join", line],
        { LOCKSTEP_CACHE: folder },
        2,
        /join-token, which doesn't exist: copy the file here that the coordinator's host has/,
      ],
      [
        ["--join", line, "--token-file", open],
        {},
        2,
        /^error: --token-file is .*open, which other users may open: chmod 600/,
      ],
      [
        ["--join", line, "--token-file", tokenFile],
        {},
        2,
        /^error: --token-file is .*token, which isn't the token of the run in --join: copy the coordinator's file/,
      ],
      [["--connect", line], {}, 2, /--join/],
      [
        ["--token-file", tokenFile],
        SLURM,
        0,
        /^Task 1 of node gpu3 has nothing to do: task 0 starts all workers of the node/,
      ],
    ];
    const results = await Promise.all(
      cases.map(([args, env]) => runCommand(["worker", ...args], folder, env)),
    );
    for (const [at, { code, stdout, stderr }] of results.entries()) {
      const [args, , expected, says] = cases[at]!;
      assert.match(stderr + stdout, says, args.join(" "));
      assert.equal(code, expected);
      assert.doesNotMatch(stderr, /\n\s+at /, "no stack trace");
    }
  }));

Deno.test("worker refuses a server with another certificate, and shows its token nowhere", () =>
  withTemporaryFolder(async (folder) => {
    const tokenFile = join(folder, "token");
    const token = await makeToken(tokenFile);
    const tls = await makeCertificate(); // not the token's
    const executable = await natsServerProgram();
    await using server = await startBroker({ executable, tls, users: makeServerUsers(token) });
    const { port } = new URL(server.url);
    const print = await ownFingerprint(token);
    const address = `nats://127.0.0.1:${port}#${print}`;
    // Slurm may start a host before the coordinator has made the token in a shared folder.
    const later = join(folder, "later");
    await using early = startCommand(["worker"], folder, {
      LOCKSTEP_JOIN: `nats://127.0.0.1:${port}`,
      LOCKSTEP_TOKEN_FILE: later,
    });
    const [given, derived] = await Promise.all([
      runCommand(["worker", "--join", address, "--token-file", tokenFile], folder),
      early.result,
      early.seen(/Waiting for the token's file/).then(() => Deno.link(tokenFile, later)),
    ]);
    assert.match(
      derived.stdout,
      /^Waiting for the token's file .*later, which the coordinator makes$/m,
    );
    for (const { code, stdout, stderr } of [given, derived]) {
      assert.match(
        stderr,
        new RegExp(
          `^error: The nats-server at 127\\.0\\.0\\.1:${port} is not the one whose fingerprint was given: .*, and not ${print}: copy`,
          "m",
        ),
      );
      assert.equal(code, 1);
      assert.ok(!`${stdout}${stderr}`.includes(token));
    }
  }));
