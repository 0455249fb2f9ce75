import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { UsageError } from "../../src/base/errors.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, tinyConfig } from "../support/tiny_run.ts";

const ignore = Deno.build.os !== "linux";
const CROPS = [{ RandomResizedCrop: 20 }, "RandomHorizontalFlip"];

/** Two workers, three epochs of 21 training and 9 validation images of 20 × 20 pixels. */
async function trained(root: string, cache: string | number | null) {
  const lines: string[] = [];
  const { data, ...config } = tinyConfig(root, { workers: 2, train: { epochs: 3 } });
  const reporter = { ...silentReporter(), info: (line: string) => void lines.push(line) };
  const crops = { ...data, train: CROPS, cache };
  const { folder } = await train({ ...config, data: crops }, { reporter });
  const { sha256 } = await lastState(folder);
  return { sha256, report: lines.filter((line) => line.startsWith("Cache:")) };
}

Deno.test({
  name: "a run with data.cache decodes each image once, and ends with the same bits",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root);
      const without = await trained(root, null);
      assert.deepEqual(without.report, []);
      const all = await trained(root, "1MB");
      assert.deepEqual(all.sha256, without.sha256);
      // 30 images of 1200 bytes, each behind 64 others, in units of 64; three epochs ask for each.
      assert.deepEqual(all.report, [
        "Cache: 30 images in 0.0 of 1.0 MB; 67% of 90 were there when asked for",
      ]);
      const some = await trained(root, 8000);
      assert.deepEqual(some.sha256, without.sha256);
      assert.match(some.report[0], /^Cache: 6 images in 0\.0 of 0\.0 MB; \d+% of 90 were/);
    }),
});

Deno.test({
  name: "a data.cache that is too small for anything, or larger than memory, is refused",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root);
      await assert.rejects(trained(root, 100), (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, /^data\.cache is 100 bytes, but the list of 30 images/);
        return true;
      });
      await assert.rejects(
        trained(root, "900000GB"),
        /^LockstepError: data\.cache: .*set it lower$/,
      );
    }),
});
