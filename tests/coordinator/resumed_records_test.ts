import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { checkHistoryMark, historyMark } from "../../src/coordinator/state/history_mark.ts";
import type { PreparedRun } from "../../src/coordinator/preparation/prepare.ts";
import type { SavedState } from "../../src/coordinator/state/saved_state.ts";
import { requireBest } from "../../src/coordinator/training.ts";
import { checkResumedBest } from "../../src/coordinator/state/resumed_best.ts";
import { type History, readHistory, writeHistory } from "../../src/records/history.ts";
import { type CheckpointFacts, writeCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { madeEpoch } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Three epochs of four steps with a point at each second one and a validation after each. */
function madeHistory(scale = 1): History {
  const at = (epoch: number, step: number) => ({ examples: 10 * (4 * epoch + step), epoch, step });
  return {
    config: {},
    epochs: [1, 2, 3].map(madeEpoch),
    losses: [1, 2, 3].flatMap((epoch) =>
      [2, 4].map((step) => ({ ...at(epoch, step), loss: scale / (4 * epoch + step) }))
    ),
    validations: [1, 2, 3].map((epoch) => ({ ...at(epoch, 4), loss: scale * 0.1, accuracy: 0.5 })),
    best: { epoch: 2, accuracy: 0.9 },
    workers: 2,
  };
}

Deno.test("a mark tells the history up to its place from one that was cut and from another run's", () =>
  withTemporaryFolder(async (folder) => {
    const whole = madeHistory();
    whole.losses[3].loss = NaN; // written as null
    await writeHistory(folder, whole);
    const read = await readHistory(folder);
    for (const place of [[1, 0], [1, 3], [2, 2], [2, 4], [3, 0], [3, 4]]) {
      const [epoch, step] = place;
      checkHistoryMark(read, historyMark(whole, { epoch, step }), { epoch, step });
    }
    // A validation at the place itself may come after the checkpoint.
    const before = { ...whole, validations: whole.validations.slice(0, 1) };
    const place = { epoch: 2, step: 4 };
    checkHistoryMark(whole, historyMark(before, place), place);

    const refuses = (history: Partial<History>, what: RegExp) =>
      assert.throws(
        () => checkHistoryMark({ ...whole, ...history }, historyMark(whole, place), place),
        (error: Error) =>
          error instanceof UsageError && what.test(error.message) &&
          error.message.includes("epoch 2, step 4: up to there"),
      );
    refuses({ epochs: [] }, /it has 0 epochs in the place of 1; restore the history\.json/);
    refuses({ losses: whole.losses.slice(2) }, /it has 2 points of the training loss in .* of 4;/);
    refuses({ validations: whole.validations.slice(1) }, /it has 0 validations in the place of 1;/);
    refuses({ losses: madeHistory(1.5).losses }, /its numbers are others/);
  }));

Deno.test("best weights that are gone are said to be, and the next epoch is the best", () =>
  withTemporaryFolder(async (folder) => {
    const write = (epoch: number, accuracy: number) => {
      const facts: CheckpointFacts = {
        model: { name: "plain_cnn", numClasses: 2 },
        classes: ["a", "b"],
        epoch,
        step: 4,
        globalBatch: 10,
        optimizerSteps: 4 * epoch,
        train: { lossSum: 1, weight: 1, correct: 1, count: 1 },
        seconds: 1,
        accuracy,
        fingerprint: "f",
      };
      const data = new Uint8Array(Float32Array.of(epoch).buffer);
      return writeCheckpoint(folder, "best", facts, {
        model: new Map([["w", { dtype: "float32", data, shape: [1] }]]),
      });
    };
    const check = async () => {
      const history = madeHistory();
      const warning = await checkResumedBest(folder, history);
      return { warning, best: history.best };
    };
    const lost = { epoch: 0, accuracy: NaN };
    const missing = await check();
    const saved = { requireAll: () => {} } as SavedState;
    const run = { config: { checkpoint: { monitor: "accuracy" } } } as PreparedRun;
    assert.throws(
      () => requireBest({ run, saved, history: { ...madeHistory(), best: missing.best } }),
      /The best weights are lost, and no epoch came after that: .*--from/,
    );
    assert.match(missing.warning!, /best weights so far \(epoch 2, accuracy 0\.900\) are lost: /);
    assert.deepEqual(missing.best, lost);

    await write(2, 0.9);
    assert.deepEqual(await check(), { warning: undefined, best: { epoch: 2, accuracy: 0.9 } });

    const path = join(folder, "best", "model.safetensors");
    await Deno.truncate(path, (await Deno.stat(path)).size - 1);
    const cut = await check();
    assert.match(cut.warning!, /model\.safetensors is cut short or altered/);
    assert.deepEqual(cut.best, lost);

    await write(2, 0.8);
    const other = await check();
    assert.match(other.warning!, /best is of epoch 2 with accuracy 0\.800/);
    assert.deepEqual(other.best, lost);

    // Killed between the best checkpoint and the history: epoch 4 is made again.
    await write(4, 0.95);
    assert.deepEqual(await check(), {
      warning: undefined,
      best: { epoch: 2, accuracy: 0.9, kept: { epoch: 4, accuracy: 0.95 } },
    });
  }));
