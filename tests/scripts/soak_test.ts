import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import {
  checkEnd,
  checkFinished,
  checkNothingLeft,
  finishedRecord,
  Violation,
} from "../../scripts/soak/invariants.ts";
import { FAULT_KINDS } from "../../scripts/soak/faults.ts";
import { RECIPES } from "../../scripts/soak/recipes.ts";
import { processesOf, RUN_VARIABLE, segmentsOf } from "../../scripts/soak/run_processes.ts";
import { describeScenario, drawScenario } from "../../scripts/soak/scenario.ts";
import { createSharedSegment, mapSharedSegment } from "../../src/base/shared_memory.ts";
import { makeImages } from "../support/images.ts";
import { runDeno } from "../support/run_deno.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startProcess, tinyConfig } from "../support/tiny_run.ts";

Deno.test("two minutes of random faults: each run ends with the bits of an undisturbed one, and leaves nothing", async () => {
  const { code, stdout, stderr } = await runDeno(
    ["task", "soak", "--minutes", "2", "--seed", "1", "--recipes", "4"],
  );
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^\d+ runs with [1-9]\d* faults in \d\.\d minutes, each with the bits of/m);
});

Deno.test("the soak test draws its runs from seed and number alone, and all kinds of faults among them", () => {
  const texts = (seed: number) =>
    Array.from({ length: 400 }, (_, index) => describeScenario(drawScenario(seed, index)));
  assert.deepEqual(texts(1), texts(1));
  assert.notDeepEqual(texts(1), texts(2));
  const all = texts(1).join("\n");
  for (const { name } of FAULT_KINDS) assert.ok(all.includes(name), name);
  for (const { name } of RECIPES) assert.ok(all.includes(name), name);
  const few = Array.from(
    { length: 400 },
    (_, index) => drawScenario(1, index, { recipes: 2, hasDisks: false }),
  );
  assert.ok(few.every(({ recipe }) => RECIPES.indexOf(recipe) < 2));
  assert.ok(few.every(({ needsDisk }) => !needsDisk));
});

Deno.test("checkNothingLeft() finds a process, a port, a temporary file and shared memory that a run has left", () =>
  withTemporaryFolder(async (folder) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const port = (listener.addr as Deno.NetAddr).port;
    const mark = crypto.randomUUID();
    const held = { mark, port, segments: [], temporary: folder };
    await using process = startProcess(["sleep", "60"], { env: { [RUN_VARIABLE]: mark } });
    const fails = (pattern: RegExp, more: object = {}) =>
      assert.rejects(checkNothingLeft({ ...held, ...more }, 0), (error: Error) => {
        assert.ok(error instanceof Violation);
        assert.match(error.message, pattern);
        return true;
      });
    while ((await processesOf(mark)).length === 0);
    await fails(new RegExp(`Still running after 0 s:\n${process.pid}: .*sleep 60`));
    process.kill("SIGKILL");
    await process.result;
    await fails(new RegExp(`Port ${port} .* still listens`));
    listener.close();
    await Deno.writeTextFile(join(folder, "server.conf"), "");
    await fails(/Temporary files are left: server\.conf/);
    await Deno.remove(join(folder, "server.conf"));
    {
      using segment = createSharedSegment("lockstep-test", 4096);
      mapSharedSegment(segment.path, 4096);
      const segments = await segmentsOf([Deno.pid]);
      assert.equal(segments.length, 1);
      await fails(new RegExp(`still mapped by /proc/${Deno.pid}/maps`), { segments });
    }
    // Through a shell: Deno opens /dev only to programs that may do everything.
    const shell = async (script: string) => {
      const { stdout } = await new Deno.Command("sh", { args: ["-c", script, "sh", mark] })
        .output();
      return new TextDecoder().decode(stdout).trim();
    };
    const inode = await shell(
      'cd /dev/shm && : > "lockstep-test-$1" && stat -c %i "lockstep-test-$1"',
    );
    await fails(new RegExp(`/dev/shm has ${inode} lockstep-test-${mark}`), { segments: [inode] });
    await shell('rm "/dev/shm/lockstep-test-$1"');
    assert.ok(await checkNothingLeft(held) < 5);
  }));

Deno.test("checkEnd() takes the codes that a fault allows, with a sentence and without a stack trace", () => {
  const end = (code: number, stderr: string) => ({ code, stdout: "", stderr });
  checkEnd(end(0, ""), []);
  checkEnd(end(1, "error: Rank 0 was killed\n"), [1]);
  checkEnd(end(137, ""), [137]);
  assert.throws(() => checkEnd(end(1, "error: Rank 0 was killed\n"), [130]), /The exit code is 1/);
  assert.throws(() => checkEnd(end(1, "Rank 0\n"), [1]), /no sentence/);
  assert.throws(() => checkEnd(end(1, "error: x\n    at f (a.ts:1)\n"), [1]), /stack trace/);
});

Deno.test("checkFinished() finds another loss, a gap, a damaged checkpoint and a lock", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const { folder: run } = await train(tinyConfig(root));
    const expected = await finishedRecord(run);
    await checkFinished(run, expected);
    const spoil = async (name: string, change: (text: string) => string, pattern: RegExp) => {
      const path = join(run, name);
      const text = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, change(text));
      await assert.rejects(checkFinished(run, expected), pattern);
      await Deno.writeTextFile(path, text);
    };
    await spoil(
      "history.json",
      (text) => text.replace(/"loss":(\s*)0?\.?\d/, '"loss":$17'),
      /differs from the undisturbed/,
    );
    await spoil("losses.csv", (text) => text.replace(/\n.*\n/, "\n"), /differs from the undist/);
    await spoil("checkpoints/last/checkpoint.json", (text) => text.slice(9), /last can't be read/);
    await Deno.writeTextFile(join(run, ".lock"), "");
    await assert.rejects(checkFinished(run, expected), /The run folder has \.lock/);
  }));
