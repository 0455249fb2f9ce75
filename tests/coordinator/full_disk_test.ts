import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { LockstepError } from "../../src/base/errors.ts";
import { readHistory } from "../../src/records/history.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { makeImages } from "../support/images.ts";
import { mountSmallDisk, type SmallDisk } from "../support/small_disk.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, tinyConfig } from "../support/tiny_run.ts";

/** Faults of a disk, and the run's messages about them. */
const TROUBLES = {
  full: {
    begin: (disk: SmallDisk) => disk.fill(),
    end: (disk: SmallDisk) => disk.free(),
    words: "the disk is full; free space there",
  },
  "read-only": {
    begin: (disk: SmallDisk) => disk.seal(join(disk.folder, "run")),
    end: (disk: SmallDisk) => disk.unseal(join(disk.folder, "run")),
    words: "the file system is read-only; remount it for writing",
  },
};

for (const [kind, trouble] of Object.entries(TROUBLES)) {
  Deno.test(`a run outlives a ${kind} disk, tries again, and ends with what it couldn't write`, () =>
    withTemporaryFolder(async (folder) => {
      await using disk = await mountSmallDisk(folder, 8);
      if (!disk) return;
      const root = join(folder, "images");
      await makeImages(root);
      const config = tinyConfig(root, { train: { epochs: 4 } });
      const whole = await train(config, { folder: join(folder, "whole") });
      const run = join(disk.folder, "run");
      const last = () => lastState(run);
      const warnings: string[] = [];
      const seen: number[] = [];
      const onEpoch = async ({ epoch }: { epoch: number }) => {
        seen.push((await last()).epoch);
        if (epoch === 2) trouble.end(disk);
        else if (epoch !== 4) trouble.begin(disk);
      };
      const reporter = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
      await assert.rejects(train(config, { folder: run, reporter, onEpoch }), (error: Error) => {
        assert.ok(error instanceof LockstepError, Deno.inspect(error));
        assert.equal(error.exitCode, 1);
        assert.match(
          error.message,
          /^Training is over, but could not write .*checkpoints\/last of epoch 4, step \d+/,
        );
        assert.ok(error.message.includes(`can't be written: ${trouble.words}`), error.message);
        assert.ok(error.message.endsWith(`--resume ${run}`), error.message);
        return true;
      });
      assert.deepEqual(seen, [1, 1, 3, 3]);
      const notices = warnings.filter((line) => line.startsWith("checkpoints/last of epoch"));
      assert.match(
        notices[0],
        /^checkpoints\/last of epoch 2, .*What was saved before stays/,
      );
      assert.ok(notices[0].includes(trouble.words));
      assert.match(notices[1], /^checkpoints\/last of epoch 4/);
      assert.ok(warnings.every((line) => !/disposal|\n|os error/.test(line)), warnings.join("\n"));
      const names = (await Array.fromAsync(Deno.readDir(join(run, "checkpoints")))).map((e) =>
        e.name
      );
      assert.ok(names.every((name) => !name.includes(".tmp")), names.join());

      const { best } = await readHistory(run);
      assert.equal((await readCheckpoint(join(run, "checkpoints", "best"))).info.epoch, best.epoch);
      trouble.end(disk);
      const { history } = await train(config, { resume: run });
      assert.equal(history.epochs.length, 4);
      assert.deepEqual((await last()).sha256, (await lastState(whole.folder)).sha256);
      assert.deepEqual(history.losses, whole.history.losses);
    }));
}
