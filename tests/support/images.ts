/**
 * Small folders of real JPEGs for runs that take a second.
 *
 * @module
 */
import { join } from "node:path";
import { Image } from "imagescript";
import { randomStream } from "../../src/base/random.ts";

/** Options of {@linkcode makeImages}. */
export interface ImageOptions {
  readonly classes?: readonly string[];
  /** Images per class. */
  readonly train?: number;
  readonly val?: number;
  /** Width and height in pixels. */
  readonly side?: number;
}

/** Fills `root` with `train/<class>/` and `val/<class>/`: each class has a shade of its own, and noise. */
export async function makeImages(root: string, options: ImageOptions = {}): Promise<void> {
  const { classes = ["dark", "light", "middle"], train = 7, val = 3, side = 20 } = options;
  for (const [split, count] of [["train", train], ["val", val]] as const) {
    for (const [label, name] of classes.entries()) {
      const folder = join(root, split, name);
      await Deno.mkdir(folder, { recursive: true });
      for (let index = 0; index < count; index++) {
        const random = randomStream("image", split, name, index);
        const shade = 200 * label / classes.length;
        const level = () => shade + 55 * random();
        const image = new Image(side, side);
        image.fill(() => Image.rgbToColor(level(), level(), level()));
        await Deno.writeFile(join(folder, `${index}.jpg`), await image.encodeJPEG(90));
      }
    }
  }
}

/** Transforms for images of `side` pixels. */
export function transformsFor(side: number) {
  return [{ CenterCrop: side }, {
    Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  }];
}
