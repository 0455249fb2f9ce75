/**
 * Every number of a config against values that make no sense: each is refused with its key and value, or stands in a
 * table of what is allowed. The keys are those of the schemas, so that a new one can't be forgotten.
 */
import assert from "node:assert/strict";
import { z } from "zod";
import { UsageError } from "../../src/base/errors.ts";
import { type ConfigInput, configSchema } from "../../src/config/schema.ts";
import { runCommand } from "../../src/commands/command.ts";
import { COMMAND as PREDICT } from "../../src/commands/predict.ts";
import { validateConfig } from "../../src/config/load.ts";
import * as schedules from "../../src/optim/schedules.ts";
import { TRANSFORMS } from "../../src/data/transforms/table.ts";

type Tree = Record<string, unknown>;
type Path = readonly (string | number)[];

const VALUES = [1e300, -1, 0, 1e-46, NaN, Infinity, -Infinity];

/** The values above that a key takes, by its path; a path without an entry takes none of them. */
const ALLOWED: Record<string, readonly number[]> = {
  "seed": [0],
  "devices": [0],
  "devices.0": [0],
  "data.splitSeed": [0],
  "data.valFraction": [1e-46], // no image hashes into it: the scan says which class has none
  "model.dropout": [0, 1e-46],
  "model.stochasticDepth": [0, 1e-46],
  "model.head.1.Dropout": [0, 1e-46],
  "train.labelSmoothing": [0, 1e-46],
  "train.classWeights.0": [0],
  "train.classWeights.a": [0],
  "train.lr": [0],
  "train.momentum": [0],
  "train.dampening": [0],
  "train.betas.0": [0, 1e-46],
  "train.betas.1": [0, 1e-46],
  "train.weightDecay": [0],
  "train.groups.0.lr": [0],
  "train.groups.0.weightDecay": [0],
  "train.schedule.etaMin": [0],
  "train.ema.decay": [1e-46], // the average is the weights
  "train.earlyStopping.minDelta": [0],
  "nats.bucketSize": [0],
  "train.detectDivergence": [0], // nothing is compared
  maxRestarts: [0], // the run ends with its first lost worker
  "nats.maxRestarts": [0], // the run ends with its server
  "nccl.bucketSize": [0],
  // Arguments of transforms; [low, high] is [value, 1] or [0.5, value].
  "RandomHorizontalFlip.p": [0, 1e-46],
  "RandomVerticalFlip.p": [0, 1e-46],
  "RandomGrayscale.p": [0, 1e-46],
  "RandomErasing.p": [0, 1e-46],
  "RandomErasing.scale.0": [0, 1e-46],
  "RandomErasing.value": [-1, 0],
  "RandomErasing.value.0": [-1, 0],
  "RandomErasing.value.1": [-1, 0],
  "RandomErasing.value.2": [-1, 0],
  "RandomRotation.degrees": [0, 1e-46],
  "RandomRotation.degrees.0": [-1, 0, 1e-46],
  "RandomRotation.center.0": [-1, 0, 1e-46],
  "RandomRotation.center.1": [-1, 0, 1e-46],
  "ColorJitter.brightness": [0],
  "ColorJitter.brightness.0": [0],
  "ColorJitter.contrast": [0],
  "ColorJitter.contrast.0": [0],
  "ColorJitter.saturation": [0],
  "ColorJitter.saturation.0": [0],
  "ColorJitter.hue": [0, 1e-46],
  "ColorJitter.hue.0": [0, 1e-46],
  "Normalize.mean.0": [-1, 0],
  "Normalize.mean.1": [-1, 0],
  "Normalize.mean.2": [-1, 0],
  ...Object.fromEntries(
    ["RandomCrop", "Pad"].flatMap((name) =>
      ["padding", "padding.0", "padding.1", "padding.2", "padding.3"]
        .map((key) => [`${name}.${key}`, [0]])
    ),
  ),
  ...Object.fromEntries(
    ["RandomCrop", "Pad", "RandomRotation"].flatMap((name) =>
      ["fill", "fill.0", "fill.1", "fill.2"].map((key) => [`${name}.${key}`, [0]])
    ),
  ),
};

