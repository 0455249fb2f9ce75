/**
 * Runs that go on: what their records hold then.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { runCommand } from "../../src/commands/command.ts";
import { COMMAND as TRAIN } from "../../src/commands/train.ts";
import { cutHistory } from "../../src/coordinator/state/cut_history.ts";
import { isComplete, resumePoint } from "../../src/coordinator/state/resume_point.ts";
import { StepMeter } from "../../src/coordinator/listeners/step_meter.ts";
import type { LoggerStart } from "../../src/loggers/logger.ts";
import { openTensorBoard } from "../../src/loggers/tensorboard.ts";
import { EventLog, readEvents, standingEvents } from "../../src/records/event_log.ts";
import { type History, writeHistory } from "../../src/records/history.ts";
import { madeEpoch, madePoint, madeRecovery } from "../support/made_run.ts";
import { readEventFile } from "../support/event_reader.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

const STEPS = 4;

/** Three epochs of four steps with a point at each second one; the second epoch is the best. */
function madeHistory(): History {
  const accuracies = [0.5, 0.9, 0.7];
  const at = (epoch: number, step: number) => ({
    examples: 10 * ((epoch - 1) * STEPS + step),
    epoch,
    step,
  });
  return {
    config: {},
    epochs: accuracies.map((accuracy, index) => ({
      ...madeEpoch(index + 1),
      validation: { loss: 1, accuracy, count: 10 },
    })),
    losses: [1, 2, 3].flatMap((epoch) => [2, 4].map((step) => ({ ...at(epoch, step), loss: 1 }))),
    validations: accuracies.map((accuracy, index) => ({
      ...at(index + 1, STEPS),
      loss: 1,
      accuracy,
    })),
    best: { epoch: 2, accuracy: 0.9, classes: ["a", "b"], confusionMatrix: [[5, 0], [1, 4]] },
    workers: 2,
  };
}

const monitor = { metric: "accuracy" };
const cutAt = (epoch: number, step: number) => {
  const history = madeHistory();
  cutHistory(history, { epoch, step, stepsPerEpoch: STEPS, monitor });
  return history;
};
const places = (points: readonly { epoch: number; step: number }[]) =>
  points.map(({ epoch, step }) => `${epoch}/${step}`).join(" ");

