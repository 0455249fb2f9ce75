import assert from "node:assert/strict";
import { join } from "node:path";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand } from "../support/tiny_run.ts";

const DEFAULT = new URL("../../configs/default.yaml", import.meta.url).pathname;

/** Of 60 validation images, two. */
const TOLERANCE = 0.034;

Deno.test("the default recipe with bfloat16 is as accurate as with float32", async () => {
  await withTemporaryFolder(async (folder) => {
    const results = [];
    for (const precision of ["float32", "bfloat16"]) {
      const out = join(folder, precision);
      const settings = [`engine.precision=${precision}`, "train.epochs=1", "liveness.lostAfter=60"];
      const { code, stdout, stderr } = await runCommand(
        [
          ...["train", "--config", DEFAULT, "--workers", "1", "--out", out],
          ...settings.flatMap((setting) => ["--set", setting]),
        ],
        folder,
      );
      assert.equal(code, 0, stdout + stderr);
      const history = await Deno.readTextFile(join(await newestRun(out), "history.json"));
      results.push(JSON.parse(history).epochs.at(-1));
    }
    const [exact, rounded] = results;
    assert.notEqual(rounded.train.loss, exact.train.loss, "bfloat16 was used");
    const difference = Math.abs(rounded.validation.accuracy - exact.validation.accuracy);
    assert.ok(difference <= TOLERANCE, `accuracies differ by ${difference}`);
    assert.ok(Math.abs(rounded.validation.loss / exact.validation.loss - 1) < 0.1);
  });
});