/** Values around a key, where an empty mapping isn't enough. */
const AROUND: Record<string, unknown> = {
  "train.classWeights.0": [1, 1],
  "train.classWeights.a": { a: 1, b: 1 },
  "train.betas.0": [0.9, 0.999],
  "train.betas.1": [0.9, 0.999],
  "train.groups.0.lr": [{ match: ["fc.*"] }],
  "train.groups.0.weightDecay": [{ match: ["fc.*"] }],
  "train.schedule.warmup.length": { name: "constant", warmup: { length: 1 } },
  "train.schedule.warmup.startFactor": { name: "constant", warmup: { length: 1 } },
  "train.schedule.stepSize": { name: "StepLR", stepSize: 1 },
  "train.schedule.gamma": { name: "ExponentialLR", gamma: 0.5 },
  "train.schedule.milestones.0": { name: "MultiStepLR", milestones: [1] },
  "train.earlyStopping.minDelta": { patience: 1 },
};

/** Returns what stands around a key; around a schedule's, unless the table has it, the schedule's name. */
function aroundOf(path: string): unknown {
  const key = /^train\.schedule\.(\w+)/.exec(path)?.[1];
  if (path in AROUND || key === undefined) return AROUND[path];
  const found = Object.entries(schedules).find(([, { keys }]) => key in keys);
  return found && { name: found[0] };
}

/** Named things, whose arguments the config's own schema doesn't show. */
const NAMED: readonly [path: string, around: unknown][] = [
  ["model.head.0.Linear.outFeatures", [{ Linear: { outFeatures: 4 } }, { Linear: "classes" }]],
  ["model.head.1.Dropout", [{ Linear: 4 }, { Dropout: 0.5 }, { Linear: "classes" }]],
  ["data.mix.0.MixUp", [{ MixUp: 0.2 }]],
  ["data.mix.0.CutMix.alpha", [{ CutMix: { alpha: 1 } }]],
];

/** Paths of all numbers in a schema; the first element of a list, and the name `a` in a mapping. */
function numberPaths(schema: z.ZodType): string[] {
  const found = new Set<string>();
  const walk = (node: Tree, path: Path): void => {
    const list = (key: string) => (node[key] ?? []) as Tree[];
    for (const branch of [...list("anyOf"), ...list("oneOf"), ...list("allOf")]) walk(branch, path);
    if (node.type === "number" || node.type === "integer") found.add(path.join("."));
    for (const [key, inner] of Object.entries((node.properties ?? {}) as Tree)) {
      walk(inner as Tree, [...path, key]);
    }
    if (typeof node.items === "object") walk(node.items as Tree, [...path, 0]);
    list("prefixItems").forEach((inner, at) => walk(inner, [...path, at]));
    if (typeof node.additionalProperties === "object") {
      walk(node.additionalProperties as Tree, [...path, "a"]);
    }
  };
  walk(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Tree, []);
  return [...found];
}

function base(): Tree {
  return {
    model: { name: "plain_cnn", weights: "none" },
    data: { root: "photos", train: [{ CenterCrop: 20 }], val: [{ CenterCrop: 20 }] },
    train: { epochs: 2, batchSize: 8 },
    workers: 1,
  };
}

/** Puts a value into a tree, and what stands around it before. */
function put(tree: Tree, path: string, value: unknown, around?: unknown): void {
  const steps = path.split(".");
  let node = tree;
  steps.slice(0, -1).forEach((step, at) => {
    const isPlace = around !== undefined && at === 1;
    if (isPlace) node[step] = structuredClone(around);
    else if (node[step] === undefined) node[step] = /^\d+$/.test(steps[at + 1]) ? [] : {};
    node = node[step] as Tree;
  });
  node[steps.at(-1)!] = value;
}

function configWith(path: string, value: number, around: unknown = aroundOf(path)): ConfigInput {
  const tree = base();
  const train = tree.train as Tree;
  if (/betas|eps/.test(path)) train.optimizer = "adam";
  if (path.endsWith("PerWorker")) delete train.batchSize;
  if (path === "model.dropout") (tree.model as Tree).name = "alexnet";
  if (path === "model.stochasticDepth") (tree.model as Tree).name = "efficientnet_lite0";
  if (path === "train.featureCache.maxBytes") {
    Object.assign(tree.model as Tree, { weights: "pretrained", featureExtract: true });
  }
  put(tree, path, value, around);
  return tree as unknown as ConfigInput;
}

