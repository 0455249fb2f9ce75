import assert from "node:assert/strict";
import { join } from "node:path";
import { LOGGERS, loggersSchema } from "../../src/loggers/config.ts";
import type { LoggerStart } from "../../src/loggers/logger.ts";
import { listenWithLoggers } from "../../src/coordinator/listeners/logger_listener.ts";
import { RunEvents } from "../../src/events/run_events.ts";
import { madeEpoch, madePoint } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Bytes of all files below a folder. */
async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    bytes += isDirectory ? await bytesIn(path) : (await Deno.stat(path)).size;
  }
  return bytes;
}

for (const [name, { title, isDefault, open }] of Object.entries(LOGGERS)) {
  Deno.test(`the logger ${name} keeps a run's numbers, and goes on with those of a resumed run`, () =>
    withTemporaryFolder(async (folder) => {
      const start: LoggerStart = {
        folder,
        config: { name: "a run" },
        classes: ["a", "b"],
        stepsPerEpoch: 4,
        step: 0,
      };
      const warnings: string[] = [];
      const record = async (of: LoggerStart, epoch: number) => {
        const events = new RunEvents();
        events.add({
          name: "The test",
          hear: (event) => event.type === "warning" ? void warnings.push(event.message) : undefined,
        });
        const closing = await listenWithLoggers(events, [{ name: title, open }], of);
        events.emit({ type: "metrics", point: madePoint(epoch, 2) });
        const point = { examples: 8, epoch, step: 4, loss: 1, accuracy: 0.5 };
        events.emit({ type: "validation", point });
        const reason = "Rank 1 ended; its last lines:\n  | <b>";
        const place = { generation: 1, epoch, step: 4 };
        const workers = [{ rank: 1, pid: 7, host: "here", reason }];
        events.emit({ type: "workersLost", ...place, during: "training", workers });
        const recovery = { ranks: [1], reasons: [reason], workers: 2, restarts: 1, seconds: 1.5 };
        events.emit({ type: "recovery", ...place, policy: "restart", ...recovery });
        events.emit({ type: "epochEnded", record: madeEpoch(epoch) });
        closing[Symbol.dispose]();
        return await bytesIn(folder);
      };
      const first = await record(start, 1);
      assert.ok(first > 0, "it keeps them in the run folder");
      const resumed = { epochs: 1, points: 1, validated: true };
      assert.ok(await record({ ...start, step: 4, resumed }, 2) > first);
      assert.deepEqual(warnings, []);
    }));

  Deno.test(`loggers.${name} of a config turns the logger on and off`, () => {
    assert.deepEqual(Object.entries(loggersSchema.parse({})).find(([key]) => key === name), [
      name,
      isDefault,
    ]);
    assert.equal(loggersSchema.safeParse({ [name]: !isDefault }).success, true);
    assert.equal(loggersSchema.safeParse({ [name]: "yes" }).success, false);
  });
}
