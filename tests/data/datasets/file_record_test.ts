import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../../src/base/errors.ts";
import {
  compareFiles,
  FILE_RECORD,
  readFileRecord,
  writeFileRecord,
} from "../../../src/data/datasets/file_record.ts";
import { scanImageFolder } from "../../../src/data/datasets/image_folder.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const NONE = { changed: [], unsure: [], added: [], removed: [], touched: 0 };

async function makeFiles(root: string): Promise<void> {
  for (const side of ["train", "val"]) {
    for (const name of ["a", "b"]) {
      await Deno.mkdir(join(root, side, name), { recursive: true });
      for (const index of [0, 1]) {
        await Deno.writeTextFile(join(root, side, name, `${index}.jpg`), `${side}${name}${index}`);
      }
    }
  }
}

async function filesOf(root: string) {
  const { files } = await scanImageFolder(root);
  return files!;
}

Deno.test("compareFiles() tells changed images of the same size from touched ones, and names those that came and went", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "data");
    await makeFiles(root);
    assert.equal(await readFileRecord(folder), undefined);
    await writeFileRecord(folder, root, await filesOf(root));
    const record = (await readFileRecord(folder))!;
    assert.equal(record.length, 8);
    assert.deepEqual(await compareFiles(record, root, await filesOf(root)), NONE);

    const later = new Date(Date.now() + 5000);
    await Deno.utime(join(root, "val/b/1.jpg"), later, later);
    assert.deepEqual(await compareFiles(record, root, await filesOf(root)), {
      ...NONE,
      touched: 1,
    });
    const moved = join(folder, "moved");
    await makeFiles(moved); // the same content with other times
    await Deno.utime(join(moved, "val/b/0.jpg"), later, later);
    const { touched, ...rest } = await compareFiles(record, moved, await filesOf(moved));
    assert.deepEqual({ ...rest, touched: 0 }, NONE);
    assert.ok(touched > 0);

    await Deno.writeTextFile(join(root, "train/a/0.jpg"), "trainax");
    await Deno.utime(join(root, "train/a/0.jpg"), later, later);
    await Deno.remove(join(root, "train/b/1.jpg"));
    await Deno.writeTextFile(join(root, "val/a/new.jpg"), "new");
    await Deno.writeTextFile(join(root, "val/a/1.jpg"), "longer than before");
    assert.deepEqual(await compareFiles(record, root, await filesOf(root)), {
      changed: ["train/a/0.jpg", "val/a/1.jpg"],
      unsure: [],
      added: ["val/a/new.jpg"],
      removed: ["train/b/1.jpg"],
      touched: 1,
    });
  }));

Deno.test("compareFiles() is not sure of a touched file that was too much to hash", () =>
  withTemporaryFolder(async (folder) => {
    await makeFiles(folder);
    const files = await filesOf(folder);
    await writeFileRecord(folder, folder, files, files[0].bytes);
    const record = (await readFileRecord(folder))!;
    assert.deepEqual(record.map(({ hash }) => hash !== null), files.map((_, index) => index === 0));
    const later = new Date(Date.now() + 5000);
    for (const { path } of files.slice(0, 2)) await Deno.utime(join(folder, path), later, later);
    const changes = await compareFiles(record, folder, await filesOf(folder));
    assert.deepEqual(changes, { ...NONE, touched: 1, unsure: [files[1].path] });
  }));

Deno.test("readFileRecord() refuses a damaged record", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, FILE_RECORD), "no gzip");
    await assert.rejects(readFileRecord(folder), UsageError);
  }));
