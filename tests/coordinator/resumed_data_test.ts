import assert from "node:assert/strict";
import { join } from "node:path";
import { readEvents } from "../../src/records/event_log.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, newestRun, runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

Deno.test("changed images are named at resume and accepted by a flag; moved, touched ones pass, in a copy without links too", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await using first = await startTrain(folder, tinyConfig(root, { train: { epochs: 1 } }));
    assert.equal((await first.result).code, 0);
    const original = await newestRun(join(folder, "runs"));
    const run = join(folder, "copy");
    const copied = await new Deno.Command("cp", { args: ["-rL", original, run] }).output();
    assert.ok(copied.success);
    const own = join(run, "checkpoints", "best@keep");
    await Deno.mkdir(own);
    const resume = (epochs: number, ...args: string[]) =>
      runCommand(["train", "--resume", run, "--set", `train.epochs=${epochs}`, ...args], folder);

    const path = join(root, "train", "dark", "0.jpg");
    const bytes = await Deno.readFile(path);
    const changed = bytes.slice();
    changed[changed.length - 20] ^= 1;
    await Deno.writeFile(path, changed);
    const later = new Date(Date.now() + 5000);
    await Deno.utime(path, later, later);
    const before = await lastState(run);
    const refused = await resume(2);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, /1 changed: "train\/dark\/0\.jpg"; .*--accept-data/s);
    assert.deepEqual(await lastState(run), before);
    assert.ok((await Deno.stat(own)).isDirectory);

    await Deno.writeFile(path, bytes);
    const moved = join(folder, "moved");
    await Deno.rename(root, moved);
    await Deno.remove(join(run, "data-files.jsonl.gz"));
    const went = await resume(2, "--set", `data.root=${moved}`);
    assert.equal(went.code, 0, went.stderr);
    assert.match(went.stderr, /no data-files\.jsonl\.gz, .* by name, class and size alone/);
    assert.ok((await Deno.stat(own)).isDirectory);

    await Deno.remove(join(moved, "train", "light", "1.jpg"));
    const accepted = await resume(3, "--accept-data");
    assert.equal(accepted.code, 0, accepted.stderr);
    assert.match(accepted.stderr, /1 removed: "train\/light\/1\.jpg"/);
    const resumed = (await readEvents(run)).filter(({ type }) => type === "resumed");
    assert.deepEqual((resumed.at(-1)!.data as { removed: unknown }).removed, {
      count: 1,
      first: ["train/light/1.jpg"],
    });
    assert.equal((await lastState(run)).epoch, 3);
  }));
