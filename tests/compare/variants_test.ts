import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { UsageError } from "../../src/base/errors.ts";
import {
  differencesOf,
  distinct,
  planVariants,
  type VariantOptions,
  variantsOf,
} from "../../src/compare/variants.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const DEFAULT = new URL("../../configs/default.yaml", import.meta.url).pathname;

/** The variants of the default recipe. */
async function plan(options: Partial<VariantOptions> = {}) {
  return await planVariants({ configs: [DEFAULT], ...options });
}

/** The keys of an object with their values, for comparison. */
function what({ model, train, workers }: Awaited<ReturnType<typeof plan>>[0]["config"]) {
  const { weights, featureExtract } = model;
  return { weights, featureExtract, lr: train.lr, workers };
}

Deno.test("planVariants() compares pretrained and scratch unless something else is asked for", async () => {
  const [pretrained, scratch, ...more] = await plan();
  assert.equal(more.length, 0);
  assert.deepEqual([pretrained.id, pretrained.label], ["pretrained", "Pretrained"]);
  assert.deepEqual([scratch.id, scratch.label], ["scratch", "Scratch"]);
  const common = { lr: 0.01, workers: undefined }; // they follow from the machine
  assert.deepEqual(what(pretrained.config), {
    weights: "pretrained",
    featureExtract: true,
    ...common,
  });
  assert.deepEqual(what(scratch.config), { weights: "none", featureExtract: false, ...common });
  assert.deepEqual(differencesOf([pretrained.config, scratch.config]), [
    { "model.weights": "pretrained", "model.featureExtract": true },
    { "model.weights": "none", "model.featureExtract": false },
  ]);
});

Deno.test("planVariants() sets what each named variant is about", async () => {
  const variants = await plan({
    presets: ["finetune", "extract", "scratch"],
    sets: [
      "model.freezeBatchNorm=true",
      "model.train=[classifier.*]",
      "model.featureExtract=false",
    ],
  });
  const shown = variants.map(({ config: { model } }) => [
    ...[model.weights, model.featureExtract, model.train ?? null, model.freezeBatchNorm ?? null],
  ]);
  assert.deepEqual(shown, [
    ["pretrained", false, null, true],
    ["pretrained", true, null, true],
    ["none", false, null, null],
  ]);
});

Deno.test("planVariants() keeps a file of weights, and takes pretrained ones for a recipe without", async () => {
  const own = await plan({ overrides: [{ key: "model.weights", value: "my.safetensors" }] });
  assert.deepEqual(own.map(({ config }) => config.model.weights), [
    join(Deno.cwd(), "my.safetensors"),
    "none",
  ]);
  const none = await plan({ sets: ["model.weights=none", "model.featureExtract=false"] });
  assert.deepEqual(none.map(({ config }) => config.model.weights), ["pretrained", "none"]);
});

Deno.test("planVariants() applies a setting with a prefix to that variant alone, the others to all", async () => {
  const [pretrained, scratch] = await plan({
    sets: ["scratch:train.lr=0.05", "train.lr=0.02", "name=abc"],
  });
  assert.equal(pretrained.config.train.lr, 0.02);
  assert.equal(scratch.config.train.lr, 0.05);
  assert.equal(scratch.config.name, "abc");
  const crossed = await plan({
    presets: ["extract", "scratch"],
    workers: [1, 2],
    sets: ["workers-2:train.epochs=9", "scratch-workers-1:train.lr=0.5"],
  });
  assert.deepEqual(
    crossed.map((
      { id, label, config: { workers, train } },
    ) => [id, label, workers, train.epochs, train.lr]),
    [
      ["extract-workers-1", "Feature extraction, 1 worker", 1, 5, 0.01],
      ["extract-workers-2", "Feature extraction, 2 workers", 2, 9, 0.01],
      ["scratch-workers-1", "Scratch, 1 worker", 1, 5, 0.5],
      ["scratch-workers-2", "Scratch, 2 workers", 2, 9, 0.01],
    ],
  );
});

