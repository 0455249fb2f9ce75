import assert from "node:assert/strict";
import { join } from "node:path";
import { RunDigest } from "../../src/dashboard/run_digest.ts";
import { RunList } from "../../src/dashboard/run_list.ts";
import { EventLog } from "../../src/records/event_log.ts";
import { lastLine } from "../../src/records/line_tail.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Counts the bytes that `action` reads from files. */
async function bytesReadBy(action: () => Promise<void>): Promise<number> {
  let total = 0;
  const { read } = Deno.FsFile.prototype;
  const { readFile, readTextFile } = Deno;
  Deno.FsFile.prototype.read = async function (into) {
    const count = await read.call(this, into);
    total += count ?? 0;
    return count;
  };
  Deno.readFile = async (...args) => {
    const bytes = await readFile(...args);
    total += bytes.length;
    return bytes;
  };
  Deno.readTextFile = async (...args) => {
    const text = await readTextFile(...args);
    total += text.length;
    return text;
  };
  try {
    await action();
    return total;
  } finally {
    Deno.FsFile.prototype.read = read;
    Object.assign(Deno, { readFile, readTextFile });
  }
}

function epoch(number: number) {
  const accuracy = number / 20_000;
  return { epoch: number, seconds: 2, validation: { loss: 1 / number, accuracy, count: 5 } };
}

Deno.test("the list of runs and /metrics read what is new, not a long log again and again", () =>
  withTemporaryFolder(async (folder) => {
    const run = join(folder, "long");
    await Deno.mkdir(run);
    await Deno.writeTextFile(join(run, "config.yaml"), "name: long\ntrain: { epochs: 20000 }\n");
    const line = (type: string, fields: object) =>
      JSON.stringify({ time: "2026-11-28T12:00:00.000Z", type, ...fields }) + "\n";
    const lines = [
      line("started", { epoch: 1 }),
      ...Array.from({ length: 20_000 }, (_, index) => line("skipped", { path: `${index}.jpg` })),
      ...Array.from({ length: 10_000 }, (_, index) => line("epoch", epoch(index + 1))),
    ];
    const path = join(run, "events.jsonl");
    await Deno.writeTextFile(path, lines.join(""));
    const { size } = await Deno.stat(path);
    assert.ok(size > 2_000_000);
    const list = new RunList(folder);
    const [first] = await list.all();
    assert.deepEqual([first.epochs, first.ofEpochs, first.seconds], [10_000, 20_000, 20_000]);
    assert.deepEqual(first.best, { accuracy: 0.5, epoch: 10_000 });
    const read = await bytesReadBy(async () => {
      for (let turn = 1; turn <= 20; turn++) {
        using events = new EventLog(run);
        events.append("epoch", epoch(10_000 + turn));
        const [next] = await list.all();
        assert.equal(next.epochs, 10_000 + turn);
        assert.equal((await list.progress("long"))!.validation!.loss, 1 / (10_000 + turn));
      }
    });
    assert.ok(read > 1000 && read < 10_000, `${read} bytes for 20 lines, the log has ${size}`);
    assert.ok((await lastLine(path))!.includes('"epoch":10020'));
    assert.equal(await lastLine(join(run, "none.jsonl")), undefined);
  }));

Deno.test("RunDigest begins anew when the log is another one, and asks at the same time agree", () =>
  withTemporaryFolder(async (folder) => {
    const digest = new RunDigest(folder);
    assert.equal((await digest.progress()).turn, undefined);
    {
      using events = new EventLog(folder);
      events.append("started", {});
      events.append("epoch", epoch(1));
      events.append("epoch", epoch(2));
      events.append("failed", { message: "no memory" });
    }
    const both = await Promise.all([digest.progress(), digest.progress()]);
    assert.deepEqual(both[0], both[1]);
    assert.deepEqual(
      [both[0].epochs, both[0].seconds, both[0].message, both[0].turn],
      [2, 4, "no memory", "failed"],
    );
    await Deno.remove(join(folder, "events.jsonl"));
    {
      using events = new EventLog(folder);
      events.append("started", {});
    }
    const anew = await digest.progress();
    assert.deepEqual([anew.epochs, anew.message, anew.turn], [0, null, "started"]);
  }));

Deno.test("RunDigest counts workers and recoveries, and takes back the epochs that are made again", () =>
  withTemporaryFolder(async (folder) => {
    const digest = new RunDigest(folder);
    using events = new EventLog(folder);
    const after = async (type: string, fields: object = {}) => {
      events.append(type, { ...fields });
      const { workers, recoveries, recoverySeconds, isRecovering, epochs } = await digest
        .progress();
      return [workers, recoveries, recoverySeconds, isRecovering, epochs];
    };
    assert.deepEqual(await after("started", { epoch: 1, step: 0 }), [null, 0, 0, false, 0]);
    assert.deepEqual(await after("joined", { workers: [{}, {}] }), [2, 0, 0, false, 0]);
    for (const number of [1, 2, 3]) await after("epoch", epoch(number));
    assert.deepEqual(await after("workersLost"), [2, 0, 0, true, 3]);
    const shrunk = { policy: "shrink", epoch: 4, step: 1, workers: 1, seconds: 2 };
    assert.deepEqual(await after("recovery", shrunk), [1, 1, 2, false, 3]);
    await after("workersLost");
    const back = { policy: "checkpoint", epoch: 2, step: 3, workers: 1, seconds: 0.5 };
    assert.deepEqual(await after("recovery", back), [1, 2, 2.5, false, 1]);
    await after("workersLost");
    assert.deepEqual(await after("failed", { message: "again" }), [1, 2, 2.5, false, 1]);
  }));

Deno.test("RunDigest names the devices that the workers have opened", () =>
  withTemporaryFolder(async (folder) => {
    const digest = new RunDigest(folder);
    const gpu = (index: number, name: string) => ({
      ...{ kind: "gpu", name, uuid: `GPU-${index}`, index, tensorflow: ["CPU:0", "GPU:0"] },
    });
    using events = new EventLog(folder);
    const after = async (devices: unknown) => {
      events.append("devices", { devices });
      return (await digest.progress()).devices;
    };
    assert.equal((await digest.progress()).devices, null);
    const cards = [gpu(0, "NVIDIA L4"), gpu(1, "NVIDIA T4"), gpu(2, "NVIDIA L4")];
    assert.equal(await after(cards), "2 × NVIDIA L4, NVIDIA T4");
    const cpu = { kind: "cpu", name: "CPU", tensorflow: ["CPU:0"] };
    assert.equal(await after([cpu, cpu]), "CPU");
    assert.equal(await after("<script>"), null, "a file of others may hold anything");
  }));
