import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { loadConfig, openEngine, train } from "../../mod.ts";
import { checkModules } from "../../src/train/modules.ts";
import { validateConfig } from "../../src/config/load.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand } from "../support/tiny_run.ts";
import { type Changes, moduleConfig, moduleIn, writeModules } from "../support/user_modules.ts";

/** A model of one dense layer, with something in the place of `layers`. */
function modelWith(layers: string, ending = "tf.layers.dense({ units: numClasses })"): string {
  return `export function createModel({ inputShape, numClasses }, tf) {
    class Reads extends tf.layers.Layer {
      static className = "Reads";
      call(x) { return tf.mul(x[0] ?? x, (x[0] ?? x).dataSync()[0]); }
      computeOutputShape(shape) { return shape; }
    }
    class Noise extends tf.layers.Layer {
      static className = "Noise";
      call(x) { return tf.add(x[0] ?? x, tf.randomNormal((x[0] ?? x).shape)); }
      computeOutputShape(shape) { return shape; }
    }
    return tf.sequential({ layers: [
      tf.layers.flatten({ inputShape }), ${layers} ${ending}
    ] });
  }`;
}

type Texts = Parameters<typeof writeModules>[1];

/** Modules that can't work, and what is said of them. */
const BAD: [name: string, texts: Texts, message: RegExp, changes?: Changes][] = [
  [
    "nothing exported",
    { model: "const createModel = 1;" },
    /model\.module: file:.*model\.ts exports no function createModel, but nothing/,
  ],
  [
    "another name",
    { model: "export const buildModel = () => {};" },
    /exports no function createModel, but buildModel/,
  ],
  ["a syntax error", { model: "export const = 3;" }, /model\.module: file:.*can't be imported/],
  [
    "a throwing model",
    { model: "export function createModel() { throw new Error('no idea'); }" },
    /model\.module: createModel of file:.*model\.ts:1:\d+ threw: no idea/,
  ],
  ["no model", { model: "export const createModel = () => 3;" }, /gives no tf\.LayersModel/],
  ["another input", {
    model: modelWith("").replace("{ inputShape }", "{ inputShape: [28, 28, 1] }"),
  }, /whose input is float32 \[null, 28, 28, 1\], but images are float32 \[null, 12, 12, 3\]/],
  [
    "other outputs",
    { model: modelWith("", "tf.layers.dense({ units: 7 })") },
    /whose output is float32 \[null, 7\], but a logit for each class is float32 \[null, 3\]/,
  ],
  ["a regularizer", {
    model: modelWith("tf.layers.dense({ units: 4, kernelRegularizer: 'l1l2' }),"),
  }, /Layer dense_1 \(Dense\) of file:.*has a regularizer.*train\.weightDecay/],
  [
    "noise",
    { model: modelWith("tf.layers.gaussianNoise({ stddev: 1 }),") },
    /\(GaussianNoise\) of file:.*draws random numbers/,
  ],
  [
    "hidden noise",
    { model: modelWith("new Noise(),") },
    /gives other gradients each time: something in it draws random numbers/,
    { engine: false } as never,
  ],
  [
    "a layer that reads",
    { model: modelWith("new Reads({ name: 'peek' }),") },
    /Layer peek \(Reads\) of file:.*fails: A captured function reads a tensor's values in JavaScript/,
  ],
  ["nothing that learns", {
    model: modelWith("").replace("return tf.sequential", "const m = tf.sequential").replace(
      /\}\s*$/,
      "m.layers[1].trainable = false; return m; }",
    ),
  }, /nothing of the model of file:.*learns/],
  [
    "no data set",
    { data: "export const createDataset = () => ({});" },
    /createDataset of file:.* gives no classes/,
  ],
  [
    "one class",
    { data: "export const createDataset = () => ({ classes: ['a'] });" },
    /gives the classes \["a"\]: two or more different ones/,
  ],
  ["no samples", {
    data: "export const createDataset = () => ({ classes: ['a', 'b'], train: {} });",
  }, /gives a train that is neither \{ length, sample/],
  ["a length of none", {
    data:
      "export const createDataset = () => ({ classes: ['a', 'b'], train: { length: 0, sample() {} } });",
  }, /has the length 0/],
  ["wrong labels", {
    data:
      "export const createDataset = () => ({ classes: ['a', 'b'], train: { length: 2, sample() {}, labels: [0, 2] } });",
  }, /has the label 2 at 1, but labels are 0 to 1/],
  [
    "a loss for all",
    { loss: "export const lossPerSample = (logits, _, tf) => tf.mean(logits);" },
    /lossPerSample of file:.* gives float32 \[\] for 2 samples: give a loss for each, float32 \[2\]/,
  ],
  ["a loss that reads", {
    loss: "export const lossPerSample = (logits, _, tf) => tf.tensor1d([...logits.dataSync()]);",
  }, /lossPerSample of file:.* fails: A captured function reads/],
  [
    "no metrics",
    { metrics: "export const x = 3;" },
    /validate\.metricsModule: file:.* exports no function/,
  ],
  [
    "a metric's name",
    { metrics: "export const accuracy = () => 3;" },
    /exports accuracy, which every run has already/,
  ],
  [
    "a metric's shape",
    { metrics: "export const m = ({ logits }) => logits;" },
    /The metric m of file:.* gives a tensor \[2,3\] for 2 samples/,
  ],
  [
    "remote code",
    { data: "import x from 'https://example.com/x.ts';" },
    /data\.ts imports https:\/\/example\.com\/x\.ts, but code from the network isn't run/,
  ],
];

for (const [name, texts, message, changes] of BAD) {
  Deno.test(`train() refuses modules before a worker starts: ${name}`, () =>
    withTemporaryFolder(async (folder) => {
      await writeModules(folder, texts);
      const config = moduleConfig(folder);
      await assert.rejects(
        train(changes ? { ...config, engine: { capture: false } } : config),
        (error: Error) => {
          assert.match(error.message, message);
          return true;
        },
      );
      assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)).then((all) => all.length), 4);
    }));
}

