import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UsageError } from "../../../src/base/errors.ts";
import {
  compareFiles,
  FILE_RECORD,
  readFileRecord,
  writeFileRecord,
} from "../../../src/data/datasets/file_record.ts";
import { SampleTableBuilder } from "../../../src/data/datasets/sample_table.ts";
import { scanImageFolder } from "../../../src/data/datasets/image_folder.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const NONE = { changed: [], added: [], removed: [], touched: 0, otherTime: 0 };

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
    const paths = Array.from(await filesOf(root), ({ path }) => path);
    const lines = (await Array.fromAsync((await readFileRecord(folder))!)).flat();
    assert.deepEqual(lines.map(({ path }) => path), paths);
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    assert.equal(lines[0].hash, sha256("traina0").slice(0, 16));
    assert.deepEqual(
      await compareFiles((await readFileRecord(folder))!, root, await filesOf(root)),
      NONE,
    );

    const later = new Date(Date.now() + 5000);
    await Deno.utime(join(root, "val/b/1.jpg"), later, later);
    assert.deepEqual(
      await compareFiles((await readFileRecord(folder))!, root, await filesOf(root)),
      {
        ...NONE,
        touched: 1,
      },
    );
    const moved = join(folder, "moved");
    await makeFiles(moved); // the same content with other times
    await Deno.utime(join(moved, "val/b/0.jpg"), later, later);
    const { touched, ...rest } = await compareFiles(
      (await readFileRecord(folder))!,
      moved,
      await filesOf(moved),
    );
    assert.deepEqual({ ...rest, touched: 0 }, NONE);
    assert.ok(touched > 0);

    await Deno.writeTextFile(join(root, "train/a/0.jpg"), "trainax");
    await Deno.utime(join(root, "train/a/0.jpg"), later, later);
    await Deno.remove(join(root, "train/b/1.jpg"));
    await Deno.writeTextFile(join(root, "val/a/new.jpg"), "new");
    await Deno.writeTextFile(join(root, "val/a/1.jpg"), "longer than before");
    assert.deepEqual(
      await compareFiles((await readFileRecord(folder))!, root, await filesOf(root)),
      {
        changed: ["train/a/0.jpg", "val/a/1.jpg"],
        added: ["val/a/new.jpg"],
        removed: ["train/b/1.jpg"],
        touched: 1,
        otherTime: 0,
      },
    );
  }));

Deno.test("compareFiles() finds other content behind the same size and time when all hashes are compared", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "data"), path = join(root, "train/a/0.jpg");
    await makeFiles(root);
    await writeFileRecord(folder, root, await filesOf(root), "all");
    const compare = async (hashes: "auto" | "all") =>
      await compareFiles((await readFileRecord(folder))!, root, await filesOf(root), hashes);
    assert.deepEqual(await compare("all"), NONE);
    const { mtime } = await Deno.stat(path);
    await Deno.writeTextFile(path, "trainax");
    await Deno.utime(path, mtime!, mtime!);
    assert.deepEqual(await compare("auto"), NONE, "by the time");
    assert.deepEqual(await compare("all"), { ...NONE, changed: ["train/a/0.jpg"] });
  }));

Deno.test("compareFiles() counts files of another time and the same size, of which there are no hashes", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "data");
    await makeFiles(root);
    const later = new Date(Date.now() + 5000);
    for (const hashes of ["none", "all"] as const) {
      await writeFileRecord(folder, root, await filesOf(root), hashes);
      await Deno.utime(join(root, "val/b/1.jpg"), later, later);
      await Deno.writeTextFile(join(root, "train/a/0.jpg"), hashes.padEnd(7));
      await Deno.utime(join(root, "train/a/0.jpg"), later, later);
      later.setHours(later.getHours() + 1);
      const expected = hashes === "none"
        ? { ...NONE, otherTime: 2 }
        : { ...NONE, touched: 1, changed: ["train/a/0.jpg"] };
      assert.deepEqual(
        await compareFiles((await readFileRecord(folder))!, root, await filesOf(root)),
        expected,
      );
    }
  }));

Deno.test("compareFiles() reads records of any length, and finds files in any order", () =>
  withTemporaryFolder(async (folder) => {
    const builder = new SampleTableBuilder();
    const count = 25_003; // more than a part of the record holds
    for (let row = 0; row < count; row++) {
      builder.setFile(builder.add(`train/${row % 7}`, `${row}\n.jpg`, row % 7), row, 5);
    }
    const classes = ["0", "1", "2", "3", "4", "5", "6"];
    const files = builder.finish({ classes, train: 20_000 });
    await writeFileRecord(folder, folder, files, "none");
    const record = async () => (await readFileRecord(folder))!;
    assert.deepEqual(await compareFiles(await record(), folder, files), NONE);
    const order = Uint32Array.from({ length: count }, (_, row) => (row * 3 + 1) % count);
    const other = builder.finish({ classes, train: count - 1, order });
    // The rows of validation but one, 1, are on the other side now.
    const { added, removed, ...rest } = await compareFiles(await record(), folder, other);
    assert.deepEqual(rest, { changed: [], touched: 0, otherTime: 0 });
    assert.equal(added.length, removed.length);
    assert.ok(added.length > 5000, String(added.length));
  }));

Deno.test("readFileRecord() refuses a damaged record", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, FILE_RECORD), "no gzip");
    await assert.rejects(Array.fromAsync((await readFileRecord(folder))!), UsageError);
  }));
