import assert from "node:assert/strict";
import { resolve } from "node:path";
import { stringify } from "yaml";
import { resolveClassWeights } from "../../src/coordinator/preparation/prepare.ts";
import { UsageError } from "../../src/base/errors.ts";
import { configChanges } from "../../src/config/changes.ts";
import { loadConfig, parseConfig, validateConfig } from "../../src/config/load.ts";
import { PRECISIONS } from "../../src/engine/precision.ts";
import { withWorkers } from "../../src/config/schema.ts";
import { parseOverride } from "../../src/config/override.ts";
import { describeShares } from "../../src/config/shares.ts";

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
  assert.equal(config.workers, undefined, "it follows from the machine");
  assert.equal(config.train.momentum, 0.9);
  assert.deepEqual(config.train.schedule, { name: "constant", per: "epoch" });
  assert.deepEqual(config.engine, {
    capture: true,
    ...{ precision: "float32", deterministic: false, shareGpus: false, xla: false },
  });
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

Deno.test("describeShares() says how a batch is shared that doesn't divide", () => {
  const shares = (...sets: string[]) =>
    describeShares(withWorkers(parseConfig(GOOD, "x.yaml", sets.map(parseOverride))));
  assert.equal(shares("train.batchSize=8", "workers=4"), undefined);
  assert.deepEqual(shares("train.batchSize=130", "workers=4"), {
    text: "A step has 130 images for 4 workers: 2 of them take 33, the others 32; " +
      "with train.batchSize 128 or 132 all take the same",
    isWarning: false,
  });
  assert.deepEqual(shares("train.batchSize=2", "workers=4"), {
    text: "A step has 2 images for 4 workers: 2 of them have none, and only validate; " +
      "lower workers to 2, or raise train.batchSize to 4 or more",
    isWarning: true,
  });
});

Deno.test("parseConfig() refuses both batch keys, and neither", () => {
  const both = GOOD.replace("batchSize: 8\n", "batchSize: 8\n  batchSizePerWorker: 4\n");
  assert.match(problemOf(both), /Both train\.batchSize \(8\)/);
  assert.match(problemOf(GOOD.replace("  batchSize: 8\n", "")), /The batch size is missing/);
});

Deno.test("parseConfig() refuses Nesterov without momentum and extraction from random weights", () => {
  assert.match(
    problemOf(GOOD, ["train.nesterov=true", "train.momentum=0"]),
    /train\.nesterov needs/,
  );
  assert.match(problemOf(GOOD, ["model.featureExtract=true"]), /model\.weights is none/);
});

Deno.test("parseConfig() refuses XLA and 16 bits for steps that aren't captured", () => {
  assert.match(
    problemOf(GOOD, ["engine.xla=true", "engine.capture=false"]),
    /engine\.xla compiles captured steps, but engine\.capture is false: set engine\.capture to true/,
  );
  for (const precision of ["float16", "bfloat16"]) {
    assert.match(
      problemOf(GOOD, [`engine.precision=${precision}`, "engine.capture=false"]),
      new RegExp(
        `engine\\.precision ${precision} rewrites captured steps, but engine\\.capture is`,
      ),
    );
  }
  assert.match(problemOf(GOOD, ["engine.precision=fp16"]), /engine\.precision is "fp16"/);
});