Deno.test("config keys for modules are checked together with the others", () => {
  const base = {
    data: { root: "x", train: [{ CenterCrop: 8 }], val: [{ CenterCrop: 8 }] },
    train: { epochs: 1, batchSize: 2 },
  };
  const problem = (changes: Record<string, unknown>) => {
    try {
      validateConfig(
        { ...base, model: { name: "plain_cnn", weights: "none" }, ...changes } as never,
      );
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  assert.equal(problem({}), "");
  assert.match(
    problem({ model: {} }),
    /model\.name is missing: name one of .* or a module of your own/,
  );
  assert.match(
    problem({ model: { name: "resnet18", module: "./m.ts" } }),
    /model\.name .*remove one of the two/,
  );
  assert.match(
    problem({ model: { module: "./m.ts", dropout: 0.1 } }),
    /model\.dropout .*up to model\.module/,
  );
  assert.match(problem({ model: { module: "./m.ts", weights: "pretrained" } }), /model\.weights/);
  assert.match(
    problem({ model: { module: "https://a.b/m.ts" } }),
    /files only, never from the network/,
  );
  assert.match(
    problem({ data: { ...base.data, module: "./d.ts" } }),
    /data\.root .*data\.module gives the images: remove one of the two keys/,
  );
  const both = { ...base.train, loss: "nll", lossModule: "./l.ts" };
  assert.match(problem({ train: both }), /Both train\.loss \(nll\) and train\.lossModule/);
});

Deno.test("paths of modules count from the YAML file, those of --set from the present folder", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const config = moduleConfig(folder);
    const path = join(folder, "own.yaml");
    const model = { ...config.model, module: "./model.ts" };
    await Deno.writeTextFile(path, stringify({ ...config, model }));
    const loaded = await loadConfig(path, [{ key: "train.lossModule", value: "./loss.ts" }]);
    assert.equal(loaded.model?.module, moduleIn(folder, "model"));
    assert.equal(loaded.train.lossModule, moduleIn(Deno.cwd(), "loss"));
  }));

Deno.test("checkModules() refuses another version, also of what a module imports, with both hashes", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { model: 'import "./part.ts";\nexport const createModel = 1;' });
    const part = join(folder, "part.ts");
    await Deno.writeTextFile(part, "export {};");
    const config = validateConfig(moduleConfig(folder));
    const { hashModules } = await import("../../src/train/modules.ts");
    const modules = await hashModules(config);
    assert.deepEqual(Object.keys(modules).sort(), [
      "data.module",
      "model.module",
      "train.lossModule",
      "validate.metricsModule",
    ]);
    await checkModules({ config, modules });
    await Deno.writeTextFile(part, "export {}; // other");
    await assert.rejects(
      checkModules({ config, modules }),
      /model\.module: file:.*or a file that it imports, differs from the coordinator's \(SHA-256 \w{12}, expected \w{12}\)/,
    );
  }));

Deno.test("workers refuse a module that has changed since the coordinator looked at it", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const reporter = {
      ...silentReporter(),
      info: (line: string) => {
        if (!line.startsWith("Run folder")) return;
        Deno.writeTextFileSync(join(folder, "loss.ts"), "// later\n", { append: true });
      },
    };
    await assert.rejects(
      train(moduleConfig(folder), { reporter }),
      /train\.lossModule: file:.*differs from the coordinator's/,
    );
  }));

/** A data set of which one image can't be made. */
function throwingData(when: string, body: string): string {
  return `
    const image = { width: 12, height: 12, data: new Uint8Array(144) };
    const sample = async (index, { split }) => {
      if (${when}) { ${body} }
      return { image, label: index % 2 };
    };
    export const createDataset = () => ({
      classes: ["a", "b"], train: { length: 16, sample }, val: { length: 4, sample },
    });`;
}

Deno.test("what a data set throws reaches the output: rank, index, message, place and last lines", () =>
  withTemporaryFolder(async (folder) => {
    await openEngine();
    await writeModules(folder, {
      data: throwingData(
        "split === 'val' && index === 3",
        "console.log('about to fail'); throw new RangeError('bad luck');",
      ),
    });
    const config = moduleConfig(folder, { workers: 2, train: { epochs: 1 } });
    const path = join(folder, "own.yaml");
    await Deno.writeTextFile(path, stringify(config));
    const { code, stderr } = await runCommand(["train", "--config", path], folder);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Rank 1 failed: Image "val#3" can't be used: sample\(3\) of file:\S*data\.ts:4:\d+ threw: bad luck/,
    );
    assert.match(stderr, /Last lines of rank 1:\n(\[rank 1\] .*\n)*\[rank 1\] about to fail\n/);
  }));

Deno.test("a data set can't write in a worker, and data.onError: skip leaves out what throws", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, {
      data: throwingData(
        "split === 'train' && index === 13",
        `await Deno.writeTextFile("${folder}/out.txt", "x");`,
      ),
    });
    // The coordinator draws the first step's images, too: it must not be the one that fails.
    const config = moduleConfig(folder, { data: { onError: "skip" }, train: { epochs: 1 } });
    const warnings: string[] = [];
    const reporter = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
    const { history } = await train(config, { reporter });
    assert.equal(history.epochs.length, 1);
    const about = warnings.filter((line) => line.includes("train#13"));
    assert.equal(about.length, 1);
    assert.match(about[0], /Requires write access.*a worker may read files, but not write them/);
  }));
