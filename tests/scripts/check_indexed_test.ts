import assert from "node:assert/strict";
import { join } from "node:path";
import { checkIndexed } from "../../scripts/check_indexed.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("check:indexed refuses an index that is taken for granted, in the checked rooms alone", async () => {
  await withTemporaryFolder(async (root) => {
    const files: Record<string, string> = {
      "deno.json": JSON.stringify({
        imports: { "other": "./src/base/other.ts" },
        compilerOptions: { strict: true },
      }),
      "src/base/other.ts": "export const second = (list: number[]): number => list[1];\n",
      "src/weights/good.ts": 'import { second } from "other";\n' +
        "export const third = (list: number[]): number => list[2] ?? second(list);\n",
      "src/weights/bad.ts": "export const first = (list: number[]): number => list[0];\n",
    };
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(join(root, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    const errors = await checkIndexed(root, ["weights"]);
    assert.equal(errors.length, 1, errors.join("\n\n"));
    assert.match(errors[0], /src\/weights\/bad\.ts:1:/);
    await assert.rejects(checkIndexed(root, ["gone"]), Deno.errors.NotFound);
  });
});
