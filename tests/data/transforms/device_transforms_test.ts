import assert from "node:assert/strict";
import { randomStream } from "../../../src/base/random.ts";
import { mixesOnDevice } from "../../../src/data/transforms/byte_images.ts";
import { BOX_BYTES, readBox, writeBox } from "../../../src/data/transforms/device_transforms.ts";
import {
  type TransformInput,
  transformsSchema,
} from "../../../src/data/transforms/transform_specs.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { noise } from "../noise.ts";

const crop = { RandomCrop: 8 };
const device = (...transforms: TransformInput[]) =>
  new TransformPipeline(transformsSchema.parse(transforms)).device;
const normalize = (mean: number, std: number) => ({
  Normalize: { mean: [mean, mean, mean], std: [std, std, std] },
});

Deno.test("the device takes over the flips that nothing but colours follows, Normalize and erasing", () => {
  const mirrorsOf = (...transforms: TransformInput[]) => device(...transforms)?.mirrors;
  assert.deepEqual(mirrorsOf(crop), []);
  assert.deepEqual(mirrorsOf(crop, "RandomHorizontalFlip", normalize(0.5, 0.5)), ["x"]);
  assert.deepEqual(mirrorsOf(crop, "RandomVerticalFlip", "RandomHorizontalFlip"), ["x", "y"]);
  assert.deepEqual(mirrorsOf("RandomHorizontalFlip", crop), [], "a crop's place depends on it");
  assert.deepEqual(mirrorsOf("RandomVerticalFlip", { RandomRotation: 9 }, { Resize: [8, 8] }), []);
  const colours = [{ ColorJitter: { brightness: 0.2 } }, "RandomGrayscale"];
  assert.deepEqual(mirrorsOf(crop, "RandomVerticalFlip", ...colours), ["y"]);
  const erasing = device(crop, { RandomErasing: {} }, { RandomErasing: { value: [1, 2, 3] } });
  assert.deepEqual(erasing?.erasing, [[0, 0, 0], [1, 2, 3]]);
  assert.equal(erasing?.rowBytes, 8 * 8 * 3 + 2 * BOX_BYTES);
});

Deno.test("the device takes nothing over where its kernels could give other bits", () => {
  assert.equal(device(crop, { RandomErasing: { value: "random" } }), undefined);
  assert.equal(device(crop, { RandomErasing: { value: -0 } }), undefined);
  assert.equal(device(crop, normalize(0.5, 3e38)), undefined, "pixels that are taken as 0");
  assert.equal(device(crop, normalize(1e-30, 3e38)), undefined, "a pixel of -0");
  assert.ok(device(crop, normalize(0, 3e35)));
  const plain = device(crop, normalize(0.5, 0.25))!;
  assert.ok(mixesOnDevice(plain, { share: 0.3 }));
  assert.ok(mixesOnDevice(plain, { share: 0 }) && mixesOnDevice(plain, { share: 1 }));
  assert.ok(!mixesOnDevice(plain, { share: 1e-35 }), "products that may be taken as 0");
  const box = { left: 0, top: 0, width: 1, height: 1 };
  assert.ok(mixesOnDevice(plain, { share: 1e-35, box }));
});

Deno.test("an image's parameters say whether it is mirrored, and hold the box", () => {
  const transforms = [crop, "RandomHorizontalFlip", { RandomErasing: 0.5 }];
  const pipeline = new TransformPipeline(transformsSchema.parse(transforms));
  const row = new Uint8Array(pipeline.device!.rowBytes);
  const parameters = row.subarray(pipeline.floats);
  assert.equal(parameters.length, 1 + BOX_BYTES);
  const counts = { mirrored: 0, erased: 0 };
  for (let seed = 0; seed < 400; seed++) {
    parameters.fill(255); // the memory of another batch
    pipeline.applyBytes(noise(8, 8, 1), randomStream(seed), row);
    assert.deepEqual(row.subarray(0, pipeline.floats), noise(8, 8, 1).data);
    assert.ok(parameters[0]! <= 1);
    counts.mirrored += parameters[0]!;
    const { left, top, width, height } = readBox(parameters, 1);
    if (width * height > 0) counts.erased++;
    assert.ok(left >= 0 && left + width <= 8 && top >= 0 && top + height <= 8);
  }
  assert.ok(Math.abs(counts.mirrored - 200) < 40 && Math.abs(counts.erased - 195) < 45);
  const box = { left: 300, top: 2, width: 65535 - 300, height: 1000 };
  writeBox(parameters, 1, box);
  assert.deepEqual(readBox(parameters, 1), box);
});
