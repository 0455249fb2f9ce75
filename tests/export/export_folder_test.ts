import { deepEqual, equal, rejects } from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { type ExportFile, LIST_FILE, writeExport } from "../../src/export/export_folder.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

function file(path: string, text: string): ExportFile {
  return { path, content: () => text };
}

async function filesIn(folder: string, below = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, below))) {
    const path = below ? `${below}/${name}` : name;
    files.push(...isDirectory ? await filesIn(folder, path) : [path]);
  }
  return files.sort();
}

Deno.test("writeExport() replaces an earlier export's files and leaves all others", async () => {
  await withTemporaryFolder(async (folder) => {
    const sizes = await writeExport(
      folder,
      new Map([
        ["tfjs", [
          file("tfjs/1of2.bin", "12"),
          file("tfjs/2of2.bin", "3"),
          file("tfjs/m.json", "m"),
        ]],
        ["other", [file("other.bin", "stays")]],
      ]),
    );
    deepEqual([...sizes.values()], [2, 1, 1, 5]);
    await Deno.writeTextFile(join(folder, "tfjs", "mine.txt"), "mine");

    await writeExport(
      folder,
      new Map([["tfjs", [file("tfjs/1of1.bin", "4"), file("tfjs/m.json", "n")]]]),
    );
    deepEqual(await filesIn(folder), [
      LIST_FILE,
      "other.bin",
      "tfjs/1of1.bin",
      "tfjs/m.json",
      "tfjs/mine.txt",
    ]);
    equal(await Deno.readTextFile(join(folder, "tfjs/m.json")), "n");

    await writeExport(folder, new Map([["tfjs", [file("m.json", "o")]]]));
    deepEqual(await filesIn(folder), [LIST_FILE, "m.json", "other.bin", "tfjs/mine.txt"]);
  });
});

Deno.test("writeExport() touches nothing when a file is in the way", async () => {
  await withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "b"), "somebody's");
    await rejects(
      writeExport(folder, new Map([["x", [file("a", "1"), file("b", "2")]]])),
      (error: Error) =>
        error instanceof UsageError && /b is in the way, .* --out/.test(error.message),
    );
    deepEqual(await filesIn(folder), ["b"]);
    equal(await Deno.readTextFile(join(folder, "b")), "somebody's");

    await Deno.writeTextFile(join(folder, LIST_FILE), '{"formats":{"x":["../../etc/passwd"]}}');
    await rejects(
      writeExport(folder, new Map([["x", [file("a", "1")]]])),
      /doesn't list an export/,
    );
    deepEqual(await filesIn(folder), ["b", LIST_FILE]);
  });
});

Deno.test("writeExport() knows its files again after it was cut short", async () => {
  await withTemporaryFolder(async (folder) => {
    await writeExport(folder, new Map([["x", [file("old", "1"), file("same", "1")]]]));
    const broken = {
      path: "broken",
      content: () => {
        throw new Error("cut short");
      },
    };
    await rejects(writeExport(folder, new Map([["x", [file("same", "2"), broken]]])), /cut short/);
    deepEqual(await filesIn(folder), [LIST_FILE, "old", "same"]);
    await writeExport(folder, new Map([["x", [file("same", "3")]]]));
    deepEqual(await filesIn(folder), [LIST_FILE, "same"]);
  });
});

Deno.test("writeExport() says so when the folder is a file", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = join(folder, "file");
    await Deno.writeTextFile(path, "");
    await rejects(
      writeExport(path, new Map([["x", [file("a", "1")]]])),
      (error: Error) =>
        error instanceof UsageError && /can't be written: .*--out/.test(error.message),
    );
  });
});