Deno.test("planVariants() leaves out what a variant's own choice has no use for, and scales the images of all", async () => {
  const notes: string[] = [];
  const [extract, scratch] = await plan({
    presets: ["extract", "scratch"],
    sets: ["train.momentum=0.8", "scratch:train.optimizer=adam", "scratch:train.lr=0.002"],
    imageSize: { side: 96, source: "--image-size" },
    onNote: (note) => notes.push(note),
  });
  assert.deepEqual([extract, scratch].map(({ config: { train } }) => train.optimizer), [
    "sgd",
    "adam",
  ]);
  assert.equal((extract.config.train as { momentum?: number }).momentum, 0.8);
  for (const { config: { data } } of [extract, scratch]) {
    assert.deepEqual(data.val.slice(0, 2), [{ Resize: { size: 106 } }, {
      CenterCrop: { size: [96, 96] },
    }]);
  }
  assert.equal(notes.length, 1);
  assert.match(
    notes[0],
    /^train\.optimizer is now adam: left out of .*: train\.momentum \(0\.8\)$/,
  );
});

Deno.test("planVariants() compares recipes by their files' names, and workers by their number", () =>
  withTemporaryFolder(async (folder) => {
    const paths = [join(folder, "one.yaml"), join(folder, "sub", "one.yaml")];
    await Deno.mkdir(join(folder, "sub"));
    for (const path of paths) await Deno.writeTextFile(path, stringify(tinyConfig(folder)));
    const recipes = await planVariants({ configs: paths });
    assert.deepEqual(recipes.map(({ id, label }) => [id, label]), [["one", "one"], [
      "one-2",
      "one-2",
    ]]);
    assert.equal(recipes[0].config.model.weights, "none", "as the recipe says");
    const workers = await planVariants({ configs: [paths[0]], workers: [1, 2, 4] });
    assert.deepEqual(workers.map(({ label }) => label), ["1 worker", "2 workers", "4 workers"]);
  }));

const WRONG: [string, Partial<VariantOptions>, RegExp][] = [
  [
    "an unknown variant",
    { presets: ["scrach"] },
    /^Unknown variant "scrach": did you mean scratch\?$/,
  ],
  [
    "a variant that is like none",
    { presets: ["zzzzzzzz"] },
    /known are pretrained, finetune, extract, scratch/,
  ],
  ["a variant asked for twice", { presets: ["scratch", "scratch"] }, /scratch is asked for twice/],
  ["a single variant", { presets: ["scratch"] }, /only one variant, Scratch: name several/],
  [
    "a setting of no variant",
    { sets: ["scrath:train.lr=1"] },
    /--set scrath:… .*did you mean scratch\?/,
  ],
  [
    "an unknown key",
    { sets: ["scratch:train.rl=1"] },
    /^Scratch: .*train\.rl: did you mean train\.lr\?/s,
  ],
  [
    "a number of workers that is none",
    { workers: [2, 5000] },
    /^5000 workers: Config: workers is 5000: give|^5000 workers: --set workers: workers is 5000: give/,
  ],
  ["a setting that is none", { sets: ["train.lr"] }, /is not key=value/],
];
for (const [name, options, message] of WRONG) {
  Deno.test(`planVariants() refuses ${name}`, async () => {
    await assert.rejects(
      plan(options),
      (error: Error) => error instanceof UsageError && message.test(error.message),
    );
  });
}

Deno.test("variantsOf() names folders after labels, all different", () => {
  const config = tinyConfig("images");
  const labels = ["Größe 1", "A/B", "a b", "a-b-2", "…"];
  const variants = variantsOf(Object.fromEntries(labels.map((label) => [label, config])));
  assert.deepEqual(variants.map(({ label }) => label), labels);
  assert.deepEqual(variants.map(({ id }) => id), ["gr-e-1", "a-b", "a-b-2", "a-b-2-2", "variant"]);
  assert.throws(
    () => variantsOf({ Odd: { ...config, workers: 0 } }),
    /^UsageError: Odd: .*workers/,
  );
});

Deno.test("distinct() numbers what comes again", () => {
  assert.deepEqual(distinct(["a", "a", "a-2", "b", "a"]), ["a", "a-2", "a-2-2", "b", "a-3"]);
});
