import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../src/base/paths.ts";
import { type History, readHistory, writeHistory } from "../../src/records/history.ts";
import { HistoryWriter } from "../../src/records/history_writer.ts";
import { addMadeEpoch } from "../support/made_history.ts";
import { madeRecovery } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const POINTS = 20;
const attempt = async (_what: string, action: () => Promise<void>) => await action();

function emptyHistory(): History {
  const best = { epoch: 0, accuracy: NaN };
  return { config: { name: "long" }, epochs: [], losses: [], validations: [], best, workers: 2 };
}

/** Adds an epoch; every 10th is the best so far. */
function addEpoch(history: History): void {
  const epoch = history.epochs.length + 1;
  const accuracy = Math.floor(epoch / 10) / 1e4;
  addMadeEpoch(history, { accuracy, points: POINTS, count: 57 });
  if (epoch % 10 === 0) history.best = { epoch, accuracy, classes: ["a", "b"] };
}

Deno.test("HistoryWriter writes a small multiple of what a long run leaves, and nothing is missing at a kill", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "history.json");
    const history = emptyHistory();
    let written = 0;
    let wholes = 0;
    let before: number | null | undefined;
    {
      using writer = new HistoryWriter(folder, attempt);
      for (let epoch = 1; epoch <= 1500; epoch++) {
        addEpoch(history);
        if (epoch % 300 === 0) (history.recoveries ??= []).push(madeRecovery(epoch));
        await writer.save(history);
        const { size, ino } = await Deno.stat(path);
        if (ino !== before) [written, wholes, before] = [written + size, wholes + 1, ino];
        if (epoch % 250 === 0) assert.deepEqual(await readHistory(folder), history, `${epoch}`);
      }
      // As a kill leaves it: the log open, its last line half there.
      await Deno.writeTextFile(join(folder, "history.jsonl"), '{"epochs":[{"ep', { append: true });
      assert.deepEqual(await readHistory(folder), history);
      await writer.finish(history);
    }
    const { size } = await Deno.stat(path);
    // The short beginning, each time whole, and then sizes that grow by a quarter.
    assert.ok(written < 20 * 1024 * 1024 + 7 * size, `${written} bytes for ${size}`);
    assert.ok(wholes < 250, `${wholes} whole writes of 1,500`);
    assert.equal(await exists(join(folder, "history.jsonl")), false);
    assert.equal(JSON.parse(await Deno.readTextFile(path)).log, undefined);
    assert.deepEqual(await readHistory(folder), history);
    assert.equal((await Deno.readTextFile(join(folder, "history.csv"))).split("\n").length, 1502);
  }));

Deno.test("HistoryWriter.finish() writes what a failed run has not saved, and no file of nothing", () =>
  withTemporaryFolder(async (folder) => {
    using writer = new HistoryWriter(folder, attempt);
    const history = emptyHistory();
    await writer.finish(history);
    assert.equal(await exists(join(folder, "history.json")), false);
    addEpoch(history);
    await writer.save(history);
    const { ino } = await Deno.stat(join(folder, "history.json"));
    await writer.finish(history);
    assert.equal((await Deno.stat(join(folder, "history.json"))).ino, ino, "nothing was new");
    (history.recoveries ??= []).push(madeRecovery(2));
    await writer.finish(history);
    assert.deepEqual(await readHistory(folder), history, "a recovery alone is news enough");
    history.losses.push({ examples: 105, epoch: 2, step: 1, loss: 0.5 });
    await writer.finish(history);
    assert.deepEqual(await readHistory(folder), history);
    assert.match(await Deno.readTextFile(join(folder, "losses.csv")), /^105,2,1,train,0\.5,$/m);
  }));

Deno.test("HistoryWriter takes back what a history has lost, and an older log doesn't count", () =>
  withTemporaryFolder(async (folder) => {
    const history = emptyHistory();
    using writer = new HistoryWriter(folder, attempt);
    for (let epoch = 1; epoch <= 250; epoch++) {
      addEpoch(history);
      await writer.save(history);
    }
    const log = join(folder, "history.jsonl");
    const old = await Deno.readTextFile(log);
    assert.ok(old.split("\n").length > 2, "the log is in use");
    history.epochs.splice(200);
    history.losses.splice(200 * POINTS);
    history.validations.splice(200);
    await writer.save(history);
    assert.deepEqual(await readHistory(folder), history);
    // The process ended between the new file and the removal of the old log.
    await Deno.writeTextFile(log, old);
    assert.deepEqual(await readHistory(folder), history);
    await writeHistory(folder, history);
    await Deno.writeTextFile(log, old);
    assert.deepEqual(await readHistory(folder), history);
  }));

Deno.test("history.json of 21,000 classes holds cells, not a matrix of 441 million numbers", () =>
  withTemporaryFolder(async (folder) => {
    const history = emptyHistory();
    addEpoch(history);
    const classes = Array.from({ length: 21_000 }, (_, index) => `class_${index}`);
    history.best = {
      epoch: 1,
      accuracy: 0.5,
      classes,
      perClassAccuracy: classes.map((name) => ({ class: name, accuracy: 0.5, count: 2 })),
      confusions: classes.flatMap((_, label): [number, number, number][] => [
        [label, label, 1],
        [label, (label + 7) % 21_000, 1],
      ]),
    };
    await writeHistory(folder, history);
    assert.ok((await Deno.stat(join(folder, "history.json"))).size < 4_000_000);
    assert.deepEqual(await readHistory(folder), history);
  }));