/** Arguments that a transform needs, and lists around their elements. */
function transformWith(name: string, path: string, value: number): Tree {
  const args: Tree = name === "Normalize"
    ? { mean: [0, 0, 0], std: [1, 1, 1] }
    : name === "Pad"
    ? { padding: 1 }
    : name === "RandomRotation"
    ? { degrees: 5 }
    : /Crop|Resize/.test(name)
    ? { size: [20, 20] }
    : {};
  const [key, at] = path.split(".");
  if (at === undefined) return { ...args, [key]: value };
  const lists: Record<string, unknown[]> = {
    ...{ size: [20, 20], padding: [1, 1, 1, 1], fill: [1, 1, 1], value: [1, 1, 1], center: [1, 1] },
    ...{ mean: [0, 0, 0], std: [1, 1, 1], hue: [0.5, 0.5] },
  };
  const list = lists[key] ?? (at === "0" ? [1, 1] : [0.5, 0.5]);
  list[Number(at)] = value;
  if (name === "RandomErasing" && key === "scale" && at === "1") list[0] = 0.5;
  return { ...args, [key]: list };
}

/** The message about a config, or nothing. */
function problemOf(config: ConfigInput): string | undefined {
  try {
    validateConfig(config);
  } catch (error) {
    assert.ok(error instanceof UsageError, `${error}`);
    return error.message;
  }
}

/** Holds one number to the table. */
function check(key: string, value: number, message: string | undefined): string[] {
  const isAllowed = (ALLOWED[key] ?? []).includes(value);
  if (message === undefined) return isAllowed ? [] : [`${key}: ${value} is accepted`];
  if (isAllowed) return [`${key}: ${value} is refused: ${message}`];
  // Where a key takes a mapping or something else, the message shows the whole mapping.
  const names = message.includes(key) || message.includes(key.replace(/\.\w+$/, ""));
  return names && message.includes(String(value)) ? [] : [`${key}: ${value}: says ${message}`];
}

Deno.test("validateConfig() refuses numbers that make no sense with key and value, for each number of the schema", () => {
  const paths = numberPaths(configSchema);
  assert.ok(paths.length > 45, paths.join(" "));
  const keys: [path: string, around?: unknown][] = [...paths.map((path) => [path] as [string])];
  const wrong = [...keys, ...NAMED].flatMap(([path, around]) =>
    VALUES.flatMap((value) => check(path, value, problemOf(configWith(path, value, around))))
  );
  assert.deepEqual(wrong, []);
});

Deno.test("validateConfig() refuses numbers that make no sense in each argument of each transform", () => {
  const wrong = Object.entries(TRANSFORMS).flatMap(([name, { schema }]) =>
    numberPaths(schema).flatMap((path) =>
      VALUES.flatMap((value) => {
        const config = base();
        const spec = { [name]: transformWith(name, path, value) };
        const isLast = name === "Normalize" || name === "RandomErasing";
        (config.data as Tree).train = isLast
          ? [{ CenterCrop: 20 }, spec]
          : [spec, { CenterCrop: 20 }];
        const message = problemOf(config as unknown as ConfigInput);
        return check(`${name}.${path}`, value, message);
      })
    )
  );
  assert.deepEqual(wrong, []);
});

Deno.test("sizes of a config are whole bytes that a number can count", () => {
  const cache = (size: string) => {
    const config = base();
    (config.data as Tree).cache = size;
    return problemOf(config as unknown as ConfigInput);
  };
  assert.equal(cache("1.5kB"), undefined);
  for (const size of ["0GB", "0.0001kB", `${"9".repeat(400)}GB`, "9007199254740993GB"]) {
    assert.match(cache(size) ?? "accepted", /data\.cache is .*give a number of bytes/, size);
  }
});

Deno.test("Flags.integer() bounds --timeout of predict: a timer of 25 days would fire at once", async () => {
  await assert.rejects(
    runCommand(PREDICT, ["--timeout", "86401", "x.jpg"]),
    /--timeout is 86401: give a whole number of at most 86400/,
  );
});

Deno.test("counts beyond use are refused before anything starts", () => {
  for (
    const path of [
      "workers",
      "engine.threadsPerWorker",
      "train.epochs",
      "train.batchSize",
      "train.batchSizePerWorker",
      "liveness.joinTimeout",
      "liveness.lostAfter",
      "liveness.reportAfter",
    ]
  ) {
    const message = problemOf(configWith(path, Number.MAX_SAFE_INTEGER)) ?? "accepted";
    assert.match(
      message,
      new RegExp(
        `${path.replace(".", "\\.")} is 9007199254740991: give (a whole number from )?1 to \\d+`,
      ),
    );
  }
});
