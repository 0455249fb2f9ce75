import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import {
  CATALOG,
  CATALOG_CLASSES,
  type CatalogName,
  headParameters,
  type ModelFacts,
} from "../../src/models/catalog.ts";
import { MODEL_NAMES } from "../../src/models/config.ts";
import { createModel } from "../../src/models/create_model.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { ARCHITECTURES } from "../../src/models/registry.ts";
import { isPretrainedModel, PUBLISHED_WEIGHTS } from "../../src/provision/pretrained_weights.ts";
import { readFixture } from "./fixture_model.ts";

await openEngine();

interface Fixture {
  models: Record<string, {
    inputSize: number;
    parameters: number;
    multiplyAdds: number;
    head: string;
    headParameters: number;
    auxiliaryParameters?: number;
    metadata?: { num_params: number; _ops: number };
  }>;
}

const { models } = await readFixture<Fixture>("catalog");

/** Layers of auxiliary classifiers, which are left out of the multiply-adds. */
const AUXILIARY = /^AuxLogits\b/;

Deno.test("CATALOG has what PyTorch counts in its networks", () => {
  assert.deepEqual(Object.keys(CATALOG).sort(), Object.keys(models).sort());
  for (const [name, facts] of Object.entries(CATALOG)) {
    const { parameters, multiplyAdds, inputSize, auxiliaryParameters, ...theirs } = models[name];
    assert.deepEqual(
      { ...facts, head: headParameters(facts, CATALOG_CLASSES), paper: undefined },
      {
        parameters,
        multiplyAdds,
        inputSize,
        head: theirs.headParameters,
        paper: undefined,
        ...(auxiliaryParameters ? { auxiliaryParameters } : {}),
      },
      name,
    );
  }
});

Deno.test("CATALOG has torchvision's metadata and names of last layers", () => {
  const ofTorchvision = Object.entries(models).flatMap(([name, { metadata, head }]) =>
    metadata ? [{ name: name as CatalogName, metadata, head }] : []
  );
  assert.equal(ofTorchvision.length, 11);
  for (const { name, metadata, head } of ofTorchvision) {
    const { parameters, multiplyAdds } = CATALOG[name];
    assert.equal(parameters, metadata.num_params, name);
    assert.equal((multiplyAdds / 1e9).toFixed(3), metadata._ops.toFixed(3), name);
    assert.equal(CATALOG[name].head.name, head, name);
  }
});

Deno.test("docs/models.md has the figures of CATALOG", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/models.md", import.meta.url));
  const rows = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => cells.length === 10 && cells[1].startsWith("`"));
  assert.deepEqual(rows.map(([, name]) => name), Object.keys(CATALOG).map((name) => `\`${name}\``));
  Object.entries(CATALOG).forEach(([name, facts], index) => {
    const { parameters, multiplyAdds, inputSize, head, paper }: ModelFacts = facts;
    const weights = isPretrainedModel(name) ? PUBLISHED_WEIGHTS[name].v1 : undefined;
    assert.deepEqual(rows[index].slice(2, -1), [
      `${(parameters / 1e6).toFixed(1)} M`,
      (multiplyAdds / 1e9).toFixed(3),
      String(inputSize),
      `\`${head.name}\``,
      weights ? `\`${weights.file}\`` : "none",
      weights ? `${weights.mebibytes.toFixed(1)} MiB` : "",
      paper ? `[${paper.authors}](https://arxiv.org/abs/${paper.arxiv})` : "",
    ], name);
  });
});

for (const name of MODEL_NAMES) {
  Deno.test(`createModel("${name}") has the parameters and multiply-adds of CATALOG`, () => {
    const facts: ModelFacts = CATALOG[name];
    assert.equal(ARCHITECTURES[name].inputSize, facts.inputSize);
    const before = tf.memory().numTensors;
    const model = createModel(name, { numClasses: CATALOG_CLASSES });
    try {
      const sizes = parametersOf(model).filter(({ buffer }) => !buffer)
        .map((parameter) => ({ name: parameter.name, size: parameter.variable.size }));
      assert.equal(total(sizes), facts.parameters);
      assert.equal(
        total(sizes.filter((part) => part.name.startsWith(`${facts.head.name}.`))),
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
