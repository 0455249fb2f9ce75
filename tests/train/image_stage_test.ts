import assert from "node:assert/strict";
import type { ByteImages } from "../../src/data/transforms/byte_images.ts";
import { cutMixAt, type Mix } from "../../src/data/transforms/mix.ts";
import type { TransformInput } from "../../src/data/transforms/transform_specs.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { floatTensor, ImageStage } from "../../src/train/image_stage.ts";
import { type BatchMixing, bothBatches } from "../support/byte_batches.ts";

const { runtime } = await openEngine();

const HEIGHT = 13, WIDTH = 10;
const crop = { RandomCrop: [HEIGHT, WIDTH] };
const imageNet = { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } };
const erase = { RandomErasing: { p: 0.7, value: [0.25, -1, 3] } };

/** Lists of transforms that end in all the ways that a device can take over. */
const TRANSFORMS: Record<string, TransformInput[]> = {
  "no Normalize": [crop],
  ImageNet: [crop, imageNet],
  "divisions that no multiplication replaces": [crop, {
    Normalize: { mean: [0, 0.1, 1], std: [0.3, 255, 1e-3] },
  }],
  mirrored: [crop, { RandomHorizontalFlip: 0.5 }, imageNet],
  "upside down": [crop, { RandomVerticalFlip: 0.6 }],
  "mirrored before colours": [
    crop,
    "RandomHorizontalFlip",
    { ColorJitter: { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 } },
    "RandomVerticalFlip",
    { RandomGrayscale: 0.3 },
    "RandomHorizontalFlip",
    imageNet,
  ],
  "mirrored before a turn": [
    crop,
    "RandomHorizontalFlip",
    { RandomRotation: 20 },
    "RandomVerticalFlip",
    imageNet,
  ],
  erased: [crop, imageNet, erase],
  "erased twice": [
    { RandomResizedCrop: [HEIGHT, WIDTH] },
    "RandomHorizontalFlip",
    imageNet,
    erase,
    { RandomErasing: 0.5 },
  ],
};

const ROWS = 5;
const sum: Mix = { share: 0.3 };
const box: Mix = cutMixAt([HEIGHT, WIDTH], 0.4, 3, 12);
const all = Array<boolean>(ROWS + 1).fill(true);

const MIXES: Record<string, BatchMixing | undefined> = {
  "not mixed": undefined,
  "MixUp of a whole step": { mix: sum, usable: all, isWhole: true },
  "MixUp of a part": { mix: sum, usable: all, isWhole: false },
  "MixUp with missing rows": {
    mix: { share: 1 / 3 },
    usable: [true, true, false, true, true, false],
    isWhole: false,
  },
  "MixUp with all of the partner": { mix: { share: 0 }, usable: all, isWhole: true },
  "MixUp with all of the own image": { mix: { share: 1 }, usable: all, isWhole: false },
  "CutMix of a whole step": { mix: box, usable: all, isWhole: true },
  "CutMix of a part with missing rows": {
    mix: box,
    usable: [true, false, true, true, true, true],
    isWhole: false,
  },
  "CutMix without a box": { mix: cutMixAt([HEIGHT, WIDTH], 1, 4, 4), usable: all, isWhole: true },
};

function sameBits(actual: ArrayLike<number>, expected: Float32Array, message: string) {
  assert.deepEqual(new Uint32Array(Float32Array.from(actual).buffer), bitsOf(expected), message);
}

function bitsOf(floats: Float32Array) {
  return new Uint32Array(floats.slice().buffer);
}

async function stageFloats(stage: ImageStage, images: ByteImages) {
  const [height, width] = images.transforms.size;
  const tensor = await stage.tensorOf({ images, height, width });
  assert.deepEqual(tensor.shape, [images.count, height, width, 3]);
  const floats = tensor.dataSync();
  tensor.dispose();
  return floats;
}

