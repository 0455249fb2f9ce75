import assert from "node:assert/strict";
import { join } from "node:path";
import { MARK_VARIABLE } from "../../scripts/end_with_runner.ts";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { exists } from "../../src/base/paths.ts";
import { browserPath } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { allGone, commandLineOf, descendantsOf } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startProcess } from "../support/tiny_run.ts";

const TEST = join(PROJECT_ROOT, "tests/support/killed_runner.ts");
const RUNNERS = {
  "deno test": ["test", "--allow-all", "--no-check", TEST],
  "deno task test": ["run", "--allow-all", "scripts/test.ts", "--no-check", TEST],
};

for (const [name, args] of Object.entries(RUNNERS)) {
  Deno.test({
    name: `${name} that is killed leaves no server, no run, no worker and no browser behind`,
    ignore: Deno.build.os !== "linux",
    fn: () =>
      withTemporaryFolder(async (folder) => {
        const ready = join(folder, "ready");
        await using runner = startProcess(
          ["env", "-u", MARK_VARIABLE, Deno.execPath(), ...args],
          { cwd: PROJECT_ROOT, env: { LOCKSTEP_TEST_READY: ready, TMPDIR: folder } },
        );
        await Promise.race([
          eventually(async () => assert.ok(await exists(ready), runner.output())),
          runner.result.then(({ stdout, stderr }) => assert.fail(`It ended:\n${stdout}${stderr}`)),
        ]);
        const pids = await descendantsOf(runner.pid);
        const lines = (await Promise.all(pids.map(commandLineOf))).join("\n");
        assert.equal(lines.match(/^\S*nats-server\0/gm)?.length, 2, lines);
        assert.match(lines, /workers\/train_worker\.ts/);
        if (browserPath()) assert.match(lines, /--headless/);
        runner.kill("SIGKILL");
        await allGone(pids);
      }),
  });
}
