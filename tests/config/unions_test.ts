import assert from "node:assert/strict";
import { parseConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import { keysChosenBy } from "../../src/config/unions.ts";

const FILE = `
model: { name: resnet18, weights: none, dropout: 0.1 }
data:
  root: photos
  train: [{ RandomResizedCrop: { size: 32, scale: [0.5, 1] } }, { RandomHorizontalFlip: 0.3 }]
  val: [{ Resize: 40 }, { CenterCrop: 32 }]
train:
  epochs: 2
  batchSize: 8
  optimizer: sgd
  momentum: 0.8
  nesterov: true
  weightDecay: 0.01
  labelSmoothing: 0.1
  earlyStopping: { metric: accuracy, mode: max, patience: 3 }
  schedule: { name: StepLR, stepSize: 7, gamma: 0.5, warmup: { length: 1 } }
checkpoint: { monitor: accuracy, mode: max }
`;

/** A config with overrides, and what is noted. */
function read(...texts: string[]) {
  const notes: string[] = [];
  const onNote = (note: string) => notes.push(note);
  return { config: parseConfig(FILE, "x.yaml", texts.map(parseOverride), { onNote }), notes };
}

function problem(...texts: string[]): string {
  try {
    read(...texts);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

Deno.test("another schedule leaves out the keys of the file's, and says which", () => {
  for (const key of ["train.schedule.name", "train.schedule"]) {
    const { config, notes } = read(`${key}=CosineAnnealingLR`);
    assert.deepEqual(config.train.schedule, {
      name: "CosineAnnealingLR",
      per: "epoch",
      warmup: { length: 1, startFactor: 1 / 3 },
      etaMin: 0,
    });
    assert.deepEqual(notes, [
      "train.schedule.name is now CosineAnnealingLR: left out of x.yaml, since it doesn't go with that: " +
      "train.schedule.stepSize (7), train.schedule.gamma (0.5)",
    ]);
  }
  const { config, notes } = read(
    "train.schedule.milestones=[1]",
    "train.schedule.name=MultiStepLR",
  );
  assert.equal(config.train.schedule.name, "MultiStepLR");
  assert.deepEqual((config.train.schedule as { gamma?: number }).gamma, 0.5, "both have it");
  assert.match(notes.join(), /: train\.schedule\.stepSize \(7\)$/);
  assert.deepEqual(read("train.schedule.name=StepLR", "train.schedule.stepSize=1").notes, []);
  assert.deepEqual(read("train.schedule={ name: constant }").notes, []);
});

Deno.test("another optimizer, loss, batch key or network leaves out what goes with the file's", () => {
  const adam = read("train.optimizer=adam");
  assert.equal(adam.config.train.optimizer, "adam");
  assert.equal(adam.config.train.weightDecay, 0.01, "both have it");
  assert.deepEqual(adam.notes, [
    "train.optimizer is now adam: left out of x.yaml, since it doesn't go with that: " +
    "train.momentum (0.8), train.nesterov (true)",
  ]);
  const loss = read("train.loss=nll", "model.head=[{ Linear: classes }, LogSoftmax]");
  assert.equal(loss.config.train.labelSmoothing, 0);
  assert.match(loss.notes.join(), /^train\.loss is now nll: .*train\.labelSmoothing \(0\.1\)$/);
  const batch = read("train.batchSizePerWorker=3");
  assert.equal(batch.config.train.batchSize, undefined);
  assert.match(batch.notes.join(), /train\.batchSize \(8\)$/);
  const model = read("model.module=file:///nowhere/m.ts");
  assert.equal(model.config.model.name, "custom");
  assert.match(model.notes.join(), /model\.name \(resnet18\), model\.dropout \(0\.1\)$/);
  assert.deepEqual(
    read("train.optimizer=sgd", "train.batchSize=4", "model.name=vgg11_bn").notes,
    [],
  );
});

Deno.test("another metric to monitor leaves out which way the file's is better", () => {
  const { config, notes } = read("checkpoint.monitor=loss", "train.earlyStopping.metric=loss");
  assert.deepEqual(config.checkpoint, { monitor: "loss" });
  assert.deepEqual(config.train.earlyStopping, { metric: "loss", patience: 3, minDelta: 0 });
  assert.deepEqual(notes.map((note) => note.split(": ").at(-1)), [
    "checkpoint.mode (max)",
    "train.earlyStopping.mode (max)",
  ]);
  const typed = read("checkpoint.monitor=loss", "checkpoint.mode=min");
  assert.deepEqual([typed.config.checkpoint.mode, typed.notes], ["min", []]);
});

Deno.test("a transform's name alone keeps the arguments that the new one has", () => {
  const { config, notes } = read("data.train.0=RandomCrop", "data.train.1=RandomVerticalFlip");
  assert.deepEqual((config.data.train[0] as { RandomCrop: { size: number[] } }).RandomCrop.size, [
    32,
    32,
  ]);
  assert.deepEqual(config.data.train[1], { RandomVerticalFlip: { p: 0.3 } });
  assert.deepEqual(notes, [
    "data.train.0 is now RandomCrop: left out of x.yaml, since it doesn't go with that: " +
    "data.train.0.RandomResizedCrop.scale ([0.5,1])",
  ]);
  assert.match(problem("data.train.0=RandomCorp"), /did you mean RandomCrop\?$/);
});

Deno.test("keys that are typed together and don't go together are errors, in each order", () => {
  const schedule = ["train.schedule.name=CosineAnnealingLR", "train.schedule.stepSize=3"];
  const optimizer = ["train.optimizer=adam", "train.momentum=0.9"];
  const batch = ["train.batchSize=4", "train.batchSizePerWorker=2"];
  for (const order of [(texts: string[]) => texts, (texts: string[]) => texts.toReversed()]) {
    assert.equal(
      problem(...order(schedule)),
      "--set train.schedule.stepSize: unknown key train.schedule.stepSize: " +
        "train.schedule.name is CosineAnnealingLR, which has per, warmup, tMax, etaMin",
    );
    assert.match(
      problem(...order(optimizer)),
      /^--set train\.momentum: train\.momentum is 0\.9: train\.optimizer is adam, which has no momentum/,
    );
    assert.match(problem(...order(batch)), /^Both train\.batchSize \(4\) and/);
  }
  assert.match(problem("train.schedule.tMax=3"), /train\.schedule\.name is StepLR, which has per/);
  assert.match(problem("train.schedule.gama=3"), /did you mean train\.schedule\.gamma\?$/);
  assert.match(
    problem("train.schedule.name=MultiStepLR"),
    /^--set train\.schedule\.name: train\.schedule\.milestones is missing/,
  );
  const names = "give CosineAnnealingLR, ExponentialLR, MultiStepLR, StepLR, constant";
  assert.equal(
    problem("train.schedule.name=cosineannealinglr"),
    `--set train.schedule.name: train.schedule.name is "cosineannealinglr": ${names}: did you mean CosineAnnealingLR?`,
  );
  assert.equal(
    problem("train.schedule=cosine"),
    `--set train.schedule: train.schedule.name is "cosine": ${names}`,
  );
});

Deno.test("--set is blamed for what it takes away, and for a list that it makes unusable", () => {
  assert.match(
    problem("model.name=null"),
    /^--set model\.name: model\.name is missing: name one of/,
  );
  assert.match(problem("train.epochs=null"), /^--set train\.epochs: train\.epochs is null: /);
  assert.match(problem("data.val.1=Resize"), /^--set data\.val\.1: data\.val is .*different sizes/);
  assert.match(problem("data.val.1.CenterCrop.size=0"), /^--set data\.val\.1\.CenterCrop\.size: /);
});

Deno.test("keysChosenBy() names what may change with a choice", () => {
  assert.deepEqual(keysChosenBy("train.schedule.name"), ["train.schedule"]);
  assert.ok(keysChosenBy("train.optimizer").includes("train.betas"));
  assert.deepEqual(keysChosenBy("train.lr"), []);
});

Deno.test("a size of micro-batches takes the place of their number, and the other way round", () => {
  const { config, notes } = read("train.accumulationSteps=4");
  assert.deepEqual([config.train.accumulationSteps, notes], [4, []]);
  assert.match(
    problem("train.accumulationSteps=4", "train.microBatchSize=2"),
    /^Both train\.accumulationSteps \(4\) and train\.microBatchSize \(2\) are set: keep one of them/,
  );
  const over = (file: string, text: string) => {
    const notes: string[] = [];
    const onNote = (note: string) => notes.push(note);
    const { train } = parseConfig(FILE.replace("epochs: 2", `epochs: 2\n  ${file}`), "x.yaml", [
      parseOverride(text),
    ], { onNote });
    return [train.accumulationSteps, train.microBatchSize, notes.length];
  };
  assert.deepEqual(over("accumulationSteps: 4", "train.microBatchSize=2"), [1, 2, 1]);
  assert.deepEqual(over("accumulationSteps: 1", "train.microBatchSize=2"), [1, 2, 0]);
  assert.deepEqual(over("microBatchSize: 2", "train.accumulationSteps=4"), [4, undefined, 1]);
  assert.deepEqual(over("microBatchSize: 2", "train.microBatchSize=3"), [1, 3, 0]);
});
