import assert from "node:assert/strict";
import { glob } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SystemError } from "../../src/base/errors.ts";
import {
  openRegularFile,
  openRegularFileSync,
  readRegularFile,
  readRegularFileSync,
  readRegularText,
} from "../../src/base/regular_file.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const SOURCES = fileURLToPath(new URL("../../src", import.meta.url));

/**
 * Sources that may open files past `regular_file.ts`: for writing under a new name, for locks, and files of the
 * product.
 */
const OTHERS: Record<string, string> = {
  "base/regular_file.ts": "itself",
  "base/paths.ts": "writes a new file, and opens a folder to flush it",
  "base/folder_lock.ts": "opens for reading and writing, which no pipe holds up",
  "base/pointer.ts": "writes where it removed what was there",
  "compare/member.ts": "opens for reading and writing, which no pipe holds up",
  "loggers/event_file.ts": "createNew",
  "provision/wheel.ts": "createNew",
  "provision/unpacked_folder.ts": "createNew",
  "provision/tar_entries.ts": "asks requireRegularFileSync() before",
};

Deno.test("no source opens a file past regular_file.ts, where a pipe would be waited for", async () => {
  const found = new Set<string>();
  for await (const path of glob("**/*.ts", { cwd: SOURCES })) {
    const text = await Deno.readTextFile(join(SOURCES, path));
    const opens = /\bDeno\.(open|openSync|read(Text)?File(Sync)?)\(|\bcreateReadStream\(/;
    if (opens.test(text)) found.add(path);
  }
  assert.deepEqual([...found].sort(), Object.keys(OTHERS).sort());
});

Deno.test({
  name: "only regular files of a bounded size are read or opened; nothing is waited for",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const [file, pipe, sparse] = ["file", "pipe", "sparse"].map((name) => join(folder, name));
      await Deno.writeTextFile(file, "text");
      await new Deno.Command("mkfifo", { args: [pipe] }).output();
      await Deno.writeTextFile(sparse, "");
      await Deno.truncate(sparse, 2 ** 40);
      const readers = [
        readRegularFile,
        readRegularText,
        openRegularFile,
        (path: string) => Promise.resolve().then(() => readRegularFileSync(path)),
        (path: string) => Promise.resolve().then(() => openRegularFileSync(path)),
        (path: string) => openRegularFile(path, { write: true, create: true }),
      ];
      const kinds = {
        [folder]: "folder",
        [pipe]: "pipe",
        "/dev/zero": "device",
      };
      for (const [index, read] of readers.entries()) {
        for (const [path, kind] of Object.entries(kinds)) {
          const verb = index === 5 ? "written" : "read";
          const reason = `it is a ${kind}, where a file belongs`;
          await assert.rejects(
            async () => await read(path),
            (error) =>
              error instanceof SystemError && error.reason === reason &&
              error.message === `${path} can't be ${verb}: ${reason}; name a regular file`,
          );
        }
        await assert.rejects(
          async () => await read(join(folder, "none", "x")),
          Deno.errors.NotFound,
        );
      }
      await assert.rejects(readRegularFile(sparse), {
        message:
          /sparse can't be read: it has 1099511627776 bytes, and at most 4294967296 are read/,
      });
      await assert.rejects(readRegularText(file, 3), { message: /it has 4 bytes, and at most 3/ });
      assert.equal(await readRegularText(file), "text");
    }),
});
