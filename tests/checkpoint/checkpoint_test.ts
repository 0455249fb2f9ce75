import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import {
  type CheckpointFacts,
  readCheckpoint,
  writeCheckpoint,
} from "../../src/checkpoint/checkpoint.ts";
import { cleanCheckpoints } from "../../src/checkpoint/checkpoint_names.ts";
import { toFloat32, type TorchTensor } from "../../src/weights/torch_tensor.ts";
import { writeVersion2 } from "../support/version_2.ts";

const FACTS: CheckpointFacts = {
  model: { name: "resnet18", numClasses: 2 },
  classes: ["ants", "bees"],
  epoch: 1,
  step: 5,
  globalBatch: 8,
  optimizerSteps: 5,
  train: { lossSum: 3.25, weight: 8, correct: 4, count: 8 },
  seconds: 1.5,
  accuracy: 0.5,
  fingerprint: "a1b2",
};

function stateOf(...values: number[]): Map<string, TorchTensor> {
  const data = new Uint8Array(new Float32Array(values).buffer);
  return new Map([["fc.weight", { dtype: "float32", shape: [values.length], data }]]);
}

/** A checkpoints folder that is gone after the test. */
async function makeFolder(): Promise<AsyncDisposable & { path: string }> {
  const root = await Deno.makeTempDir();
  return {
    path: join(root, "checkpoints"),
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  };
}

/** Writes `last` as the run does: with the optimizer's state, keeping the one before. */
function writeLast(folder: string, step: number): Promise<void> {
  const tensors = { model: stateOf(step, 2), optimizer: stateOf(-step) };
  return writeCheckpoint(folder, "last", { ...FACTS, step }, tensors, { keepPrevious: true });
}

async function valuesOf(path: string): Promise<number[]> {
  return [...toFloat32((await readCheckpoint(path)).model.get("fc.weight")!)];
}

async function entriesOf(folder: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  return names.map((name) => name.replace(/-[0-9a-f]{8}$/, "")).sort();
}

Deno.test("writeCheckpoint() refuses averages or optimizer state that overflowed; the one before stays", async () => {
  await using folder = await makeFolder();
  await writeLast(folder.path, 5);
  for (const part of ["averages", "optimizer"] as const) {
    const tensors = { model: stateOf(7), [part]: stateOf(1, -Infinity) };
    await assert.rejects(
      writeCheckpoint(folder.path, "last", { ...FACTS, step: 6 }, tensors),
      /Checkpoint last after epoch 1, step 6 is not written.*tensor fc\.weight holds -Infinity at \[1\]/,
    );
  }
  assert.deepEqual(await valuesOf(join(folder.path, "last")), [5, 2]);
  assert.deepEqual(await entriesOf(folder.path), ["last", "last@epoch1-step5"]);
});

Deno.test("readCheckpoint() gives back what writeCheckpoint() wrote", async () => {
  await using folder = await makeFolder();
  await writeLast(folder.path, 5);
  const { info, model, optimizer } = await readCheckpoint(join(folder.path, "last"));
  const { checkpointVersion, lockstep, sha256, ...facts } = info;
  assert.deepEqual(facts, FACTS);
  assert.equal(checkpointVersion, 3);
  assert.match(lockstep, /^\d+\.\d+\.\d+/);
  assert.deepEqual(Object.keys(sha256).sort(), ["model.safetensors", "optimizer.safetensors"]);
  assert.deepEqual([...toFloat32(model.get("fc.weight")!)], [5, 2]);
  assert.deepEqual([...toFloat32(optimizer!.get("fc.weight")!)], [-5]);
});

Deno.test("writeCheckpoint() without an optimizer writes and reads none", async () => {
  await using folder = await makeFolder();
  await writeCheckpoint(folder.path, "best", FACTS, { model: stateOf(1) });
  const { optimizer } = await readCheckpoint(join(folder.path, "best"));
  assert.equal(optimizer, undefined);
});

Deno.test("writeCheckpoint() keeps one before, and removes the older ones", async () => {
  await using folder = await makeFolder();
  const last = join(folder.path, "last");
  for (const step of [1, 2, 3]) await writeLast(folder.path, step);
  await writeCheckpoint(folder.path, "best", FACTS, { model: stateOf(9) });
  assert.deepEqual(await valuesOf(last), [3, 2]);
  assert.deepEqual(await valuesOf(`${last}-1`), [2, 2]);
  assert.deepEqual(await entriesOf(folder.path), [
    "best",
    "best@epoch1-step5",
    "last",
    "last-1",
    "last@epoch1-step2",
    "last@epoch1-step3",
  ]);
});

