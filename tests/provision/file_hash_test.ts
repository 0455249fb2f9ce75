import assert from "node:assert/strict";
import { hashOfFile } from "../../src/provision/file_hash.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("hashOfFile() is the file's hash, and tells how many bytes are done", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/abc`, "abc");
    assert.equal(
      await hashOfFile(`${folder}/abc`, "sha256"),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    assert.equal(await hashOfFile(`${folder}/abc`, "md5"), "900150983cd24fb0d6963f7d28e17f72");
    await Deno.writeFile(`${folder}/large`, new Uint8Array(2_500_000));
    const done: number[] = [];
    await hashOfFile(`${folder}/large`, "md5", (bytes) => done.push(bytes));
    assert.deepEqual([done.at(-1), done.length > 1], [2_500_000, true]);
  }));
