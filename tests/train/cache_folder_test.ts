import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { UsageError } from "../../src/base/errors.ts";
import { configSchema } from "../../src/config/schema.ts";
import { openCacheFolder } from "../../src/train/cache_folder.ts";
import { scanImageFolder } from "../../src/data/datasets/image_folder.ts";
import { usedBytes } from "../../src/data/loading/disk_budget.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { makeImages } from "../support/images.ts";
import { mountSmallDisk } from "../support/small_disk.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, tinyConfig } from "../support/tiny_run.ts";

/** Trains on a folder of images; returns what came of it, and what was said of the cache folder. */
async function run(
  config: ConfigInput,
  data: Partial<ConfigInput["data"]>,
): Promise<{ sha256: unknown; lines: string[]; warnings: string[] }> {
  const lines: string[] = [];
  const warnings: string[] = [];
  const keep = (line: string) => {
    if (/cache folder|cacheDir/i.test(line)) lines.push(line);
  };
  const reporter = {
    ...silentReporter(),
    warn: (line: string) => void warnings.push(line),
    ...{ info: keep, workerLine: (_: number, line: string) => keep(line) },
  };
  const { folder } = await train({ ...config, data: { ...config.data, ...data } }, { reporter });
  return { sha256: (await lastState(folder)).sha256, lines, warnings };
}

Deno.test("data.cacheDir keeps images for workers and further runs: same bits, and a full disk ends no run", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { workers: 2, train: { epochs: 1 } });
    await new Promise((done) => setTimeout(done, 3_100)); // until the files' times tell what they hold
    const { sha256, lines } = await run(config, {});
    assert.deepEqual(lines, []);

    const cacheDir = join(folder, "kept here");
    const first = await run(config, { cacheDir });
    assert.deepEqual(first.sha256, sha256);
    // 21 images for training in one entry each, and 9 for validation; a worker finds what another has written.
    assert.match(
      first.lines.join("\n"),
      /^Cache folder ".*kept here": \d+% of \d+ images .*; 30 written \(0\.0 MB\)$/,
    );
    const second = await run(config, { cacheDir });
    assert.deepEqual(second.sha256, sha256);
    assert.match(
      second.lines.join("\n"),
      /: 100% of \d+ images were there when asked for; 0 written/,
    );

    await using disk = await mountSmallDisk(folder, 8);
    if (!disk) return;
    await Deno.mkdir(join(disk.folder, "kept/lockstep-images-1"), { recursive: true });
    await Deno.writeTextFile(
      join(disk.folder, "kept/lockstep-images-1/used-bytes"),
      `${"0".repeat(20)}\n`,
    );
    await disk.fill();
    const full = await run(config, { cacheDir: join(disk.folder, "kept") });
    assert.deepEqual(full.sha256, sha256);
    const [said, ...others] = full.lines.filter((line) => /the disk is full/.test(line));
    assert.match(said, /^data\.cacheDir: no more images are written, and the run goes on: /);
    assert.deepEqual(others, []);
    // A worker's line is in run.log alone: the person in front of the terminal gets a warning.
    assert.match(
      full.warnings.join("\n"),
      /couldn't be written into ".*kept".*run\.log has the reason$/,
    );
    assert.deepEqual([...first.warnings, ...second.warnings], []);
  }));

Deno.test("openCacheFolder() counts what is in a folder that may be full, and warns of one that can't be used", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 1, val: 1 });
    const images = await scanImageFolder(root);
    const warnings: string[] = [];
    const open = (cacheDir: string, cacheDirBytes = 1000) => {
      const { data } = tinyConfig(root);
      const config = configSchema.parse({
        ...tinyConfig(root),
        data: { ...data, cacheDir, cacheDirBytes },
      });
      return openCacheFolder(config, images, { warn: (line) => warnings.push(line) });
    };
    const kept = join(folder, "kept"), entries = join(kept, "lockstep-images-1");
    const first = (await open(kept))!;
    assert.deepEqual([first.place.folder, first.place.limit], [await Deno.realPath(entries), 1000]);
    assert.match(first.report(), /^Cache folder ".*kept": 0% of 0 images/);
    first[Symbol.dispose]();
    await Deno.mkdir(join(entries, "0a"));
    await Deno.writeFile(join(entries, "0a", "x.rgb"), new Uint8Array(300));
    const used = join(entries, "used-bytes");
    for (const [said, found] of [["500", 500], ["800", 300], ["nothing", 300]] as const) {
      await Deno.writeTextFile(used, `${said.padStart(20, "0")}\n`);
      (await open(kept))![Symbol.dispose]();
      assert.equal(usedBytes(entries), found, said);
    }
    assert.deepEqual(warnings, []);

    await Deno.writeTextFile(join(folder, "file"), "");
    for (const [name, reason] of [["file", /file/], ["a, b", /no comma; name another/]] as const) {
      assert.equal(await open(join(folder, name)), undefined);
      assert.match(warnings.at(-1)!, /^data\.cacheDir is not used: /);
      assert.match(warnings.at(-1)!, reason);
    }
    await Deno.symlink(join(root, "train"), join(folder, "link"));
    for (
      const place of [root, join(root, "train/new"), join(folder, "link"), join(folder, "link/x")]
    ) {
      await assert.rejects(
        open(place),
        (error: Error) =>
          error instanceof UsageError && /outside of data\.root/.test(error.message),
      );
    }
    assert.equal(Array.from(Deno.readDirSync(join(root, "train"))).length, 3, "no class was made");
  }));
