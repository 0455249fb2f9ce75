import assert from "node:assert/strict";
import { join } from "node:path";
import { COMMAND as BENCH } from "../../src/commands/bench.ts";
import { runCommand } from "../../src/commands/command.ts";
import { UsageError } from "../../src/base/errors.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("bench loader names what is wrong with its folders, and the cure", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "notes.txt"), "no image");
    for (
      const [args, expected] of [
        [["--data", join(folder, "none")], /^--data: there is no folder ".*none"$/],
        [["--data", folder], /has no images$/],
        [
          ["--make", folder],
          /^--make: ".*" isn't empty: name a new folder, or use it with --data$/,
        ],
        [["--data", "a", "--make", "b"], /^--data and --make exclude each other/],
        [["--epoch", "1"], /^Unknown flag --epoch of bench loader: did you mean --epochs\?$/],
      ] as const
    ) {
      await assert.rejects(runCommand(BENCH, ["loader", ...args]), (error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.match(error.message, expected);
        return true;
      });
    }
  }));
