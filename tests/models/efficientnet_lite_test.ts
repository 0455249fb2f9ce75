import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { randomStream } from "../../src/base/random.ts";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { scanImageFolder } from "../../src/data/datasets/image_folder.ts";
import { transformsSchema } from "../../src/data/transforms/transform_specs.ts";
import { TransformPipeline } from "../../src/data/transforms/transforms.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { tensorFrom } from "../../src/engine/transfer.ts";
import { createModel } from "../../src/models/create_model.ts";
import { ARCHITECTURES } from "../../src/models/registry.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { ensureDataset } from "../../src/provision/datasets.ts";
import { ensurePretrainedWeights } from "../../src/models/pretrained_weights.ts";
import { loadTorchWeights } from "../../src/train/load_weights.ts";
import { assertWithin, fill, type FilledInput, inputImages, readFixture } from "./fixture_model.ts";

await openEngine();

interface Fixture {
  photos: {
    file: string;
    decodedSha256: string;
    preprocessedSha256: string;
    logits: number[];
  }[];
  preprocess: { mean: number[]; std: number[] };
  filled: { input: FilledInput; logits: number[][] };
}

const publicWeightName = ARCHITECTURES.efficientnet_lite0.renameState!;
const fixture = await readFixture<Fixture>("efficientnet_lite0");

Deno.test("efficientnet_lite0 gives the PyTorch implementation's logits for given parameters", () => {
  const model = createModel("efficientnet_lite0", { numClasses: fixture.filled.logits[0].length });
  const [count, , height, width] = fixture.filled.input.shape;
  fill(model, parametersOf(model), "classifier.1", publicNames());
  const logits = tf.tidy(() => {
    const bytes = new Uint8Array(inputImages(fixture.filled.input).buffer);
    const input = tensorFrom([count, height, width, 3], "float32", bytes);
    return (model.predict(input) as tf.Tensor2D).arraySync();
  });
  assertWithin(logits.flat(), fixture.filled.logits.flat(), 1e-4, "logits");
  model.dispose();
});

/** This model's names of parameters and buffers → those of the public weights. */
function publicNames(): Map<string, string> {
  const layers = ["_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"];
  for (let block = 0; block < 16; block++) {
    for (
      const part of ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    ) {
      layers.push(`_blocks.${block}.${part}`);
    }
  }
  const suffixes = ["weight", "bias", "running_mean", "running_var"];
  return new Map(
    layers.flatMap((layer) => suffixes.map((suffix) => `${layer}.${suffix}`))
      .map((name) => [publicWeightName(name), name]),
  );
}

Deno.test("renameState() of efficientnet_lite0 leaves other names as they are", () => {
  assert.equal(publicWeightName("_blocks.0._expand_conv.weight"), "_blocks.0._expand_conv.weight");
  assert.equal(publicWeightName("_blocks.16._bn1.bias"), "_blocks.16._bn1.bias");
  assert.equal(publicWeightName("layer1.0.conv1.weight"), "layer1.0.conv1.weight");
  assert.equal(
    publicWeightName("_blocks.1._depthwise_conv.weight"),
    "features.2.0.block.1.0.weight",
  );
});

Deno.test("efficientnet_lite0 with its ImageNet weights sees what PyTorch sees in three photos", async () => {
  const root = await ensureDataset("food-groups", () => {});
  const files = await findPhotos(root, fixture.photos.map(({ file }) => basename(file)));
  const model = createModel("efficientnet_lite0", { numClasses: 1000 });
  await loadTorchWeights(model, await ensurePretrainedWeights("efficientnet_lite0", () => {}));
  const { mean, std } = fixture.preprocess;
  const transforms = [{ Resize: 256 }, { CenterCrop: 224 }, { Normalize: { mean, std } }];
  const pipeline = new TransformPipeline(transformsSchema.parse(transforms));
  for (const { file, decodedSha256, preprocessedSha256, logits } of fixture.photos) {
    const path = files.get(basename(file))!;
    const image = await decodeImage(await Deno.readFile(path), { path });
    assert.equal(sha256(image.data), decodedSha256, `${file}: Pillow's pixels`);
    const prepared = pipeline.prepare(image);
    assert.equal(sha256(prepared.data), preprocessedSha256, `${file}: torchvision's pixels`);
    const input = new Float32Array(pipeline.floats);
    pipeline.apply(prepared, randomStream("unused"), input, 0);
    const actual = tf.tidy(() =>
      (model.predict(tf.tensor4d(input, [1, 224, 224, 3])) as tf.Tensor2D).arraySync()
    );
    assertWithin(actual[0], logits, 1e-4, file);
  }
  model.dispose();
});

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Paths of photos by name, wherever in a data set they stand. */
async function findPhotos(root: string, names: readonly string[]): Promise<Map<string, string>> {
  const { train, val } = await scanImageFolder(root);
  const found = new Map(
    [...train, ...val].map(({ path }) => [basename(path), join(root, path)] as const)
      .filter(([name]) => names.includes(name)),
  );
  assert.equal(found.size, names.length);
  return found;
}
