import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { type ConfigInput, train } from "../../mod.ts";
import { parseConfig } from "../../src/config/load.ts";
import { withWorkers } from "../../src/config/schema.ts";
import { resumePoint } from "../../src/coordinator/state/resume_point.ts";
import { historyUpTo } from "../../src/coordinator/state/run_state.ts";
import { exists } from "../../src/base/paths.ts";
import { readHistory } from "../../src/records/history.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { makeImages } from "../support/images.ts";
import { runRecord } from "../support/run_record.ts";
import { trainUntil } from "../support/interrupted_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, startCommand, tinyConfig } from "../support/tiny_run.ts";

const STEPS = 6;
const PRELOAD = new URL("../support/file_operations.ts", import.meta.url).pathname;

/** Points, validations and checkpoints within epochs that fall together and apart. */
function configOf(root: string): ConfigInput {
  return tinyConfig(root, {
    validate: { everySteps: 4, atStart: true },
    checkpoint: { everySteps: 3 },
    train: { epochs: 2, batchSize: 4, logEverySteps: 5 },
  });
}

/** Alters a byte in the middle of a file. */
async function damage(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  bytes[bytes.length >> 1] ^= 1;
  await Deno.writeFile(path, bytes);
}

Deno.test("a run that is interrupted again and again, or goes back to an older checkpoint, leaves what an undisturbed one does", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = configOf(root);
    const { folder: whole } = await train(config, {
      onEpoch: async ({ epoch }) => {
        if (epoch > 1) return;
        const checkpoints = join(await newestRun(config.out!), "checkpoints");
        const last = await Deno.realPath(join(checkpoints, "last"));
        await new Deno.Command("cp", { args: ["-r", last, join(checkpoints, "first")] }).output();
      },
    });
    const expected = await runRecord(whole);
    assert.equal(expected.end, "report");
    assert.equal(expected.tensorboard.filter(([, tag]) => tag === "loss/validation").length, 5);

    // Within a point of the loss, at a step that is validated, and once more where nothing was made since.
    await trainUntil({ ...config, name: "cut" }, { epoch: 1, step: 1 });
    const cut = await newestRun(config.out!);
    assert.ok((await readCheckpoint(join(cut, "checkpoints/last"))).info.pending);
    await trainUntil({ ...config, name: "cut" }, { epoch: 2, step: 3 }, { resume: cut });
    await train({ ...config, name: "cut" }, { resume: cut });
    assert.deepEqual({ ...await runRecord(cut), curves: "", losses: "" }, {
      ...expected,
      curves: "",
      losses: "",
    });
    await assert.rejects(
      train({ ...config, name: "cut" }, { resume: cut }),
      /has finished its 2 epochs/,
    );

    // Back by a few steps, and by an epoch; the damaged one is refused with this cure.
    const last = join(whole, "checkpoints", "last");
    await damage(join(last, "optimizer.safetensors"));
    await assert.rejects(train(config, { resume: whole }), (error: Error) => {
      assert.match(error.message, /optimizer\.safetensors is cut short or altered/);
      assert.ok(error.message.includes(`deno task train --resume ${whole} --from last-1`));
      return true;
    });
    for (const from of ["last-1", "first"]) {
      await train(config, { resume: whole, from });
      assert.deepEqual(await runRecord(whole), expected, from);
      const resumed = (await readEvents(whole)).findLast(({ type }) => type === "resumed");
      assert.equal(resumed?.from, from);
    }
    await assert.rejects(
      train(config, { resume: whole, from: "nosuch" }),
      /has no checkpoint "nosuch": give --from one that has an optimizer state: first, last, last-1$/,
    );
    await assert.rejects(train(config, { resume: whole, from: "best" }), /no optimizer state/);
    await assert.rejects(train(config, { from: "last-1" }), /name the run, too/);
  }));

Deno.test("a run goes on without the file of its initial weights", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const plain = tinyConfig(root, { train: { epochs: 1, batchSize: 6 } });
    const { folder: first } = await train(plain);
    const weights = join(folder, "start.safetensors");
    await Deno.copyFile(join(first, "checkpoints/best/model.safetensors"), weights);
    const config = { ...plain, model: { ...plain.model, weights } };
    await trainUntil(config, { epoch: 1, step: 1 });
    const run = await newestRun(config.out!);
    await Deno.remove(weights);
    const { history } = await train(config, { resume: run });
    assert.equal(history.epochs.length, 1);
    await assert.rejects(train(config), /start\.safetensors/);
  }));

