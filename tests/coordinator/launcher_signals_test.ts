/** Signals as launchers send them: to whole groups, more than once, and with the terminal gone. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { delay } from "../../src/base/async.ts";
import { exists } from "../../src/base/paths.ts";
import { eventually } from "../support/eventually.ts";
import { makeImages } from "../support/images.ts";
import { allGone, descendantsOf, isRunning } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startInTerminal } from "../support/terminal_session.ts";
import {
  commandLine,
  lastState,
  newestRun,
  startProcess,
  tinyConfig,
} from "../support/tiny_run.ts";

const DENO_JSON = new URL("../../deno.json", import.meta.url).pathname;

/** A folder with a recipe of two workers that would train for minutes, and one for temporary files. */
async function withRecipe(
  use: (place: { folder: string; recipe: string; temporary: string }) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const recipe = join(folder, "config.yaml");
    await Deno.writeTextFile(
      recipe,
      stringify(tinyConfig(root, { workers: 2, train: { epochs: 3000 } })),
    );
    const temporary = join(folder, "tmp");
    await Deno.mkdir(temporary);
    await use({ folder, recipe, temporary });
  });
}

/** Asserts that a stopped run left a whole checkpoint and a report. */
async function assertStoppedInOrder(folder: string): Promise<void> {
  const run = await newestRun(join(folder, "runs"));
  const { epoch, model } = await lastState(run);
  assert.ok(epoch >= 2);
  assert.ok(model.every(Number.isFinite));
  assert.ok(await exists(join(run, "report.html")));
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

/** To whom a signal goes. */
const TARGETS: Record<string, (pid: number) => Promise<number[]>> = {
  "its process group": (pid) => Promise.resolve([-pid]),
  "each of its processes, the server's included": async (pid) => [...await descendantsOf(pid), pid],
};
for (const [target, pidsOf] of Object.entries(TARGETS)) {
  Deno.test(`SIGTERM to ${target} ends a run with code 143 and a checkpoint`, () =>
    withRecipe(async ({ folder, recipe, temporary }) => {
      const command = commandLine(["train", "--config", recipe]);
      const options = { cwd: folder, env: { TMPDIR: temporary }, detached: true };
      await using run = startProcess(command, options);
      await run.seen(/epoch +2\//);
      const started = await descendantsOf(run.pid);
      for (const pid of await pidsOf(run.pid)) {
        try {
          Deno.kill(pid, "SIGTERM");
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error; // a helper that had ended
        }
      }
      const { code, stderr } = await run.result;
      assert.equal(code, 143, stderr);
      assert.match(stderr, /^error: Interrupted by SIGTERM$/m);
      assert.doesNotMatch(stderr, /killed|Rank/);
      await assertStoppedInOrder(folder);
      await allGone(started);
      assert.deepEqual(await namesIn(temporary), []);
    }));
}

Deno.test("SIGTERM to the group while a run starts ends it with code 143, whenever it comes", () =>
  withRecipe(async ({ folder, recipe, temporary }) => {
    for (const ms of [150, 400, 700, 1000, 1400]) {
      const command = commandLine(["train", "--config", recipe]);
      const options = { cwd: folder, env: { TMPDIR: temporary }, detached: true };
      await using run = startProcess(command, options);
      await delay(ms);
      const started = await descendantsOf(run.pid);
      Deno.kill(-run.pid, "SIGTERM");
      const { code, stderr } = await run.result;
      assert.equal(code, 143, `after ${ms} ms: ${stderr}`);
      assert.doesNotMatch(stderr, /killed|Rank/);
      await allGone(started);
      assert.deepEqual(await namesIn(temporary), []);
    }
  }));

Deno.test("one Ctrl-C under `deno task`, which arrives twice, ends a run in order", () =>
  withRecipe(async ({ folder, recipe }) => {
    const task = [Deno.execPath(), "task", "--quiet", "--config", DENO_JSON, "train"];
    await using run = startInTerminal([...task, "--config", recipe], folder);
    await run.seen(/epoch +2\//);
    await run.press("c");
    const { code, stdout } = await run.result;
    assert.equal(code, 130, stdout);
    assert.match(stdout, /Stopping, with a checkpoint/);
    await assertStoppedInOrder(folder);
  }));

Deno.test("a closed terminal ends a run in order with code 129; under nohup the run goes on", () =>
  withRecipe(async ({ folder, recipe }) => {
    const command = commandLine(["train", "--config", recipe]);
    await using run = startInTerminal(command, folder);
    await run.seen(/epoch +2\//);
    await run.press("x");
    assert.equal((await run.result).code, 129);
    await assertStoppedInOrder(folder);

    await using other = startInTerminal(["nohup", ...command], folder);
    await other.seen(/terminal of \d+/);
    const pid = Number(/terminal of (\d+)/.exec(other.output())?.[1]);
    const log = () => Deno.readTextFile(join(folder, "nohup.out")).catch(() => "");
    while (!/epoch +2\//.test(await log())) await delay(50);
    await other.press("x");
    await delay(1000);
    assert.ok(await isRunning(pid), await log());
    Deno.kill(pid, "SIGTERM");
    assert.equal((await other.result).code, 143);
    await assertStoppedInOrder(folder);
  }));

Deno.test("Ctrl-C to its group ends `data check` with code 130 and no file, also while the image is painted", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 400, val: 100 });
    const interrupt = async (
      out: string,
      env: Record<string, string>,
      moment: () => Promise<void>,
    ) => {
      const command = commandLine(["data", "check", root, "--out", join(folder, out)]);
      await using check = startProcess(command, { cwd: folder, env, detached: true });
      await moment();
      const started = await descendantsOf(check.pid);
      try {
        Deno.kill(-check.pid, "SIGINT");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        // This process was held up for so long that the check is over.
      }
      const { code, stderr } = await check.result;
      await allGone(started);
      const written = await exists(join(folder, out)) ? await namesIn(join(folder, out)) : [];
      return { code, stderr, written: written.sort() };
    };
    const stopped = { code: 130, written: [] };
    for (const ms of [150, 400, 700]) {
      const { code, stderr, written } = await interrupt(`out-${ms}`, {}, () => delay(ms));
      // A signal that comes when the files are being written, or later, comes too late.
      const expected = code === 0 ? { code, written: ["data-check.png", "report.json"] } : stopped;
      assert.deepEqual({ code, written }, expected, `after ${ms} ms: ${stderr}`);
    }
    const { env, begun } = await slowPainter(folder);
    const { code, stderr, written } = await interrupt(
      "out",
      env,
      () => eventually(async () => assert.ok(await exists(begun)), { seconds: 60 }),
    );
    assert.deepEqual({ code, written }, stopped, stderr);
  }));

/** An environment in which the image takes a minute, and a file that is there from its beginning on. */
async function slowPainter(folder: string) {
  const programs = join(folder, "programs");
  const begun = join(folder, "begun");
  await Deno.mkdir(programs);
  await Deno.writeTextFile(
    join(programs, "sh"),
    `#!/bin/sh
case "$*" in *check_painter.ts*) trap '' INT; : > "${begun}"; exec sleep 60 ;; esac
exec /bin/sh "$@"
`,
    { mode: 0o700 },
  );
  return { env: { PATH: `${programs}:${Deno.env.get("PATH")}` }, begun };
}