Deno.test("parseConfig() reads the precision by its name of before too", () => {
  const precisionOf = (name: string) =>
    parseConfig(GOOD, "x.yaml", [parseOverride(`engine.precision=${name}`)]).engine.precision;
  assert.equal(precisionOf("bf16"), "bfloat16");
  for (const name of PRECISIONS) assert.equal(precisionOf(name), name);
  const config = parseConfig(GOOD, "x.yaml", [parseOverride("engine.precision=bfloat16")]);
  const older = { ...config, engine: { ...config.engine, precision: "bf16" } };
  assert.deepEqual(configChanges(older, { ...config }), [], "a run of before goes on");
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
  const hosts = ["hosts.count=2", "hosts.listen=127.0.0.1:4222", "exchange=shared-memory"];
  const between = ["nats.gradientDtype=bfloat16", ...hosts].map(parseOverride);
  assert.equal(parseConfig(GOOD, "x.yaml", between).nats.gradientDtype, "bfloat16");
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

// Found by tests/fuzz/targets/config.ts and overrides.ts: slips, loops and messages of 20,000 characters.
Deno.test("parseConfig() refuses YAML that no config is made of, by line and in words", () => {
  const refused: [string, RegExp][] = [
    ["name: !!binary aGk=", /^x\.yaml, line 1: not valid YAML: Unresolved tag: .*binary/],
    ["name: !!set {a, b}", /line 1: not valid YAML: Unresolved tag/],
    ["name: !!js/function 'x'", /line 1: not valid YAML: Unresolved tag/],
    ["? ".repeat(707), /^x\.yaml: not usable as a config: a key is a name, not a mapping/],
    ["? [a, b]\n: 1", /a key is a name/],
    ["a: &a b\n*a : 1", /a key is a name/],
    ["name: &a [*a]", /the alias \*a stands within the value that it stands for/],
    ["name: &a { b: { c: *a } }", /the alias \*a stands within/],
    ["name: *a", /the alias \*a has no anchor before it/],
    ["[".repeat(3000), /^x\.yaml, line 1: not valid YAML: it is nested deeper than 100 levels$/],
    [`a: ${"[".repeat(200)}${"]".repeat(200)}`, /it is nested deeper than 100 levels$/],
    [
      "name: { length: { toString: 1 } }",
      /^x\.yaml, line 1: name\.length\.toString: no key below length may be called toString$/,
    ],
    [
      "name: { length: { valueOf: 1 } }",
      /name\.length\.valueOf: no key below length may be called valueOf$/,
    ],
    [`data: { train: ${"x".repeat(20_000)} }`, /data\.train is "x{299}…: /],
  ];
  for (const [text, message] of refused) {
    assert.throws(
      () => parseConfig(text, "x.yaml"),
      (error) =>
        error instanceof UsageError && message.test(error.message) && error.message.length < 2_000,
      text.slice(0, 80),
    );
  }
  for (
    const override of ["name.length.toString=0.1", "nats.url.toString.=0.1", "data.dataset=cifar10"]
  ) {
    const text = "data: { root: { toString: 1 }, layout: { toString: 1 } }\nname: {}";
    assert.throws(
      () => parseConfig(text, "x.yaml", [parseOverride(override)]),
      UsageError,
      override,
    );
  }
  const deep = { a: {} as Record<string, unknown> };
  deep.a.b = deep;
  assert.throws(() => validateConfig(deep as never), { message: "Config: a.b.a: it holds itself" });
  assert.throws(
    () => parseConfig("", "x.yaml", [parseOverride("name.length.toString=0.1")]),
    UsageError,
  );
});

Deno.test("parseOverride() reads the value as YAML and needs an equals sign", () => {
  assert.deepEqual(parseOverride("train.schedule={ name: StepLR, stepSize: 3 }").value, {
    name: "StepLR",
    stepSize: 3,
  });
  assert.throws(() => parseOverride("train.lr"), /not key=value/);
});

Deno.test("--set takes text as it stands, where a key takes text", () => {
  const texts = [
    "/x/my photos #1",
    "/x/a: b",
    "/x/[a] {b}",
    "  blanks  ",
    String.raw`C:\new\Users\"`,
    "2024",
    "1e3",
    "0x10",
    "true",
    "~",
    "Null",
    "a=b=c",
    "&x *y !z |",
    "- a",
    "café/図",
    "it's",
    "'",
    "",
  ];
  for (const text of texts) {
    for (const key of ["data.root", "out", "nats.url", "model.weights", "train.lossModule"]) {
      assert.deepEqual(parseOverride(`${key}=${text}`), { key, value: text });
    }
  }
  const root = (text: string) => parseOverride(`data.root=${text}`).value;
  assert.equal(root(`"/x/my photos #1"`), "/x/my photos #1");
  assert.equal(root(`'/x/my photos #1'`), "/x/my photos #1");
  assert.equal(root(`""a""`), `"a"`);
  assert.equal(root(`"null"`), "null");
  assert.equal(root("null"), null);
  assert.equal(root(String.raw`"C:\new"`), String.raw`C:\new`);
  const set = (text: string) => parseConfig(GOOD, "x.yaml", [parseOverride(text)]);
  assert.equal(set("name=2024").name, "2024");
  assert.equal(set("data.root=/x/my photos #1").data.root, "/x/my photos #1");
  assert.equal(set("data.valFolder=1e3").data.valFolder, "1e3");
  assert.equal(set("train.lr=1e-3").train.lr, 0.001); // other keys are YAML
});

Deno.test("null takes every optional key away, and is refused for the others", () => {
  const text = GOOD + "  clipGradNorm: 1\nname: mine\nout: there\nnats: { url: nats://x:1 }\n";
  const overrides = ["train.clipGradNorm", "name", "out", "nats.url", "data.cache", "nats"];
  for (let count = 1; count <= overrides.length; count++) {
    const sets = overrides.slice(0, count).map((key) => parseOverride(`${key}=null`));
    const config = parseConfig(text, "x.yaml", sets);
    assert.equal(config.train.clipGradNorm, undefined);
    assert.equal(config.name, count > 1 ? "photos" : "mine");
    assert.equal(config.nats.url, count > 3 ? undefined : "nats://x:1");
  }
  assert.match(
    problemOf(GOOD, ["train.epochs=null"]),
    /^--set train\.epochs: train\.epochs is null/,
  );
});

Deno.test("text in a YAML file is what is written, where a key takes text", () => {
  const read = (text: string) => parseConfig(GOOD + text, "x.yaml");
  assert.equal(read("name: 2024").name, "2024");
  assert.equal(read("name: 1e3\nout: 0x10").out, resolve("0x10"));
  assert.equal(read("out: true").out, resolve("true"));
  assert.equal(read("out: '007'").out, resolve("007"));
  assert.equal(parseConfig(GOOD.replace("photos", "007"), "x.yaml").data.root, resolve("007"));
  assert.match(problemOf(GOOD.replace("photos", "~")), /name a folder of images/);
  assert.match(problemOf(GOOD + "seed: '1'"), /seed is "1"/);
});

/** Names of classes that YAML or JavaScript give another meaning. */
const NAMES = [
  "01",
  "1",
  "10",
  "1e3",
  "1000",
  "yes",
  "null",
  "~",
  "true",
  "0x10",
  "16",
  "1.0",
  "2001-01-01",
  "constructor",
  "__proto__",
  "toString",
  "hasOwnProperty",
  "a.b",
  "café",
  "two words",
  "a=b",
];

Deno.test("names of classes stay as they are written, in files, in --set and in a run's own config", () => {
  const weights = NAMES.map((_, index) => index + 1);
  const block = NAMES.map((name, index) => `    ${name}: ${weights[index]}\n`).join("");
  const flow = NAMES.map((name, index) => `${name}: ${weights[index]}`).join(", ");
  const one = NAMES.map((name, index) => `train.classWeights.${name}=${weights[index]}`);
  const configs = [
    parseConfig(`${GOOD}  classWeights:\n${block}`, "x.yaml"),
    parseConfig(GOOD, "x.yaml", [parseOverride(`train.classWeights={ ${flow} }`)]),
    parseConfig(GOOD, "x.yaml", one.map(parseOverride)),
  ];
  configs.push(parseConfig(stringify(configs[0]), "x.yaml")); // as config.yaml holds it
  for (const config of configs) {
    const given = config.train.classWeights as Record<string, number>;
    assert.deepEqual(
      Object.entries(given).toSorted(),
      NAMES.map((name, at) => [name, at + 1]).toSorted(),
    );
    const classes = [...NAMES, "other"].toSorted();
    assert.deepEqual(
      resolveClassWeights(given, { classes, train: [] }),
      classes.map((name) => name === "other" ? 1 : NAMES.indexOf(name) + 1),
    );
  }
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  const classes = ["__proto__", "constructor", "toString"];
  assert.deepEqual(resolveClassWeights({}, { classes, train: [] }), [1, 1, 1]);
});

Deno.test("names of classes given twice, and wrong weights, are refused by name", () => {
  assert.match(problemOf(`${GOOD}  classWeights: { 01: 2, 01: 3 }`), /Map keys must be unique/);
  assert.match(problemOf(GOOD, ["train.classWeights={ 01: 2, '01': 3 }"]), /keys must be unique/);
  for (const text of ["train.classWeights.__proto__=-1", "train.classWeights={ constructor: x }"]) {
    assert.match(problemOf(GOOD, [text]), /^--set train\.classWeights/);
  }
  assert.match(problemOf(GOOD, ["__proto__.polluted=1"]), /unknown key __proto__/);
  assert.match(problemOf(GOOD, ["train.__proto__.polluted=1"]), /unknown key train\.__proto__/);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

Deno.test("--set reaches into lists, and is blamed for what it sets below a key", () => {
  const set = (text: string) => parseConfig(GOOD, "x.yaml", [parseOverride(text)]);
  assert.deepEqual(set("data.val.1.CenterCrop=24").data.val[1], { CenterCrop: { size: [24, 24] } });
  assert.match(problemOf(GOOD, ["data.val.2.CenterCrop=24"]), /2 is no position in a list of 2/);
  assert.match(problemOf(GOOD, ["data.val.x=24"]), /--set data\.val\.x: x is no position/);
  const noName = problemOf(GOOD, ["train.schedule.tMax=3"]);
  assert.match(
    noName,
    /^--set train\.schedule\.tMax: train\.schedule\.name is missing: give CosineAnnealingLR, ExponentialLR/,
  );
  const spaceless = /"Resize:20" as a name without a value: write a space .*\{ Resize: 20 \}$/;
  assert.throws(() => parseOverride("data.train=[{Resize:20}]"), spaceless);
  assert.match(problemOf(GOOD.replace("{ CenterCrop: 32 }", "{Resize:20}")), spaceless);
  for (const key of ["train.optimizer.name", "data.mix.mixup", "nosuch.x", "name.x.y"]) {
    const blamed = problemOf(GOOD.replace(/^name:.*\n/m, ""), [`${key}=9`]);
    assert.ok(blamed.startsWith(`--set ${key}: `), blamed);
  }
  assert.match(
    problemOf(GOOD, ["train.schedule={ name: StepLR, stepSize: 0 }"]),
    /^--set train\.schedule: train\.schedule\.stepSize is 0/,
  );
});

Deno.test("--set below a short form keeps what it says, and refuses to lose another value", () => {
  const text = GOOD.replace(
    "[{ RandomResizedCrop: 32 }]",
    `
    - RandomHorizontalFlip
    - ColorJitter: { brightness: 0.2 }
    - RandomRotation: [-5, 10]
    - RandomResizedCrop: 32
    - Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] }
  mix: [MixUp, { CutMix: 0.3 }]`,
  ) + "  classWeights: balanced\n";
  const set = (...texts: string[]) => parseConfig(text, "x.yaml", texts.map(parseOverride));
  const { data: { train, mix } } = set(
    "data.train.3.RandomResizedCrop.scale=[0.5,1]",
    "data.train.0.RandomHorizontalFlip.p=0.25",
    "data.train.1.ColorJitter.hue=0.1",
    "data.train.2.RandomRotation.interpolation=bilinear",
    "data.mix.0.MixUp.alpha=0.4",
  );
  assert.deepEqual(train[0], { RandomHorizontalFlip: { p: 0.25 } });
  const [, jitter, rotation, crop] = train as Record<string, Record<string, unknown>>[];
  assert.deepEqual([jitter.ColorJitter.brightness, jitter.ColorJitter.hue], [[0.8, 1.2], [
    ...[-0.1, 0.1],
  ]]);
  assert.deepEqual(rotation.RandomRotation.degrees, [-5, 10]);
  assert.equal(rotation.RandomRotation.interpolation, "bilinear");
  assert.deepEqual(crop.RandomResizedCrop.size, [32, 32], "the file's");
  assert.deepEqual(crop.RandomResizedCrop.scale, [0.5, 1]);
  assert.deepEqual(mix, [{ MixUp: { alpha: 0.4 } }, { CutMix: { alpha: 0.3 } }]);
  assert.deepEqual(
    parseConfig(
      GOOD,
      "x.yaml",
      [
        "data.val.0.Resize=[40, 44]",
        "data.val.0.Resize.1=48",
        "data.val.0.Resize.interpolation=bicubic",
      ].map(parseOverride),
    ).data.val[0],
    parseConfig(GOOD, "x.yaml", [
      parseOverride("data.val.0.Resize={ size: [40, 48], interpolation: bicubic }"),
    ]).data.val[0],
  );
  assert.deepEqual(
    set("model.head=[{ Linear: 9 }, ReLU, { Linear: classes }]", "model.head.0.Linear.inFeatures=4")
      .model.head![0],
    { Linear: { inFeatures: 4, outFeatures: 9 } },
  );
  const problem = (override: string) => problemOf(text, [override]);
  assert.equal(
    problem("train.classWeights.a=2"),
    '--set train.classWeights.a: train.classWeights is "balanced", which has no a: ' +
      "set the whole of it with --set train.classWeights=…",
  );
  assert.equal(
    problem("data.train.0.RandomErasing.p=0.1"),
    "--set data.train.0.RandomErasing.p: data.train.0 is RandomHorizontalFlip, not RandomErasing: " +
      "to replace it, set the whole of it with --set 'data.train.0={RandomErasing: …}'",
  );
  assert.match(problem("data.train.3.CenterCrop=24"), /data\.train\.3 is RandomResizedCrop, not/);
  assert.match(problem("data.train.3.RandomResizedCrop.scael=1"), /did you mean scale\?/);
});

Deno.test("loadConfig() accepts the default recipe and names a missing file", async () => {
  const path = new URL("../../configs/default.yaml", import.meta.url).pathname;
  assert.equal((await loadConfig(path)).model.name, "efficientnet_lite0");
  await assert.rejects(loadConfig("no-such.yaml"), /Config file no-such\.yaml can't be read/);
});