Deno.test("a run that is killed at any file operation goes on to what an undisturbed one leaves", async (test) => {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const runs = join(folder, "runs");
    const copies = join(folder, "copies");
    await Deno.mkdir(copies);
    const config = { ...configOf(root), out: runs };
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(config));
    const train = ["train", "--config", path];
    const env = { LOCKSTEP_TEST_RUNS: runs };
    const preload = { preload: PRELOAD, ownGroup: true };
    const done = await startCommand(train, folder, {
      ...env,
      LOCKSTEP_TEST_COPIES: copies,
    }, preload).result;
    assert.equal(done.code, 0, done.stderr);
    const whole = await newestRun(runs);
    const expected = await runRecord(whole);
    const numbers = (await Array.fromAsync(Deno.readDir(copies))).filter(({ isDirectory }) =>
      isDirectory
    ).map(({ name }) => name).sort();
    assert.ok(numbers.length > 80, `${numbers.length} file operations`);

    const kinds = new Map<string, string>();
    await test.step(`each of ${numbers.length} copies has a checkpoint and the history up to it`, async () => {
      for (const number of numbers) {
        const kind = await checkCopy(join(copies, number), whole);
        if (kind) kinds.set(kind, number);
      }
    });
    const chosen = [...kinds].filter(([kind]) => /start|validating 1|over/.test(kind));
    assert.ok(chosen.length >= 3, [...kinds.keys()].join(", "));
    for (const [kind, number] of chosen) {
      await test.step(`${kind}: copy ${number}`, async () => {
        const copy = await onlyRun(join(copies, number));
        // A change of where it runs is on record, and else changes nothing, at the end neither.
        const change = kind === "over" ? ["--set", "liveness.lostAfter=9"] : [];
        const result = await runCommand(["train", "--resume", copy, ...change], folder);
        assert.equal(result.code, 0, result.stdout + result.stderr);
        const record = await runRecord(copy);
        assert.equal(record.history.changes?.[0].key, change[1]?.split("=")[0]);
        delete record.history.changes;
        assert.deepEqual(record, expected);
      });
    }
    const at = 20 + Math.floor(Math.random() * (numbers.length - 30));
    await test.step(`killed at file operation ${at}, with its process group`, async () => {
      await Deno.remove(runs, { recursive: true });
      const killed = await startCommand(train, folder, {
        ...env,
        LOCKSTEP_TEST_KILL_AT: String(at),
      }, preload).result;
      assert.equal(killed.code, 137, killed.stdout + killed.stderr);
      const run = await onlyRun(runs);
      const result = await runCommand(["train", "--resume", run], folder);
      assert.equal(result.code, 0, result.stdout + result.stderr);
      assert.deepEqual(await runRecord(run), expected);
    });
  });
});

async function onlyRun(out: string): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(out))).filter(({ isDirectory }) => isDirectory);
  assert.equal(names.length, 1);
  return join(out, names[0].name);
}

/**
 * Asserts that what a killed run has left is the beginning of what the whole run left.
 *
 * @returns Where it was killed; nothing when that was before it had a config
 */
async function checkCopy(copy: string, whole: string): Promise<string | undefined> {
  if ((await Array.fromAsync(Deno.readDir(copy))).every(({ isDirectory }) => !isDirectory)) return;
  const run = await onlyRun(copy);
  if (!await exists(join(run, "config.yaml"))) return undefined;
  const from = await resumePoint(run);
  if (from === undefined) return "start over";
  const text = await Deno.readTextFile(join(run, "config.yaml"));
  const config = withWorkers(parseConfig(text, "config.yaml"));
  const { info } = await readCheckpoint(join(run, "checkpoints", from));
  const history = await historyUpTo(run, { config, stepsPerEpoch: STEPS }, info);
  assert.ok(history, "the history is written before the checkpoint");
  const final = await readHistory(whole);
  const isBefore = (point: { epoch: number; step: number }) =>
    point.epoch < info.epoch || (point.epoch === info.epoch && point.step <= info.step);
  assert.deepEqual(history.losses, final.losses.filter(isBefore), copy);
  assert.deepEqual(history.epochs, final.epochs.slice(0, history.epochs.length), copy);
  assert.ok(history.epochs.length === info.epoch || history.epochs.length === info.epoch - 1);
  if (history.epochs.length === 2) return "over";
  if (info.step === STEPS && history.epochs.length < info.epoch) return `validating ${info.epoch}`;
  return `epoch ${info.epoch}, step ${info.step}`;
}
