import assert from "node:assert/strict";
import { join } from "node:path";
import { LiveFile, readLiveFiles, removeDeadFiles } from "../../src/base/live_file.ts";
import { isSameProcess, parseStats } from "../../src/base/process_identity.ts";
import { makeOwnFolder, makeSharedFolder } from "../../src/base/runtime_folder.ts";
import { eventually } from "../support/eventually.ts";
import { mountSmallDisk } from "../support/small_disk.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const OPTIONS = { mode: 0o600, makeFolder: makeOwnFolder, checkMs: 20 };

const textsIn = async (folder: string) => (await readLiveFiles(folder)).map(({ text }) => text);

Deno.test("LiveFile is there while it is in use, with its newest content, for its user alone", () =>
  withTemporaryFolder(async (parent) => {
    const folder = join(parent, "live");
    {
      using file = await LiveFile.create(folder, "a", "one", OPTIONS);
      assert.deepEqual(await textsIn(folder), ["one"]);
      // Readings and updates at the same time: never half a text, never none.
      const readings: string[][] = [];
      for (let turn = 0; turn < 50; turn++) {
        file.update(`text ${turn} `.repeat(500));
        readings.push(await textsIn(folder));
      }
      await file.settled();
      for (const texts of readings) {
        assert.equal(texts.length, 1);
        assert.match(texts[0]!, /^(one|(text \d+ )\1*)$|^(text \d+ ){500}$/);
      }
      const [info, above] = [await Deno.stat(file.path), await Deno.stat(folder)];
      assert.equal(info.mode! & 0o777, 0o600);
      assert.equal(above.mode! & 0o777, 0o700);
    }
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
  }));

Deno.test("a file without its lock is of a dead process: it isn't read, and is removed by the next one", () =>
  withTemporaryFolder(async (parent) => {
    const folder = join(parent, "live");
    await makeOwnFolder(folder);
    for (const name of ["1-train-x.live", "1-train-x.stop"]) {
      await Deno.writeTextFile(join(folder, name), "{}");
    }
    assert.deepEqual(await textsIn(folder), []);
    await removeDeadFiles(folder);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    assert.deepEqual(await textsIn(join(parent, "missing")), []);
  }));

Deno.test("LiveFile makes its file again when something has removed it or the folder", () =>
  withTemporaryFolder(async (parent) => {
    const folder = join(parent, "live");
    using _file = await LiveFile.create(folder, "a", "one", OPTIONS);
    await Deno.remove(folder, { recursive: true });
    await eventually(async () => assert.deepEqual(await textsIn(folder), ["one"]), { seconds: 5 });
  }));

Deno.test("LiveFile on a full disk is empty but there, and whole as soon as there is room; a read-only one keeps its content", () =>
  withTemporaryFolder(async (parent) => {
    await using disk = await mountSmallDisk(parent, 1);
    if (!disk) return;
    const folder = join(disk.folder, "live");
    await makeOwnFolder(folder);
    disk.fill();
    using file = await LiveFile.create(folder, "7-train-x", "one", OPTIONS);
    assert.deepEqual((await readLiveFiles(folder)).map(({ name, text }) => [name, text]), [
      ["7-train-x", ""],
    ]);
    disk.free();
    await eventually(async () => assert.deepEqual(await textsIn(folder), ["one"]), { seconds: 5 });
    disk.seal(folder);
    file.update("two");
    await file.settled();
    assert.deepEqual(await textsIn(folder), ["one"]);
    disk.unseal(folder);
  }));

Deno.test("makeOwnFolder() takes rights of others away, and refuses what isn't a folder of this user", () =>
  withTemporaryFolder(async (parent) => {
    const open = join(parent, "open");
    await Deno.mkdir(open, { mode: 0o755 });
    await makeOwnFolder(open);
    assert.equal((await Deno.stat(open)).mode! & 0o777, 0o700);
    const link = join(parent, "link");
    await Deno.symlink(open, link);
    await assert.rejects(makeOwnFolder(link), /link belongs to another user, or is no folder/);
    if (Deno.uid() === 0) {
      const foreign = join(parent, "foreign");
      await Deno.mkdir(foreign);
      await Deno.chown(foreign, 12345, null);
      await assert.rejects(makeOwnFolder(foreign), /belongs to another user/);
    }
    const shared = join(parent, "shared");
    await makeSharedFolder(shared);
    assert.equal((await Deno.stat(shared)).mode! & 0o7777, 0o1777);
  }));

Deno.test("parseStats() reads processes whose names have brackets and blanks, and leaves zombies out", () => {
  const fields = (start: number) => `1 ${"0 ".repeat(17)}${start} 0 0`;
  const seen = parseStats([
    "pid:[4026531836]",
    "0f1e2d3c-aaaa",
    `12 (a) b (c)) S ${fields(900)}`,
    `13 (z) Z ${fields(901)}`,
    `14 (t) T ${fields(902)}`,
    "",
  ].join("\n"));
  assert.deepEqual([...seen.processes], [
    [12, { start: "0f1e2d3c/900", isStopped: false }],
    [14, { start: "0f1e2d3c/902", isStopped: true }],
  ]);
  const here = { pid: 12, start: "0f1e2d3c/900", namespace: "pid:[4026531836]" };
  assert.equal(isSameProcess(here, seen), true);
  assert.equal(isSameProcess({ ...here, start: "0f1e2d3c/899" }, seen), false, "a reused pid");
  assert.equal(isSameProcess({ ...here, namespace: "pid:[1]" }, seen), false, "another container");
  assert.equal(isSameProcess({ ...here, pid: 13 }, seen), false);
});