Deno.test("writeCheckpoint() leaves the old checkpoint when it can't write the new one", async () => {
  await using folder = await makeFolder();
  await writeLast(folder.path, 1);
  const broken: TorchTensor = { dtype: "float32", shape: [5], data: new Uint8Array(4) };
  const tensors = { model: stateOf(2), optimizer: new Map([["fc.weight", broken]]) };
  await assert.rejects(
    writeCheckpoint(folder.path, "last", { ...FACTS, step: 2 }, tensors, { keepPrevious: true }),
    RangeError,
  );
  assert.deepEqual(await valuesOf(join(folder.path, "last")), [1, 2]);
  assert.deepEqual(await entriesOf(folder.path), ["last", "last@epoch1-step1"]);
});

Deno.test("writeCheckpoint() shows a reader the old or the new checkpoint, never a part", async () => {
  await using folder = await makeFolder();
  const last = join(folder.path, "last");
  await writeLast(folder.path, 0);
  const seen = new Set<number>();
  let writing = true;
  const reading = (async () => {
    while (writing) {
      const target = await Deno.realPath(last);
      try {
        const [step, constant] = await valuesOf(target);
        assert.equal(constant, 2);
        seen.add(step);
      } catch (error) {
        // Only a reader that two newer checkpoints overtook may find its own gone.
        if (await Deno.realPath(last) === target) throw error;
      }
    }
  })();
  for (let step = 1; seen.size < 10 && step <= 200; step++) await writeLast(folder.path, step);
  writing = false;
  await reading;
  assert.ok(seen.size >= 10, `only ${seen.size} checkpoints were seen`);
});

Deno.test("cleanCheckpoints() removes what a crash left, and nothing else", async () => {
  await using folder = await makeFolder();
  await cleanCheckpoints(folder.path); // not there yet
  for (const step of [1, 2]) await writeLast(folder.path, step);
  const before = await entriesOf(folder.path);
  const left = join(folder.path, "last@epoch9-step9-00000000");
  await Deno.mkdir(left);
  await Deno.writeTextFile(join(left, "model.safetensors"), "half");
  await Deno.writeTextFile(join(folder.path, "notes.txt"), "mine");
  await cleanCheckpoints(folder.path);
  assert.deepEqual(await entriesOf(folder.path), [...before, "notes.txt"].sort());
  assert.deepEqual(await valuesOf(join(folder.path, "last")), [2, 2]);
});

const damages: [string, (folder: string) => Promise<void>, RegExp][] = [
  [
    "a model cut short",
    (path) => Deno.truncate(join(path, "model.safetensors"), 40),
    /model\.safetensors is cut short or altered/,
  ],
  [
    "an altered optimizer",
    async (path) => {
      const file = join(path, "optimizer.safetensors");
      const bytes = await Deno.readFile(file);
      bytes[bytes.length - 1] ^= 1;
      await Deno.writeFile(file, bytes);
    },
    /optimizer\.safetensors is cut short or altered/,
  ],
  [
    "a missing model",
    (path) => Deno.remove(join(path, "model.safetensors")),
    /No such file|cannot find/i,
  ],
  [
    "a description cut short",
    (path) => Deno.truncate(join(path, "checkpoint.json"), 30),
    /JSON/,
  ],
  [
    "another version",
    async (path) => {
      const file = join(path, "checkpoint.json");
      const { digest: _, ...info } = JSON.parse(await Deno.readTextFile(file));
      await Deno.writeTextFile(file, JSON.stringify({ ...info, checkpointVersion: 99 }));
    },
    /it is of version 99, written by Lockstep .* reads versions 2 and 3: use the Lockstep that wrote it/s,
  ],
];

for (const [what, damage, message] of damages) {
  Deno.test(`readCheckpoint() refuses ${what} and offers the one before`, async () => {
    await using folder = await makeFolder();
    const last = join(folder.path, "last");
    for (const step of [1, 2]) await writeLast(folder.path, step);
    await damage(last);
    await assert.rejects(readCheckpoint(last), (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.ok(error.message.startsWith(`Checkpoint ${last} can't be used: `), error.message);
      assert.match(error.message, message);
      assert.ok(error.message.includes(`${last}-1`), error.message);
      return true;
    });
    assert.deepEqual(await valuesOf(`${last}-1`), [1, 2]);
  });
}

Deno.test("readCheckpoint() of a folder that isn't there offers no other", async () => {
  await assert.rejects(readCheckpoint("no/such/checkpoint"), (error: Error) => {
    return error instanceof UsageError && !error.message.includes("-1") &&
      /give another checkpoint or start a new run/.test(error.message);
  });
});

Deno.test("readCheckpoint() reads version 2, which has no digest and no config", async () => {
  await using folder = await makeFolder();
  await writeLast(folder.path, 5);
  await writeVersion2(join(folder.path, "last"));
  const { info } = await readCheckpoint(join(folder.path, "last"));
  assert.equal(info.checkpointVersion, 2);
  assert.equal(info.config, undefined);
});

