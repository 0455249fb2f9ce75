/**
 * Images that differ as photos do: smooth shapes over the whole image, others for each seed.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { Image } from "imagescript";
import { randomStream } from "../../src/base/random.ts";

/** An image of ten waves. */
export function scene(seed: number, width = 96, height = 72): Image {
  const random = randomStream("scene", seed);
  const waves = Array.from({ length: 10 }, () => ({
    x: 6 * random() - 3,
    y: 6 * random() - 3,
    phase: 2 * Math.PI * random(),
    channel: Math.floor(3 * random()),
  }));
  const image = new Image(width, height);
  image.fill((column, row) => {
    const levels = [128, 128, 128];
    for (const { x, y, phase, channel } of waves) {
      const turn = 2 * Math.PI * (x * column / width + y * row / height) + phase;
      for (let own = 0; own < 3; own++) levels[own] += (own === channel ? 30 : 15) * Math.sin(turn);
    }
    const [red, green, blue] = levels.map((level) => Math.max(0, Math.min(255, level)));
    return Image.rgbToColor(red, green, blue);
  });
  return image;
}

/** A scene as a JPEG file. */
export async function sceneJpeg(
  seed: number,
  quality: Parameters<Image["encodeJPEG"]>[0] = 90,
): Promise<Uint8Array> {
  return await scene(seed).encodeJPEG(quality);
}

/** Writes a file and the folders above it. */
export async function put(root: string, path: string, bytes: Uint8Array | string): Promise<void> {
  await Deno.mkdir(dirname(join(root, path)), { recursive: true });
  await Deno.writeFile(
    join(root, path),
    typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes,
  );
}

/** A sound folder of two classes, with train and val; all images are of different scenes. */
export async function makeScenes(root: string, train = 4, val = 2): Promise<void> {
  let seed = 1000;
  for (const [side, count] of [["train", train], ["val", val]] as const) {
    for (const name of ["cat", "dog"]) {
      for (let index = 0; index < count; index++) {
        await put(root, `${side}/${name}/${index}.jpg`, await sceneJpeg(seed++));
      }
    }
  }
}
