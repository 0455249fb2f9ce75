import assert from "node:assert/strict";
import { FileReader } from "../../src/provision/file_reader.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("FileReader reads parts of a file, and no more than there is", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/x`, "0123456789");
    using reader = new FileReader(`${folder}/x`);
    const text = async (index: number, length: number) =>
      new TextDecoder().decode(await reader.readUint8Array(index, length));
    assert.equal(reader.size, 10);
    assert.equal(await text(2, 3), "234");
    assert.equal(await text(8, 50), "89");
    assert.equal(await text(0, 1), "0");
    assert.equal(await text(20, 5), "");
  }));
