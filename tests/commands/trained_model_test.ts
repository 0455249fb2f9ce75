import assert from "node:assert/strict";
import { given } from "../../src/base/given.ts";
import { UsageError } from "../../src/base/errors.ts";
import { runCommand } from "../../src/commands/command.ts";
import { COMMAND as EVALUATE } from "../../src/commands/evaluate.ts";
import { parseFlags } from "../../src/commands/flags.ts";
import { COMMAND as PREDICT } from "../../src/commands/predict.ts";
import { withTrainedModel } from "../../src/commands/trained_model.ts";

for (const command of [EVALUATE, PREDICT]) {
  Deno.test(`withTrainedModel() takes the model, the device and the modules from the flags of ${command.name}`, async () => {
    const flags = parseFlags(command, [
      ...["--run", "runs/a", "--checkpoint", "last", "--device", "cpu", "-v"],
      ...["--allow-module", "one.ts", "--allow-module", "two.ts"],
    ]);
    const found = await withTrainedModel(flags, "stderr", (model, { verbose, signal }) => {
      assert.equal(signal.aborted, false);
      return Promise.resolve({ model, verbose });
    });
    assert.deepEqual(found, {
      model: { run: "runs/a", checkpoint: "last", device: "cpu", modules: ["one.ts", "two.ts"] },
      verbose: true,
    });
  });

  Deno.test(`withTrainedModel() looks for no run where ${command.name} is given a checkpoint by its path`, async () => {
    const flags = parseFlags(command, ["--checkpoint", "weights/best.safetensors"]);
    const { run, modules } = await withTrainedModel(
      flags,
      "stderr",
      (model) => Promise.resolve(model),
    );
    assert.deepEqual([run, modules], [undefined, []]);
  });
}

Deno.test("withTrainedModel() passes on what the action throws, and refuses a device before it", async () => {
  const failing = () => Promise.reject(new UsageError("no images"));
  const flags = (...args: string[]) => parseFlags(PREDICT, ["--run", "runs/a", ...args]);
  await assert.rejects(
    () => withTrainedModel(flags(), "stderr", failing),
    /^UsageError: no images$/,
  );
  await assert.rejects(
    () => withTrainedModel(flags("--device", "tpu"), "stderr", () => assert.fail("it ran")),
    /--device is tpu/,
  );
});

Deno.test("given() leaves out a property without a value, and keeps 0, false and null", () => {
  assert.deepEqual({ ...given("a", undefined), ...given("b", 0), ...given("c", false) }, {
    b: 0,
    c: false,
  });
  assert.deepEqual(given("d", null), { d: null });
});

Deno.test("runCommand() runs the part that the first argument names, with the rest", async () => {
  const seen: string[][] = [];
  const part = {
    name: "work part",
    summary: "",
    flags: [],
    positional: "[X…]",
    run: ({ positional }: { positional: string[] }) => Promise.resolve(seen.push(positional)),
  };
  const parts = { part: () => Promise.resolve({ COMMAND: part }) };
  const work = { name: "work", summary: "", flags: [], parts, partKind: "piece" };
  assert.equal(await runCommand(work, ["part", "a", "b"]), 1);
  assert.deepEqual(seen, [["a", "b"]]);
  await assert.rejects(() => runCommand(work, ["prat"]), /^UsageError: Unknown piece "prat"/);
});
