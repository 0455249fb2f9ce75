/**
 * Cases of runs that are resumed.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { followPointers, targetOf, writePointer } from "../../src/base/pointer.ts";
import { withoutSymlinks } from "../support/no_symlinks.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";
import { runDeno } from "../support/run_deno.ts";

export const CASES: readonly Case[] = [
  {
    name: "nosymlink.c",
    must: "a name is a small file that is followed",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const env = await withoutSymlinks(folder);
        if (!env) return;
        await Deno.mkdir(join(folder, "run-1", "checkpoints"), { recursive: true });
        const module = new URL("../../src/base/pointer.ts", import.meta.url).href;
        const code = `import { writePointer } from ${JSON.stringify(module)};
          await writePointer(${JSON.stringify(join(folder, "latest"))}, "run-1");`;
        const result = await runDeno(["eval", "--no-check", code], { env });
        assert.equal(result.code, 0, result.stderr);
        assert.ok((await Deno.lstat(join(folder, "latest"))).isFile);
        const path = join(folder, "latest", "checkpoints");
        assert.equal(await followPointers(path), join(folder, "run-1", "checkpoints"));
        await writePointer(join(folder, "latest"), "run-1");
        assert.equal(await targetOf(join(folder, "latest")), "run-1");
      }),
  },
];
