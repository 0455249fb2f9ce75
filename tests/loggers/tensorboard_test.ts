import assert from "node:assert/strict";
import { join } from "node:path";
import { openTensorBoard } from "../../src/loggers/tensorboard.ts";
import { readEventFile } from "../support/event_reader.ts";
import { madeRecovery } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("TensorBoard's files have a recovery at its step: seconds, workers, and the reasons as code", () =>
  withTemporaryFolder(async (folder) => {
    const start = { folder, config: {}, classes: ["a"], stepsPerEpoch: 10, step: 0 };
    const logger = openTensorBoard(start);
    const reasons = ["Rank 1 ended; its last lines:\n  | <b>no</b> memory", "Rank 2 is silent"];
    logger.recovery!({ ...madeRecovery(2), ranks: [1, 2], reasons });
    logger.close!();
    const events = join(folder, "tensorboard");
    const [{ name }] = await Array.fromAsync(Deno.readDir(events));
    const { step, values } = readEventFile(await Deno.readFile(join(events, name))).at(-1)!;
    assert.equal(step, 13);
    assert.deepEqual(values.map(({ tag }) => tag), [
      "recovery/seconds",
      "recovery/workers",
      "recovery",
    ]);
    assert.deepEqual(values.slice(0, 2).map(({ scalar }) => scalar), [1.25, 2]);
    assert.equal(
      values[2].text,
      "Lost rank 1, 2; policy restart; 2 workers after 1.3 s:\n\n" +
        "    Rank 1 ended; its last lines:\n      | <b>no</b> memory\n\n    Rank 2 is silent\n",
    );
  }));
