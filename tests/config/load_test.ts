import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { loadConfig, parseConfig, parseOverride } from "../../src/config/load.ts";

const GOOD = `
model:
  name: plain_cnn
  weights: none
data:
  root: photos
  train: [{ RandomResizedCrop: 32 }]
  val: [{ Resize: 32 }, { CenterCrop: 32 }]
train:
  epochs: 2
  batchSize: 8
`;

function problemOf(text: string, overrides: string[] = []): string {
  try {
    parseConfig(text, "x.yaml", overrides.map(parseOverride));
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.exitCode, 2);
    return error.message;
  }
  assert.fail("the config was accepted");
}

Deno.test("parseConfig() fills in every default", () => {
  const config = parseConfig(GOOD, "x.yaml");
  assert.equal(config.workers, 2);
  assert.equal(config.train.momentum, 0.9);
  assert.deepEqual(config.train.schedule, { name: "constant", per: "epoch" });
  assert.deepEqual(config.engine, { capture: true, precision: "float32", xla: false });
});

Deno.test("parseConfig() names an unknown key, its line and the nearest known key", () => {
  const message = problemOf(GOOD.replace("  epochs: 2", "  epochs: 2\n  batchsize: 8"));
  assert.match(
    message,
    /x\.yaml, line 11: unknown key train\.batchsize: did you mean train\.batchSize\?/,
  );
});

Deno.test("parseConfig() names key, value and line of a wrong type", () => {
  const message = problemOf(GOOD.replace("epochs: 2", "epochs: many"));
  assert.match(message, /x\.yaml, line 10: train\.epochs is "many"/);
});

Deno.test("parseConfig() suggests the nearest value of a choice", () => {
  assert.match(problemOf(GOOD.replace("plain_cnn", "resnet81")), /did you mean resnet18\?/);
});

Deno.test("parseConfig() names a missing key", () => {
  assert.match(problemOf(GOOD.replace("  epochs: 2\n", "")), /train\.epochs is missing/);
});

Deno.test("parseConfig() applies overrides over the file and blames --set for their mistakes", () => {
  const config = parseConfig(GOOD, "x.yaml", [parseOverride("train.lr=0.5")]);
  assert.equal(config.train.lr, 0.5);
  assert.match(problemOf(GOOD, ["train.lr=fast"]), /--set train\.lr: train\.lr is "fast"/);
});

Deno.test("parseConfig() refuses a batch that the workers can't share, naming the cures", () => {
  assert.match(
    problemOf(GOOD, ["train.batchSize=130", "workers=4"]),
    /Batch size 130 is not divisible by 4 workers: set train\.batchSize to 128 or 132/,
  );
  assert.match(problemOf(GOOD, ["train.batchSize=2", "workers=4"]), /set train\.batchSize to 4/);
});

Deno.test("parseConfig() refuses both batch keys, and neither", () => {
  assert.match(problemOf(GOOD, ["train.batchSizePerWorker=4"]), /Both train\.batchSize \(8\)/);
  assert.match(problemOf(GOOD.replace("  batchSize: 8\n", "")), /The batch size is missing/);
});

Deno.test("parseConfig() refuses Nesterov without momentum and extraction from random weights", () => {
  assert.match(
    problemOf(GOOD, ["train.nesterov=true", "train.momentum=0"]),
    /train\.nesterov needs/,
  );
  assert.match(problemOf(GOOD, ["model.featureExtract=true"]), /model\.weights is none/);
});

Deno.test("parseConfig() refuses XLA and bf16 for steps that aren't captured, and both together", () => {
  assert.match(
    problemOf(GOOD, ["engine.xla=true", "engine.capture=false"]),
    /engine\.xla compiles captured steps, but engine\.capture is false: set engine\.capture to true/,
  );
  assert.match(
    problemOf(GOOD, ["engine.precision=bf16", "engine.capture=false"]),
    /engine\.precision bf16 rewrites captured steps, but engine\.capture is false/,
  );
  assert.match(problemOf(GOOD, ["engine.precision=bf16", "engine.xla=true"]), /or engine\.xla to/);
  assert.match(problemOf(GOOD, ["engine.precision=fp16"]), /engine\.precision is "fp16"/);
});

Deno.test("parseConfig() refuses narrow gradients in shared memory, naming both keys and the cure", () => {
  assert.equal(parseConfig(GOOD, "x.yaml").nats.gradientDtype, "float32");
  assert.equal(
    problemOf(GOOD, ["nats.gradientDtype=bfloat16", "exchange=shared-memory"]),
    "nats.gradientDtype is bfloat16, but exchange is shared-memory, where gradients stay float32: " +
      "set exchange to nats, or nats.gradientDtype to float32",
  );
  for (const exchange of ["auto", "nats"]) {
    const overrides = ["nats.gradientDtype=float16", `exchange=${exchange}`].map(parseOverride);
    assert.equal(parseConfig(GOOD, "x.yaml", overrides).nats.gradientDtype, "float16");
  }
  assert.match(problemOf(GOOD, ["nats.gradientDtype=bfloat"]), /did you mean bfloat16\?/);
});

Deno.test("parseConfig() refuses broken YAML with its line, duplicate keys, tabs and alias bombs", () => {
  assert.match(problemOf("a: [1\nb: 2"), /x\.yaml, line \d+: not valid YAML/);
  assert.match(
    problemOf("seed: 1\nseed: 2"),
    /x\.yaml, line 2: not valid YAML: Map keys must be unique/,
  );
  assert.match(problemOf("train:\n\tepochs: 1"), /x\.yaml, line 2: not valid YAML/);
  const bomb = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
  for (const [from, to] of ["ab", "bc", "cd", "de", "ef"]) {
    bomb.push(`${to}: &${to} [${Array(10).fill(`*${from}`).join(", ")}]`);
  }
  assert.match(problemOf(bomb.join("\n")), /x\.yaml: not usable as a config/);
  assert.match(problemOf("- 1"), /a config is a mapping/);
});

Deno.test("parseOverride() reads the value as YAML and needs an equals sign", () => {
  assert.deepEqual(parseOverride("train.schedule={ name: StepLR, stepSize: 3 }").value, {
    name: "StepLR",
    stepSize: 3,
  });
  assert.throws(() => parseOverride("train.lr"), /not key=value/);
});

Deno.test("loadConfig() accepts the default recipe and names a missing file", async () => {
  const path = new URL("../../configs/default.yaml", import.meta.url).pathname;
  assert.equal((await loadConfig(path)).model.name, "efficientnet_lite0");
  await assert.rejects(loadConfig("no-such.yaml"), /Config file no-such\.yaml can't be read/);
});
