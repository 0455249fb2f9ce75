import assert from "node:assert/strict";
import { join } from "node:path";
import { makeRun } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startCommand } from "../support/tiny_run.ts";

Deno.test("dashboard serves a folder of runs until it is interrupted", () =>
  withTemporaryFolder(async (folder) => {
    const runs = join(folder, "runs");
    await makeRun(runs, "first");
    await using dashboard = startCommand(["dashboard", "--port", "0"], folder);
    await dashboard.seen(/Dashboard of runs: http:\/\/127\.0\.0\.1:\d+\/ /);
    dashboard.kill("SIGINT");
    const { code, stderr, stdout } = await dashboard.result;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.doesNotMatch(stdout, /token/);
  }));

Deno.test("dashboard prints the token of another address once, and refuses what it can't listen at", () =>
  withTemporaryFolder(async (folder) => {
    await makeRun(join(folder, "runs"), "first");
    await using dashboard = startCommand(["dashboard", "--host", "0.0.0.0", "--port", "0"], folder);
    await dashboard.seen(/http:\/\/0\.0\.0\.0:\d+\/\?token=[0-9a-f]{32} /);
    dashboard.kill("SIGTERM");
    assert.equal((await dashboard.result).stdout.match(/token=/g)?.length, 1);
    const refused: [string[], RegExp][] = [
      [
        ["--host", "192.0.2.1"],
        /^error: dashboard\.host 192\.0\.2\.1 is no address of this machine/,
      ],
      [["--runs", "nowhere"], /^error: There is no folder nowhere: .*--runs/],
      [["--port", "http"], /^error: --port is http: give a whole number/],
      [["--port", "70000"], /^error: --port is 70000: give a port up to 65535/],
    ];
    for (const [args, expected] of refused) {
      const { code, stderr } = await runCommand(["dashboard", ...args], folder);
      assert.equal(code, 2, stderr);
      assert.match(stderr, expected);
    }
  }));

Deno.test("train refuses a port of the dashboard that is taken, before it makes a folder", () =>
  withTemporaryFolder(async (folder) => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const out = join(folder, "runs");
    const args = ["train", "--out", out, "--dashboard", String(port)];
    const { code, stderr } = await runCommand(args, folder);
    assert.equal(code, 2, stderr);
    assert.match(
      stderr,
      new RegExp(`^error: Port ${port} of 127\\.0\\.0\\.1 is taken: name another with --dashboard`),
    );
    await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  }));
