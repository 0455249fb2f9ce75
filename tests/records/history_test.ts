import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import {
  type History,
  readHistory,
  writeHistory,
  writeHistoryTable,
} from "../../src/records/history.ts";
import { madeRecovery } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const HISTORY: History = {
  config: { name: "food", seed: 0, train: { epochs: 2 } },
  epochs: [1, 2].map((epoch) => ({
    epoch,
    learningRate: 0.01,
    train: { loss: 1 / epoch, accuracy: 0.5 },
    validation: { loss: epoch === 2 ? NaN : 0.75, accuracy: 0.25 * epoch, count: 57 },
    seconds: 4.5,
    imagesPerSecond: 60.25,
  })),
  losses: [],
  validations: [],
  best: {
    epoch: 2,
    accuracy: 0.5,
    classes: ["a", "b"],
    perClassAccuracy: [{ class: "a", accuracy: 0.5, count: 2 }, {
      class: "b",
      accuracy: NaN,
      count: 0,
    }],
    confusionMatrix: [[1, 1], [0, 0]],
  },
  workers: 2,
};

Deno.test("writeHistory() and readHistory() keep every value, NaN included", () =>
  withTemporaryFolder(async (folder) => {
    const recovered = { ...HISTORY, recoveries: [madeRecovery(1), madeRecovery(2)] };
    await writeHistory(folder, recovered);
    assert.deepEqual(await readHistory(folder), recovered);
    await writeHistory(folder, HISTORY);
    assert.deepEqual(await readHistory(folder), HISTORY, "without recoveries, as older files are");
    const names = Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
    assert.deepEqual(names, ["history.json"], "no temporary file stays");
  }));

Deno.test("writeHistory() writes the documented keys", () =>
  withTemporaryFolder(async (folder) => {
    await writeHistory(folder, HISTORY);
    const tree = JSON.parse(await Deno.readTextFile(join(folder, "history.json")));
    assert.deepEqual(Object.keys(tree), [
      "historyVersion",
      "config",
      "epochs",
      "losses",
      "validations",
      "best",
      "workers",
    ]);
    assert.deepEqual(tree.epochs[0], {
      epoch: 1,
      learningRate: 0.01,
      train: { loss: 1, accuracy: 0.5 },
      validation: { loss: 0.75, accuracy: 0.25, count: 57 },
      seconds: 4.5,
      imagesPerSecond: 60.25,
    });
    assert.equal(tree.epochs[1].validation.loss, null);
  }));

Deno.test("writeHistoryTable() writes one CSV line per epoch under a header", () =>
  withTemporaryFolder(async (folder) => {
    await writeHistoryTable(folder, HISTORY);
    const lines = (await Deno.readTextFile(join(folder, "history.csv"))).split("\n");
    assert.deepEqual(lines, [
      "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy," +
      "validation_count,seconds,images_per_second",
      "1,0.01,1,0.5,0.75,0.25,57,4.5,60.25",
      "2,0.01,0.5,0.5,NaN,0.5,57,4.5,60.25",
      "",
    ]);
  }));

Deno.test("readHistory() names the file and what is wrong with it", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "history.json");
    const valid = JSON.stringify(HISTORY);
    const cases: [string | undefined, RegExp][] = [
      [undefined, /history\.json can't be read .*--resume/],
      [valid.replace("{", '{"historyVersion":9,'), /history of version 9, of another Lockstep/],
      [valid.slice(0, -9), /history\.json is not valid JSON/],
      [valid.replace('"workers":2', '"workers":0'), /history\.json is not a history, workers: /],
      [valid.replace('"count":57', '"count":"57"'), /epochs\.0\.validation\.count: .*string/],
      [valid.replace('"epoch":2', '"epoch":3'), /has epoch 3 where epoch 2 belongs/],
      [
        JSON.stringify({ ...HISTORY, recoveries: [{ ...madeRecovery(), policy: "pray" }] }),
        /history\.json is not a history, recoveries\.0\.policy: .*restart/,
      ],
    ];
    for (const [text, expected] of cases) {
      if (text !== undefined) await Deno.writeTextFile(path, text);
      await assert.rejects(readHistory(folder), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, expected);
        return true;
      });
    }
  }));