for (const capture of [true, false]) {
  const how = capture ? "captured" : "op by op";
  Deno.test(`bytes become the same floats on the device, ${how}, as on the way of floats`, async () => {
    using stage = new ImageStage(capture, 0);
    await stageFloats(stage, bothBatches([crop], 1).bytes); // the engine's own tensors are there from now on
    const tensors = runtime.tensorCount;
    for (const [name, transforms] of Object.entries(TRANSFORMS)) {
      for (const [mixName, mixing] of Object.entries(MIXES)) {
        const { floats, bytes } = bothBatches(transforms, ROWS, mixing);
        const what = `${name}, ${mixName}`;
        sameBits(bytes.floats(), floats, `here: ${what}`);
        sameBits(await stageFloats(stage, bytes), floats, `on the device: ${what}`);
      }
    }
    stage[Symbol.dispose]();
    assert.equal(runtime.tensorCount, tensors);
  });
}

Deno.test("all 256 bytes become the same floats, whatever the mean and deviation", async () => {
  using stage = new ImageStage(true, 0);
  const numbers = [1e-6, 0.1, 1 / 3, 0.5, 0.999, 7, 123.456, 3e5];
  for (const mean of numbers) {
    for (const std of numbers) {
      const Normalize = { mean: [mean, -mean, mean / 2], std: [std, std * 3, std / 7] };
      const { bytes } = bothBatches([{ RandomCrop: [16, 16] }, { Normalize }], 1);
      bytes.data.forEach((_, at) => bytes.data[at] = Math.floor(at / 3));
      sameBits(await stageFloats(stage, bytes), bytes.floats(), `${mean}, ${std}`);
    }
  }
});

Deno.test("parts of a batch, of one row as well, have the floats of the batch", async () => {
  using stage = new ImageStage(true, 0);
  for (const [mixName, mixing] of Object.entries(MIXES)) {
    const { floats, bytes } = bothBatches(TRANSFORMS["erased twice"], ROWS, mixing);
    const size = floats.length / ROWS;
    for (const [begin, end] of [[0, 1], [0, 3], [2, 4], [3, 5], [4, 5], [0, 5]]) {
      const part = bytes.slice(begin, end);
      const expected = floats.subarray(begin * size, end * size);
      sameBits(part.floats(), expected, `here: ${mixName}, ${begin} to ${end}`);
      sameBits(await stageFloats(stage, part), expected, `${mixName}, ${begin} to ${end}`);
      if (end - begin < 2) continue;
      const rows = part.slice(1, 2);
      sameBits(rows.floats(), expected.subarray(size, 2 * size), `${mixName}, a part of a part`);
    }
  }
  const { floats, bytes } = bothBatches(TRANSFORMS.mirrored, ROWS);
  const size = floats.length / ROWS;
  const picked = bytes.pick([4, 1], 3).floats();
  sameBits(picked.subarray(0, size), floats.subarray(4 * size), "a picked row");
  sameBits(picked.subarray(size, 2 * size), floats.subarray(size, 2 * size), "another");
});

Deno.test("a CPU makes the same floats of small batches and of large ones", async () => {
  using stage = new ImageStage(true);
  const side = 136;
  for (const rows of [1, 5]) {
    const { floats, bytes } = bothBatches(
      [{ Resize: [side, side] }, "RandomHorizontalFlip", imageNet],
      rows,
    );
    assert.equal(bytes.data.length > 2 ** 18, rows > 1);
    sameBits(await stageFloats(stage, bytes), floats, `${rows} rows`);
  }
});

Deno.test("floats and rows without images are taken and refused as ever", async () => {
  using stage = new ImageStage(true, 0);
  const { floats, bytes } = bothBatches(TRANSFORMS.ImageNet, 2);
  const size = { height: HEIGHT, width: WIDTH };
  for (const images of [floats, bytes]) {
    const tensors = [await stage.tensorOf({ images, ...size }), floatTensor({ images, ...size })];
    for (const tensor of tensors) {
      sameBits(tensor.dataSync(), floats, "the batch's floats");
      tensor.dispose();
    }
    const unread = { images, ...size, unread: new Set([1]) };
    const message = /^RangeError: Row 1 of the batch holds no image/;
    await assert.rejects(stage.tensorOf(unread), message);
    assert.throws(() => floatTensor(unread), message);
  }
});
