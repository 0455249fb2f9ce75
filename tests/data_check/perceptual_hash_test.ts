import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import type { RgbImage } from "../../src/data/codecs/rgb_image.ts";
import { resizeRgb } from "../../src/data/resizing/resize.ts";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { hashDistance, perceptualHash } from "../../src/data_check/perceptual_hash.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { encodeJpegNative } from "../../src/engine/image_ops.ts";
import { datasetFolder } from "../../src/provision/datasets.ts";
import { scene } from "../support/scenes.ts";

async function photos(count: number): Promise<RgbImage[]> {
  await openEngine();
  const folder = join(datasetFolder("food-groups"), "train/fruits");
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  return await Promise.all(
    names.slice(0, count).map(async (name) =>
      await decodeImage(await Deno.readFile(join(folder, name)), { path: name })
    ),
  );
}

const brighter = ({ width, height, data }: RgbImage): RgbImage => ({
  width,
  height,
  data: data.map((level) => Math.min(255, 0.9 * level + 20)),
});

Deno.test("perceptualHash() hardly changes when a photo is shrunk, recompressed and brightened", async () => {
  for (const photo of await photos(12)) {
    const { bits, contrast } = perceptualHash(photo);
    assert.match(bits, /^[0-9a-f]{16}$/);
    assert.ok(contrast > 20, `${contrast}`);
    const small = resizeRgb(photo, Math.round(photo.width / 2), Math.round(photo.height / 2));
    const jpeg = await decodeImage(encodeJpegNative(photo, 30), { path: "" });
    for (const changed of [small, jpeg, brighter(photo)]) {
      const distance = hashDistance(bits, perceptualHash(changed).bits);
      assert.ok(distance <= 6, `${distance} bits differ`);
    }
  }
});

Deno.test("perceptualHash() of different photos differs in more bits than a near-duplicate's", async () => {
  const hashes = (await photos(25)).map((photo) => perceptualHash(photo).bits);
  for (const [a, one] of hashes.entries()) {
    for (const other of hashes.slice(a + 1)) assert.ok(hashDistance(one, other) > 6);
  }
});

Deno.test("perceptualHash() tells plain images by their contrast", () => {
  const rgbOf = (image: Image): RgbImage => ({
    width: image.width,
    height: image.height,
    data: new Uint8Array(image.bitmap).filter((_, index) => index % 4 < 3),
  });
  assert.ok(perceptualHash(rgbOf(scene(1).fill(0x336699ff))).contrast < 1e-9);
  assert.ok(perceptualHash(rgbOf(scene(1))).contrast > 20);
});
