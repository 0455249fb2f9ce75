import assert from "node:assert/strict";
import fixtures from "../../fixtures/data/transforms.json" with { type: "json" };
import { randomStream } from "../../../src/base/random.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import {
  outputSize,
  transformSchema,
  type TransformSpec,
} from "../../../src/data/transforms/transform_specs.ts";
import { noise, sha256 } from "../noise.ts";

const TRAIN: TransformSpec[] = [
  { Resize: { size: 40 } },
  { RandomResizedCrop: { size: [16, 24], scale: [0.3, 1], ratio: [0.75, 4 / 3] } },
  { RandomHorizontalFlip: { p: 0.5 } },
];
const { Normalize } = transformSchema.parse({
  Normalize: { mean: fixtures.floats.mean, std: fixtures.floats.std },
}) as Extract<TransformSpec, { Normalize: unknown }>;

function floatsOf(specs: TransformSpec[], ...keys: number[]): Float32Array {
  const pipeline = new TransformPipeline(specs);
  const target = new Float32Array(pipeline.floats);
  pipeline.apply(pipeline.prepare(noise(61, 53, 1)), randomStream(...keys), target, 0);
  return target;
}

Deno.test("TransformPipeline's Resize, CenterCrop and flip are torchvision's to the bit", () => {
  for (const { source, spec, width, height, sha256: expected } of fixtures.transforms) {
    const [name] = Object.keys(spec);
    const message = `${JSON.stringify(spec)} of ${source}`;
    const end = name === "CenterCrop" ? [] : [{ CenterCrop: [height, width] }];
    const specs = [spec, ...end].map((input) => transformSchema.parse(input));
    const pipeline = new TransformPipeline(specs);
    const image = noise(source[0], source[1], source[2]);
    const result = pipeline.augment(pipeline.prepare(image), randomStream(0));
    assert.deepEqual([result.width, result.height], [width, height], message);
    assert.equal(sha256(result.data), expected, message);
  }
});

Deno.test("TransformPipeline's floats are ToTensor's and Normalize's to the bit", () => {
  const data = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
  const bytes = { width: 16, height: 16, data };
  for (
    const [specs, expected] of [
      [[], fixtures.floats.plain],
      [[{ Normalize }], fixtures.floats.normal],
    ] as const
  ) {
    const pipeline = new TransformPipeline([{ CenterCrop: { size: [16, 16] } }, ...specs]);
    const target = new Float32Array(pipeline.floats + 2).fill(7);
    pipeline.apply(pipeline.prepare(bytes), randomStream(0), target, 1);
    assert.equal(sha256(new Uint8Array(target.buffer, 4, pipeline.floats * 4)), expected);
    assert.deepEqual([target[0], target.at(-1)], [7, 7], "nothing else is written");
  }
});

Deno.test("TransformPipeline's pixels are a function of the stream's keys alone", () => {
  assert.deepEqual(floatsOf(TRAIN, 1, 2, 3), floatsOf(TRAIN, 1, 2, 3));
  assert.notDeepEqual(floatsOf(TRAIN, 1, 2, 3), floatsOf(TRAIN, 1, 2, 4));
  assert.notDeepEqual(floatsOf(TRAIN, 1, 2, 3), floatsOf(TRAIN, 1, 3, 3));
});

Deno.test("TransformPipeline flips about p of the images", () => {
  const specs: TransformSpec[] = [
    { CenterCrop: { size: [8, 8] } },
    { RandomHorizontalFlip: { p: 0.25 } },
  ];
  const plain = floatsOf(specs.slice(0, 1)).join();
  const flipped = Array.from({ length: 400 }, (_, key) => floatsOf(specs, key).join() !== plain);
  const share = flipped.filter(Boolean).length / 400;
  assert.ok(share > 0.18 && share < 0.32, String(share));
});

Deno.test("TransformPipeline refuses an image that Resize would make huge", () => {
  const pipeline = new TransformPipeline([{ Resize: { size: 500 } }, {
    CenterCrop: { size: [8, 8] },
  }]);
  assert.throws(
    () => pipeline.prepare(noise(1000, 1, 0)),
    /Resize would make its 1000 × 1 pixels 500000 × 500/,
  );
});

Deno.test("outputSize() follows the list, and is undefined when it depends on the image", () => {
  assert.deepEqual(outputSize(TRAIN), [16, 24]);
  assert.equal(outputSize(TRAIN.slice(0, 1)), undefined);
  assert.deepEqual(outputSize([...TRAIN, { Resize: { size: 8 } }]), [8, 12]);
  assert.throws(() => new TransformPipeline([]), /different sizes/);
});
