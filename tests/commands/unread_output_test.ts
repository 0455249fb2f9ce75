/** Standard output and standard error that nobody reads, or that can't be written, for whole commands. */
import assert from "node:assert/strict";
import { glob } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "@std/yaml";
import { train } from "../../mod.ts";
import { delay } from "../../src/base/async.ts";
import { visibleJson } from "../../src/base/visible_text.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { eventually } from "../support/eventually.ts";
import { makeImages } from "../support/images.ts";
import { allGone, descendantsOf } from "../support/processes.ts";
import { type Stall, startUnread } from "../support/stalled_reader.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { commandLine, lastState, newestRun, tinyConfig } from "../support/tiny_run.ts";

const ignore = Deno.build.os !== "linux";

/** The pid of the command that {@linkcode startUnread} started. */
async function pidOf(run: ReturnType<typeof startUnread>): Promise<number> {
  await run.seen(/command \d+/);
  return Number(/command (\d+)/.exec(run.output())?.[1]);
}

/** The epoch of a run's last checkpoint; 0 before there is one. */
async function epochOf(out: string): Promise<number> {
  try {
    return (await lastState(await newestRun(out))).epoch;
  } catch {
    return 0;
  }
}

const STALLS: readonly Stall[] = ["stdout+stderr,pipe", "stdout+stderr,terminal"];

Deno.test({
  name: "a run whose output nobody reads goes on, stops in order at a signal, and ends by itself",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root);
      await Promise.all([...STALLS, undefined].map(async (stall, index) => {
        const out = join(folder, `runs-${index}`);
        const path = join(folder, `${index}.yaml`);
        const epochs = stall ? 3000 : 3;
        await Deno.writeTextFile(path, stringify(tinyConfig(root, { out, train: { epochs } })));
        const command = commandLine(["train", "--config", path]);
        await using run = startUnread(stall ?? "stdout,pipe", command, folder);
        const pid = await pidOf(run);
        let started: number[] = [];
        if (stall) {
          await eventually(async () => assert.ok(await epochOf(out) > 3));
          started = await descendantsOf(pid);
          assert.ok(started.length > 0);
          Deno.kill(pid, "SIGTERM");
        }
        const { code, stderr } = await run.result;
        assert.equal(code, stall ? 143 : 0, stderr);
        await allGone(started);
        const epoch = await epochOf(out);
        if (stall) assert.ok(epoch > 3 && epoch < epochs);
        else {
          assert.equal(epoch, 3);
          assert.match(
            stderr,
            /^Warning: The end of standard output was left out: nobody read it$/m,
          );
        }
      }));
    }),
});

/** A run of one epoch, with its config at `config.yaml`. */
async function withTrainedRun(
  use: (place: { folder: string; root: string; run: string }) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { val: 60 });
    const config = tinyConfig(root, { train: { epochs: 1 } });
    await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
    const { folder: run } = await train(config, { reporter: silentReporter() });
    await use({ folder, root, run });
  });
}

/** Runs a shell script with the command line as `"$@"`. */
async function shell(script: string, args: readonly string[], cwd: string) {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script, "bash", ...commandLine(args)],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  const result = { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  assert.doesNotMatch(result.stderr, /at file:|os error/, args.join(" "));
  return result;
}

/** Runs tasks, two at a time. */
async function inPairs(tasks: (() => Promise<void>)[]): Promise<void> {
  const queue = [...tasks];
  const walk = async () => {
    for (let task = queue.shift(); task; task = queue.shift()) await task();
  };
  await Promise.all([walk(), walk()]);
}

Deno.test({
  name: "a result is whole or an error: unread, with a reader that leaves, or on a full disk",
  ignore,
  fn: () =>
    withTrainedRun(async ({ folder, root, run }) => {
      const predict = ["predict", "--run", run, "--json", join(root, "val")];
      const readLate = async () => {
        await using read = startUnread("stdout,pipe", commandLine(predict), folder);
        await pidOf(read);
        await using stopped = startUnread("stdout,pipe", commandLine(predict), folder);
        const pid = await pidOf(stopped);
        await delay(4000);
        Deno.kill(pid, "SIGTERM");
        assert.equal((await withoutWaiting(120, () => stopped.result)).code, 143);
        await read.read();
        const { code, stdout } = await read.result;
        assert.equal(code, 0);
        const lines = stdout.split("\n").slice(1, -1).map((line) => line.replace(/^\.+/, ""));
        assert.equal(lines.length, 180);
        for (const line of lines) assert.ok(JSON.parse(line).path);
      };
      const readers = [
        ["predict", "--run", run, root],
        ["evaluate", "--run", run, "--out", "e1"],
        ["data", "check", root],
      ];
      const leaves = readers.map((args) => async () => {
        const { code, stdout, stderr } = await shell(
          '"$@" | head -1; exit ${PIPESTATUS[0]}',
          args,
          folder,
        );
        assert.equal(code, 0, stderr);
        assert.doesNotMatch(stderr, /error:/);
        assert.equal(stdout.split("\n").length, 2);
      });
      const step = ["bench", "step", "--model", "plain_cnn", "--image-size", "20", "--steps", "1"];
      const results = [
        predict,
        ["evaluate", "--run", run, "--out", "e2", "--json"],
        ["data", "check", root, "--json"],
        [...step, "--warmup", "0", "--json"],
        ["bench", "loader", "--data", root, "--epochs", "1", "--image-size", "20"],
        ["show-batch", "--config", "config.yaml"],
        ["export", "--run", run, "--out", "exported", "--format", "safetensors"],
      ];
      const full = results.map((args) => async () => {
        const { code, stderr } = await shell('"$@" > /dev/full', args, folder);
        const sentence = /^error: Standard output can't be written: the disk is full$/m;
        assert.match(stderr, sentence, args.join(" "));
        assert.equal(code, 1, args.join(" "));
      });
      const goesOn = async () => {
        const args = ["train", "--config", "config.yaml", "--set", "train.epochs=2", "--out", "r"];
        const { code, stderr } = await shell('"$@" > /dev/full', args, folder);
        assert.equal(code, 0, stderr);
        const warning = /^Warning: Standard output can't be written: the disk is full; the work/gm;
        assert.equal(stderr.match(warning)?.length, 1, stderr);
        assert.equal(await epochOf(join(folder, "r")), 2);
      };
      await inPairs([readLate, ...leaves, ...full, goesOn]);
    }),
});

Deno.test("no command prints JSON whose text isn't made visible", async () => {
  const commands = fileURLToPath(new URL("../../src/commands", import.meta.url));
  for await (const name of glob("*.ts", { cwd: commands })) {
    const text = await Deno.readTextFile(join(commands, name));
    assert.doesNotMatch(text, /(log|write|say)\([^;]*?(?<!escapeJson\()JSON\.stringify/s, name);
  }
  assert.equal(JSON.parse(visibleJson("a\u202eb\x1b[31m\x9b")), "a\u202eb\x1b[31m\x9b");
  assert.equal(visibleJson("a\u202eb\x1b[31m\x9b"), String.raw`"a\u202eb\u001b[31m\u009b"`);
});
