import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { checkGraphModel } from "../../src/export/check_graph_model.ts";
import { type GraphModel, makeGraphModel, weightBytes } from "../../src/export/graph_model.ts";
import { SHARD_BYTES, shardAt, shardCount } from "../../src/export/shards.ts";
import { filledModel } from "../support/filled_run.ts";

await openEngine();

interface NodeDef {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
}

function nodesIn({ description }: GraphModel): NodeDef[] {
  return (description.modelTopology as { node: NodeDef[] }).node;
}

Deno.test("makeGraphModel() folds BatchNorm, fuses activations, and names weights as torchvision does", () => {
  const model = filledModel("resnet18", { numClasses: 5 });
  const graphModel = makeGraphModel(model, [64, 64], { classes: ["a"] });
  model.dispose();
  const ops = Map.groupBy(nodesIn(graphModel), ({ op }) => op);
  equal(ops.get("FusedBatchNorm"), undefined);
  equal(ops.get("_FusedConv2D")!.length, 20);
  // One behind each of the eight blocks; the others are fused.
  equal(ops.get("Relu")!.length, 8);
  deepEqual(ops.get("_FusedMatMul")!.map(({ name, input }) => [name, input!.slice(1)]), [
    ["logits", ["fc.weight", "fc.bias"]],
  ]);
  const names = graphModel.weightSpecs.map(({ name }) => name);
  for (const name of ["conv1.weight", "conv1.bias", "layer4.1.conv2.weight"]) {
    ok(names.includes(name), `${name} among ${names}`);
  }
  equal(new Set(nodesIn(graphModel).map(({ name }) => name)).size, nodesIn(graphModel).length);
  deepEqual(graphModel.description.userDefinedMetadata, { classes: ["a"] });
  const { inputs } = graphModel.description.signature as {
    inputs: Record<string, { tensorShape: { dim: { size: string }[] } }>;
  };
  deepEqual(inputs.images.tensorShape.dim.map(({ size }) => size), ["-1", "64", "64", "3"]);
});

Deno.test("makeGraphModel() takes heads of several layers", async () => {
  const head = [
    { Linear: { outFeatures: 7 } },
    { ReLU: {} },
    { Dropout: { p: 0.5 } },
    { Linear: { outFeatures: "classes" as const } },
    { LogSoftmax: {} },
  ];
  const model = filledModel("plain_cnn", { numClasses: 4, head });
  const graphModel = makeGraphModel(model, [24, 24], {});
  ok(await checkGraphModel(graphModel, model, [24, 24]) < 1e-5);
  model.dispose();
});

Deno.test("makeGraphModel() refuses a model that depends on the number of images", () => {
  class PerBatch extends tf.layers.Layer {
    static readonly className = "PerBatch";
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      const x = Array.isArray(inputs) ? inputs[0] : inputs;
      return tf.tidy(() => tf.mul(tf.mean(x, [1, 2]), tf.scalar(x.shape[0])));
    }
    override computeOutputShape(shape: tf.Shape): tf.Shape {
      return [shape[0], shape[3]];
    }
  }
  const input = tf.input({ shape: [null, null, 3] });
  const output = new PerBatch({}).apply(input) as tf.SymbolicTensor;
  const model = tf.model({ inputs: input, outputs: output });
  throws(
    () => makeGraphModel(model, [4, 4], {}),
    /a constant of Mul depends on how many there are/,
  );
});

Deno.test("checkGraphModel() notices wrong weights and ops that tfjs lacks", async () => {
  const model = filledModel("plain_cnn", { numClasses: 3 });
  const good = makeGraphModel(model, [24, 24], {});
  const index = good.weightSpecs.findIndex(({ name }) => name === "fc.weight");
  const doubled = new Float32Array(good.weights[index].slice().buffer).map((value) => 2 * value);
  const wrong = { ...good, weights: good.weights.with(index, new Uint8Array(doubled.buffer)) };
  await rejects(checkGraphModel(wrong, model, [24, 24]), /its logits differ by/);

  const text = JSON.stringify(good.description).replaceAll('"_FusedConv2D"', '"Unheard"');
  const unknown = { ...good, description: JSON.parse(text) };
  await rejects(checkGraphModel(unknown, model, [24, 24]), (error: Error) => {
    match(error.message, /plain_cnn does: .*Unheard/s);
    return true;
  });
  model.dispose();
});

Deno.test("shardAt() cuts the weights into files of equal size, across tensors", () => {
  const sizes = [SHARD_BYTES - 3, 10, 2 * SHARD_BYTES, 5];
  const weights = sizes.map((size, index) => new Uint8Array(size).fill(index + 1));
  const model = { description: {}, weightSpecs: [], weights };
  equal(shardCount(model), 4);
  const shards = [0, 1, 2, 3].map((index) => shardAt(model, index));
  deepEqual(shards.map(({ length }) => length), [SHARD_BYTES, SHARD_BYTES, SHARD_BYTES, 12]);
  deepEqual([...shards[0].subarray(-4)], [1, 2, 2, 2]);
  deepEqual([...shards[3]], [3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4]);
  equal(weightBytes(model), sizes.reduce((a, b) => a + b));
});
