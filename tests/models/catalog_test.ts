import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { CATALOG_CLASSES, headParameters } from "../../src/models/architecture.ts";
import { createModel } from "../../src/models/create_model.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { TORCHVISION_URL } from "../../src/models/pretrained_weights.ts";
import { recognizeArchitecture } from "../../src/models/recognize.ts";
import { ARCHITECTURES, MODEL_NAMES, type ModelName } from "../../src/models/registry.ts";
import { readParity } from "./parity.ts";

await openEngine();

/** Layers of auxiliary classifiers, which are left out of the multiply-adds. */
const AUXILIARY = /^AuxLogits\b/;
/** Networks that torchvision doesn't have. */
const NOT_TORCHVISION: readonly ModelName[] = ["efficientnet_lite0", "plain_cnn"];

Deno.test("readParity() says how a missing fixture is made", async () => {
  await assert.rejects(
    () => readParity("resnet19"),
    /no fixture tests\/fixtures\/parity\/resnet19\.json: make it with "python scripts\/make_parity_fixtures\.py .*resnet19"$/,
  );
});

Deno.test("MODEL_NAMES ends with the networks of no paper", () => {
  assert.equal(MODEL_NAMES.length, new Set(MODEL_NAMES).size);
  assert.deepEqual(MODEL_NAMES.toSorted(), Object.keys(ARCHITECTURES));
  assert.equal(MODEL_NAMES.at(-1), "plain_cnn");
});

for (const name of MODEL_NAMES) {
  Deno.test(`ARCHITECTURES.${name} declares what PyTorch counts and torchvision publishes`, async () => {
    const { catalog, tensors } = await readParity(name);
    const architecture = ARCHITECTURES[name];
    const { parameters, multiplyAdds, inputSize, auxiliaryParameters, weights } = architecture;
    assert.deepEqual({
      parameters,
      multiplyAdds,
      inputSize,
      headParameters: headParameters(architecture, CATALOG_CLASSES),
      auxiliaryParameters,
    }, {
      parameters: catalog.parameters,
      multiplyAdds: catalog.multiplyAdds,
      inputSize: catalog.inputSize,
      headParameters: catalog.headParameters,
      auxiliaryParameters: catalog.auxiliaryParameters,
    });
    const shapes = Object.entries(tensors).map(([own, { shape }]) => [own, shape] as const);
    assert.equal(recognizeArchitecture(new Map(shapes)), name);
    const { metadata } = catalog;
    assert.equal(metadata === undefined, NOT_TORCHVISION.includes(name));
    if (!metadata) return;
    assert.equal(parameters, metadata.num_params);
    assert.equal((multiplyAdds / 1e9).toFixed(3), metadata._ops.toFixed(3));
    assert.equal(architecture.heads[0], catalog.head);
    const versions = { IMAGENET1K_V1: weights?.v1, IMAGENET1K_V2: weights?.v2 };
    assert.deepEqual(
      Object.fromEntries(
        Object.entries(versions).flatMap(([version, published]) =>
          published
            ? [[version, {
              url: TORCHVISION_URL + published.file,
              _file_size: published.mebibytes,
            }]]
            : []
        ),
      ),
      catalog.weights,
    );
  });
}

/** The table of docs/models.md: its cells, without the lines around it. */
function docsRows(): string[][] {
  return (Object.keys(ARCHITECTURES) as ModelName[]).map((name) => {
    const { parameters, multiplyAdds, inputSize, heads, weights, paper } = ARCHITECTURES[name];
    return [
      `\`${name}\``,
      `${(parameters / 1e6).toFixed(1)} M`,
      (multiplyAdds / 1e9).toFixed(3),
      String(inputSize),
      `\`${heads[0]}\``,
      weights ? `\`${weights.v1.file}\`` : "none",
      weights ? `${weights.v1.mebibytes.toFixed(1)} MiB` : "",
      paper ? `[${paper.authors}](https://arxiv.org/abs/${paper.arxiv})` : "",
    ];
  });
}

Deno.test("docs/models.md has the figures of ARCHITECTURES", async () => {
  const url = new URL("../../docs/models.md", import.meta.url);
  const lines = (await Deno.readTextFile(url)).split("\n");
  const isRow = (line: string) => line.startsWith("| `") && line.split("|").length === 10;
  const rows = docsRows();
  // To accept a change: deno task test tests/models/catalog_test.ts -- --update
  if (Deno.args.includes("--update")) {
    const first = lines.findIndex(isRow);
    const count = lines.filter(isRow).length;
    lines.splice(first, count, ...rows.map((cells) => `| ${cells.join(" | ")} |`));
    await Deno.writeTextFile(url, lines.join("\n"));
    return; // `deno fmt` lines the cells up
  }
  const cells = lines.filter(isRow).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  assert.deepEqual(cells, rows);
});

for (const name of MODEL_NAMES) {
  Deno.test(`createModel("${name}") has the parameters and multiply-adds of its declaration`, () => {
    const facts = ARCHITECTURES[name];
    const before = tf.memory().numTensors;
    const model = createModel(name, { numClasses: CATALOG_CLASSES });
    try {
      const sizes = parametersOf(model).filter(({ buffer }) => !buffer)
        .map((parameter) => ({ name: parameter.name, size: parameter.variable.size }));
      assert.equal(total(sizes), facts.parameters);
      assert.equal(
        total(sizes.filter((part) => part.name.startsWith(`${facts.heads[0]}.`))),
        headParameters(facts, CATALOG_CLASSES),
      );
      assert.equal(
        total(sizes.filter((part) => AUXILIARY.test(part.name))),
        facts.auxiliaryParameters ?? 0,
      );
      assert.equal(multiplyAddsOf(model, facts.inputSize), facts.multiplyAdds);
    } finally {
      model.dispose();
    }
    assert.equal(tf.memory().numTensors, before, "nothing of the network stays behind");
  });
}

function total(sizes: readonly { size: number }[]): number {
  return sizes.reduce((sum, { size }) => sum + size, 0);
}

/**
 * Sends an image through a network and counts: each element of a kernel is multiplied once at each place of the
 * layer's output.
 */
function multiplyAddsOf(model: tf.LayersModel, size: number): number {
  let count = 0;
  for (const layer of model.layers) {
    const [kernel] = layer.weights;
    if (!kernel || kernel.shape.length < 2 || AUXILIARY.test(layer.name)) continue;
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => {
      const output = call(inputs, kwargs);
      const { shape } = Array.isArray(output) ? output[0] : output;
      const places = shape.slice(1, -1).reduce((product, side) => product * side, 1);
      count += places * kernel.shape.reduce<number>((product, side) => product * side!, 1);
      return output;
    };
  }
  tf.tidy(() => void model.predict(tf.zeros([1, size, size, 3])));
  return count;
}
