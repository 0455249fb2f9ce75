/**
 * Cases of the command line: flags, and keys that a choice brings along.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setInvocation } from "../../src/base/invocation.ts";
import { loadConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import { type LoadedConfig, withWorkers } from "../../src/config/schema.ts";
import { describeShares } from "../../src/config/shares.ts";
import { outputSize } from "../../src/data/transforms/transform_specs.ts";
import { parseFlags } from "../../src/commands/flags.ts";
import { keyFlags, keySettings } from "../../src/commands/key_flags.ts";
import type { Case } from "./case.ts";

/** A recipe of `configs/`. */
function recipe(name: string): string {
  return new URL(`../../configs/${name}.yaml`, import.meta.url).pathname;
}

/** Typed over a recipe: each key that a choice of the command line has no use for is named. */
function choice(
  file: string,
  set: string,
  leftOut: readonly string[],
  valueOf: (config: LoadedConfig) => unknown,
  expected: unknown,
): Case {
  return {
    name: `${file} --set ${set}`,
    must: leftOut.length === 0 ? "taken as it is" : `${leftOut.join(", ")} left out, and said`,
    async run() {
      const notes: string[] = [];
      const config = await loadConfig(recipe(file), [parseOverride(set)], {
        onNote: (note) => notes.push(note),
      });
      assert.deepEqual(valueOf(config), expected);
      const named = notes.flatMap((note) => [...note.matchAll(/([\w.]+) \(/g)]).map(([, key]) =>
        key
      );
      assert.deepEqual(named, leftOut);
    },
  };
}

/** Flags of `train` over a recipe, and what becomes of them. */
function typed(
  file: string,
  args: string[],
  valueOf: (config: LoadedConfig) => unknown,
  expected: unknown,
): Case {
  return {
    name: `${file} ${args.join(" ")}`,
    must: "mean the keys that they are short for",
    async run() {
      const flags = parseFlags({ name: "train", summary: "", flags: keyFlags(KEYS) }, args);
      setInvocation(undefined); // other cases use the library
      const { overrides, imageSize } = await keySettings(flags, KEYS);
      const config = await loadConfig(recipe(file), overrides, imageSize ? { imageSize } : {});
      assert.deepEqual(valueOf(config), expected);
    },
  };
}

const KEYS = ["data", "model", "epochs", "batch-size", "lr", "image-size"] as const;

const sizes = ({ data: { train, val } }: LoadedConfig) => [outputSize(train), outputSize(val)];

const schedule = ({ train }: LoadedConfig) => train.schedule;

/** A batch that isn't shared evenly. */
function shared(batchSize: number, workers: number, says: RegExp): Case {
  return {
    name: `--batch-size ${batchSize} --workers ${workers}`,
    must: "is shared unevenly, and said",
    async run() {
      const overrides = [{ key: "train.batchSize", value: batchSize }];
      const config = withWorkers(await loadConfig(recipe("default"), overrides), workers);
      assert.match(describeShares(config)!.text, says);
    },
  };
}

/** The cases. */
export const CASES: Case[] = [
  shared(
    2,
    4,
    /^A step has 2 images for 4 workers: 2 of them have none, and only validate; lower /,
  ),
  shared(
    3,
    4,
    /one of them has none, and only validates; lower .* to 3, or raise .* to 4 or more$/,
  ),
  shared(32, 3, /: 2 of them take 11, the others 10; with .* 30 or 33 all take the same$/),
  choice(
    "default",
    "train.schedule.name=CosineAnnealingLR",
    ["train.schedule.stepSize", "train.schedule.gamma"],
    schedule,
    { name: "CosineAnnealingLR", per: "epoch", etaMin: 0 },
  ),
  choice(
    "default",
    "train.schedule.name=ExponentialLR",
    ["train.schedule.stepSize"],
    schedule,
    { name: "ExponentialLR", per: "epoch", gamma: 0.1 },
  ),
  choice(
    "default",
    "train.schedule.name=constant",
    ["train.schedule.stepSize", "train.schedule.gamma"],
    schedule,
    { name: "constant", per: "epoch" },
  ),
  choice("default", "train.schedule.name=StepLR", [], schedule, {
    name: "StepLR",
    per: "epoch",
    stepSize: 7,
    gamma: 0.1,
  }),
  choice(
    "default",
    "train.optimizer=adam",
    ["train.momentum"],
    ({ train }) => train.optimizer,
    "adam",
  ),
  choice("cifar10-extract-adam", "train.optimizer=sgd", [], ({ train }) => train.optimizer, "sgd"),
  choice(
    "default",
    "data.train.0=CenterCrop",
    ["data.train.0.RandomResizedCrop.scale"],
    ({ data }) => data.train[0],
    { CenterCrop: { size: [160, 160] } },
  ),
  typed(
    "default",
    ["--data", "hymenoptera"],
    ({ data: { dataset, root }, name }) => [dataset, root ?? null, name],
    ["hymenoptera", null, "hymenoptera"],
  ),
  typed("default", ["--data", "/photos/cats and dogs"], ({ data: { dataset, root }, name }) => [
    dataset ?? null,
    root,
    name,
  ], [null, "/photos/cats and dogs", "cats and dogs"]),
  typed("catdog-densenet121", ["--data", "/photos"], ({ data }) => data.valFolder, "val"),
  typed("default", ["--lr", ".5"], ({ train }) => train.lr, 0.5),
  typed(
    "default",
    ["--epochs=3", "--batch-size", "24"],
    ({ train: { epochs, batchSize } }) => [epochs, batchSize],
    [3, 24],
  ),
  typed("default", ["--model", "resnet18"], ({ model }) => model.name, "resnet18"),
  typed("default", ["--image-size", "224"], ({ data }) => data.val[0], { Resize: { size: 246 } }),
  ...["default", "finetune-inception_v3", "cifar10-resnet18", "catdog-densenet121"].map((file) =>
    typed(file, ["--image-size", "128"], sizes, [[128, 128], [128, 128]])
  ),
];