/** Returns the entries of TensorBoard's files of a run folder: `<step> <tags>`, without the tags of speed. */
async function shown(folder: string): Promise<string[]> {
  const path = join(folder, "tensorboard");
  const names = (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
  const files = await Promise.all(names.map((name) => Deno.readFile(join(path, name))));
  return files.flatMap(readEventFile).filter(({ values }) => values.length > 0)
    .map(({ step, values }) => `${step} ${values[0].tag}`);
}

/** Opens TensorBoard's logger on a run of four steps per epoch. */
const openBoard = (folder: string, more: Partial<LoggerStart> = {}) =>
  openTensorBoard({ folder, config: {}, classes: ["a"], stepsPerEpoch: STEPS, step: 0, ...more });

/** Writes lines of events. */
function writeEvents(folder: string, events: [type: string, fields?: Record<string, unknown>][]) {
  using log = new EventLog(folder);
  for (const [type, fields] of events) log.append(type, fields);
}

export const CASES: Case[] = [
  {
    name: "back from epoch 3 to the middle of epoch 2, which was the best",
    must: "epoch 2 is made again; the best on record is epoch 1, and what best holds is told",
    run: () => {
      const history = cutAt(2, 2);
      assert.deepEqual(history.epochs.map(({ epoch }) => epoch), [1]);
      assert.equal(places(history.losses), "1/2 1/4 2/2");
      assert.equal(places(history.validations), "1/4");
      assert.deepEqual(history.best, {
        epoch: 1,
        accuracy: 0.5,
        kept: { epoch: 2, accuracy: 0.9 },
      });
      // Back once more, before any epoch: the checkpoint is still that of epoch 2.
      cutHistory(history, { epoch: 1, step: 0, stepsPerEpoch: STEPS, monitor });
      assert.deepEqual(history.best, {
        epoch: 0,
        accuracy: NaN,
        kept: { epoch: 2, accuracy: 0.9 },
      });
    },
  },
  {
    name: "back to the end of epoch 2, which was validated",
    must: "epoch 2 stays on record with all that the best brought",
    run: () => {
      const history = cutAt(2, STEPS);
      assert.equal(places(history.losses), "1/2 1/4 2/2 2/4");
      assert.equal(places(history.validations), "1/4 2/4");
      assert.deepEqual(history.best, madeHistory().best);
    },
  },
  {
    name: "a recovery from a lost worker beyond the checkpoint",
    must:
      "it stays on record: the worker was lost, and the part that is repeated has not lost it again",
    run: () => {
      const history = { ...madeHistory(), recoveries: [madeRecovery()] };
      cutHistory(history, { epoch: 1, step: 2, stepsPerEpoch: STEPS, monitor });
      assert.deepEqual(history.recoveries, [madeRecovery()]);
    },
  },
  {
    name: "a history that ends before the checkpoint",
    must: "it is refused, since epochs would be missing in between",
    run: () =>
      assert.throws(
        () => cutAt(5, 1),
        (error: Error) =>
          error instanceof UsageError &&
          /history\.json ends after epoch 3, but the checkpoint stands in epoch 5/.test(
            error.message,
          ),
      ),
  },
  {
    name: "an interruption between two points of the loss",
    must: "the next point is the mean over all steps since the one before",
    run: () => {
      const sums = (lossSum: number) => ({ lossSum, weight: 8, correct: 4, count: 8 });
      const ranks = [5, 3].map((samples) => ({ samples, times: undefined }));
      let now = 0;
      const meter = new StepMeter(2, () => now);
      meter.begin();
      assert.equal(meter.pending, undefined);
      meter.add(sums(16), ranks);
      now += 2000;
      const pending = JSON.parse(JSON.stringify(meter.pending));
      assert.deepEqual(pending, { ...sums(16), ranks: [5, 3], seconds: 2 });
      const resumed = new StepMeter(2, () => now);
      resumed.restore(pending);
      resumed.begin();
      resumed.add(sums(8), ranks);
      now += 2000;
      const point = resumed.take({ epoch: 1, step: 2, examples: 16, learningRate: 1 })!;
      assert.deepEqual([point.loss, point.accuracy, point.imagesPerSecond], [1.5, 0.5, 4]);
      assert.deepEqual(point.ranks.map(({ samples }) => samples), [10, 6]);
      assert.equal(resumed.pending, undefined);
      const other = new StepMeter(1, () => now);
      other.restore(pending);
      other.begin();
      assert.deepEqual(other.pending?.ranks, [0], "another number of workers");
    },
  },
  {
    name: "TensorBoard after a kill in epoch 1, in the middle of a record",
    must: "no point is there twice, and what was not validated on record is gone",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const board = openBoard(folder);
        board.metrics!(madePoint(1, 2));
        board.metrics!(madePoint(1, 4));
        board.validation!({ examples: 40, epoch: 1, step: 4, loss: 1, accuracy: 0.5 });
        board.epoch!(madeEpoch(1));
        board.close!();
        const [{ name }] = await Array.fromAsync(Deno.readDir(join(folder, "tensorboard")));
        const path = join(folder, "tensorboard", name);
        await Deno.writeFile(path, new Uint8Array([40, 0, 0, 0, 0, 0, 0]), { append: true });
        const whole = ["0 config", "2 loss/train", "4 loss/train", "4 loss/validation"];
        const open = (step: number, epochs: number, validated: boolean) =>
          openBoard(folder, { step, resumed: { epochs, points: 0, validated } }).close!();
        open(4, 1, true);
        assert.deepEqual(await shown(folder), [...whole, "4 epoch/train_loss"]);
        open(4, 0, true);
        assert.deepEqual(await shown(folder), whole);
        open(4, 0, false);
        assert.deepEqual(await shown(folder), whole.slice(0, 3));
        open(0, 0, false);
        assert.deepEqual(await shown(folder), whole.slice(0, 1));
        openBoard(folder).close!();
        assert.deepEqual(await shown(folder), ["0 config"], "a run that starts over");
      }),
  },
  {
    name: "events of a run that was killed, resumed, and sent back",
    must: "they stay in the file, and only those of the last time count",
    run: () =>
      withTemporaryFolder(async (folder) => {
        writeEvents(folder, [
          ["started", { epoch: 1, step: 0 }],
          ["validation", { epoch: 1, step: 2 }],
          ["epoch", { epoch: 1 }],
          ["epoch", { epoch: 2 }],
          ["stopped", { epoch: 2, step: 4 }],
          ["finished"],
          ["resumed", { epoch: 2, step: 1, from: "last-1" }],
          ["epoch", { epoch: 2 }],
        ]);
        const events = await readEvents(folder);
        assert.equal(events.length, 8);
        assert.deepEqual(
          standingEvents(events).map(({ type, epoch }) => `${type} ${epoch ?? ""}`.trim()),
          ["started 1", "validation 1", "epoch 1", "finished", "resumed 2", "epoch 2"],
        );
      }),
  },
  {
    name: "a run killed after its last epoch, before its report",
    must: "it is not complete until its report is written in the same session",
    run: () =>
      withTemporaryFolder(async (folder) => {
        assert.equal(await isComplete(folder), false);
        writeEvents(folder, [["started"], ["epoch"], ["finished"]]);
        assert.equal(await isComplete(folder), false);
        writeEvents(folder, [["resumed"], ["finished"], ["report"]]);
        assert.equal(await isComplete(folder), true);
        writeEvents(folder, [["resumed"]]);
        assert.equal(await isComplete(folder), false);
      }),
  },
  {
    name: "a run folder without checkpoints/last",
    must: "it starts over if it made no step; else what is missing is named, with what there is",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const checkpoints = join(folder, "checkpoints");
        assert.equal(await resumePoint(folder), undefined);
        await Deno.mkdir(join(checkpoints, "last@epoch1-step0-12345678"), { recursive: true });
        await writeHistory(folder, { ...madeHistory(), epochs: [], losses: [], validations: [] });
        assert.equal(await resumePoint(folder), undefined, "killed while writing the first");
        await writeHistory(folder, madeHistory());
        await assert.rejects(resumePoint(folder), /has made steps, but its checkpoints\/last is/);
        await Deno.mkdir(join(checkpoints, "last-1"));
        await Deno.writeTextFile(join(checkpoints, "last-1", "optimizer.safetensors"), "");
        await assert.rejects(
          resumePoint(folder),
          (error: Error) => error.message.includes(`--resume ${folder} --from last-1`),
        );
        assert.equal(await resumePoint(folder, "last-1"), "last-1");
        for (const name of ["../checkpoints/last-1", "last-2"]) {
          await assert.rejects(resumePoint(folder, name), /optimizer state: last-1$/);
        }
      }),
  },
  {
    name: "--from without --resume",
    must: "it is refused with the missing flag",
    run: () =>
      assert.rejects(
        runCommand(TRAIN, ["--from", "last-1"]),
        (error: Error) => error instanceof UsageError && /give --resume, too/.test(error.message),
      ),
  },
];
