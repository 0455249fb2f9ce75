import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { followPointers } from "../../src/base/pointer.ts";
import { createRunFolder, pointLatest } from "../../src/records/run_folder.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const NOW = new Date(2026, 2, 4, 5, 6, 7);

Deno.test("createRunFolder() names folders by time and name, each once", () =>
  withTemporaryFolder(async (folder) => {
    const out = join(folder, "deep", "runs");
    const made = await Promise.all([1, 2, 3].map(() => createRunFolder(out, "food", NOW)));
    assert.deepEqual(made.sort(), [
      join(out, "20260304-050607-food"),
      join(out, "20260304-050607-food-2"),
      join(out, "20260304-050607-food-3"),
    ]);
    assert.deepEqual(Array.from(Deno.readDirSync(out)).length, 3);
  }));

Deno.test("createRunFolder() names --out when the folder can't be written", () =>
  withTemporaryFolder(async (folder) => {
    const file = join(folder, "file");
    await Deno.writeTextFile(file, "");
    for (const out of [file, join(file, "below")]) {
      await assert.rejects(createRunFolder(out, "food", NOW), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.ok(error.message.startsWith(`Output folder ${out} can't be written: `));
        assert.match(error.message, /--out$/);
        return true;
      });
    }
  }));

Deno.test("pointLatest() makes a link and moves it, and leaves no temporary one", () =>
  withTemporaryFolder(async (out) => {
    const first = await createRunFolder(out, "a", NOW);
    const second = await createRunFolder(out, "b", NOW);
    assert.equal(await pointLatest(out, first), true);
    assert.equal(await pointLatest(out, second), true);
    assert.equal(await Deno.readLink(join(out, "latest")), "20260304-050607-b");
    assert.equal(await Deno.realPath(join(out, "latest")), await Deno.realPath(second));
    assert.equal(Array.from(Deno.readDirSync(out)).length, 3);
  }));

Deno.test("pointLatest() leaves a real file or folder named latest alone", () =>
  withTemporaryFolder(async (out) => {
    const run = await createRunFolder(out, "a", NOW);
    await Deno.mkdir(join(out, "latest"));
    assert.equal(await pointLatest(out, run), false);
    assert.ok((await Deno.lstat(join(out, "latest"))).isDirectory);
    assert.equal(Array.from(Deno.readDirSync(out)).length, 2);
  }));

Deno.test("followPointers() takes a file with a folder's name for a link, wherever in the path", () =>
  withTemporaryFolder(async (out) => {
    const deep = join(out, "run-1", "checkpoints", "best@1");
    await Deno.mkdir(deep, { recursive: true });
    await Deno.writeTextFile(join(out, "latest"), "run-1\n");
    await Deno.writeTextFile(join(out, "run-1", "checkpoints", "best"), "best@1");
    const best = join(out, "latest", "checkpoints", "best");
    assert.equal(await followPointers(best), deep);
    assert.equal(await followPointers(`${join(out, "latest")}/`), join(out, "run-1"));
    assert.equal(await followPointers(join(out, "latest", "none")), join(out, "run-1", "none"));
    for (const text of ["nowhere", "../run-1", "", ".", "run-1\nrun-1"]) {
      await Deno.writeTextFile(join(out, "latest"), text);
      assert.equal(await followPointers(best), best, text);
    }
    const moved = await pointLatest(out, join(out, "run-1"));
    assert.equal(moved, false, "somebody's own file stays");
  }));