Deno.test("readCheckpoint() notices a flip of any bit of checkpoint.json", async () => {
  await using folder = await makeFolder();
  const facts = { ...FACTS, config: { train: { lr: 0.1 } } };
  await writeCheckpoint(folder.path, "last", facts, { model: stateOf(1) });
  const last = join(folder.path, "last");
  const file = join(last, "checkpoint.json");
  const bytes = await Deno.readFile(file);
  const unnoticed: number[] = [];
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] ^= 1 << (bit & 7);
    await Deno.writeFile(file, flipped);
    try {
      await readCheckpoint(last);
      unnoticed.push(bit);
    } catch (error) {
      assert.ok(error instanceof UsageError, String(error));
    }
  }
  assert.ok(bytes.length > 600);
  assert.deepEqual(unnoticed, []);
  await Deno.writeFile(file, bytes);
  assert.deepEqual((await readCheckpoint(last)).info.config, facts.config);
});

Deno.test("cleanCheckpoints() leaves a folder of the user's own, and finishes a name's move", async () => {
  await using folder = await makeFolder();
  for (const step of [1, 2]) await writeLast(folder.path, step);
  const own = [
    "best@keep",
    "last@epoch1-step1-mine",
    "last@epoch1-step1-0000000g",
    "mine@epoch1-step1-00000000",
  ];
  for (const name of own) await Deno.mkdir(join(folder.path, name));
  await Deno.rename(join(folder.path, "last"), join(folder.path, ".last.next"));
  assert.deepEqual(await valuesOf(join(folder.path, "last")), [2, 2]); // killed between two renames
  await cleanCheckpoints(folder.path);
  assert.deepEqual(await valuesOf(join(folder.path, "last")), [2, 2]);
  const names = Array.from(Deno.readDirSync(folder.path), ({ name }) => name);
  for (const name of own) assert.ok(names.includes(name), name);
});

/** Copies a folder as `cp -L` does: what a link leads to is copied in its place. */
async function copyWithoutLinks(from: string, to: string): Promise<void> {
  const { success } = await new Deno.Command("cp", { args: ["-rL", from, to] }).output();
  assert.ok(success);
}

Deno.test("checkpoints go on in a copy without links", async () => {
  await using folder = await makeFolder();
  for (const step of [1, 2]) await writeLast(folder.path, step);
  await writeCheckpoint(folder.path, "best", FACTS, { model: stateOf(9) });
  const copy = `${folder.path}-copy`;
  await copyWithoutLinks(folder.path, copy);
  const last = join(copy, "last");
  assert.deepEqual(await valuesOf(last), [2, 2]);
  assert.deepEqual(await valuesOf(`${last}-1`), [1, 2]);
  await cleanCheckpoints(copy);
  assert.deepEqual(await valuesOf(last), [2, 2]);
  await writeLast(copy, 3);
  await writeCheckpoint(copy, "best", FACTS, { model: stateOf(8) });
  assert.deepEqual(await valuesOf(last), [3, 2]);
  assert.deepEqual(await valuesOf(`${last}-1`), [2, 2]);
  assert.deepEqual(await valuesOf(join(copy, "best")), [8]);
  await writeLast(copy, 4);
  assert.deepEqual(await valuesOf(`${last}-1`), [3, 2]);
  assert.deepEqual(await entriesOf(copy), [
    "best",
    "best@epoch1-step5",
    "last",
    "last-1",
    "last@epoch1-step3",
    "last@epoch1-step4",
  ]);
});

Deno.test("writeCheckpoint() leaves a whole checkpoint and nothing else, whichever file operation the disk refuses", async () => {
  // deno-lint-ignore no-explicit-any -- functions of many signatures
  const api = Deno as any;
  const names = ["open", "rename", "symlink"];
  const originals = names.map((name) => api[name]);
  let refused = 0;
  for (let at = 1; at < 100; at++) {
    await using folder = await makeFolder();
    await writeLast(folder.path, 4);
    await writeLast(folder.path, 5);
    let count = 0;
    names.forEach((name, index) =>
      api[name] = (...args: unknown[]) => {
        if (++count < at || (name === "open" && !(args[1] as Deno.OpenOptions)?.write)) {
          return originals[index](...args);
        }
        const error = new Error(`No space left on device (os error 28): ${name} '${args[0]}'`);
        return Promise.reject(Object.assign(error, { code: "ENOSPC" }));
      }
    );
    let failed: unknown;
    try {
      await writeLast(folder.path, 6);
    } catch (error) {
      failed = error;
    } finally {
      names.forEach((name, index) => api[name] = originals[index]);
    }
    if (!failed) break;
    refused++;
    assert.equal((failed as Error).name, "SystemError");
    assert.match((failed as Error).message, /^\/.* can't be written: the disk is full; free space/);
    assert.deepEqual(await valuesOf(join(folder.path, "last")), [5, 2]);
    const entries = await entriesOf(folder.path);
    assert.ok(entries.every((name) => !name.includes("step6")), entries.join(" "));
    await writeLast(folder.path, 7);
    assert.deepEqual(await valuesOf(join(folder.path, "last")), [7, 2]);
  }
  assert.ok(refused >= 6, String(refused));
});
