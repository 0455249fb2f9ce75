/**
 * The conversion of a decoded image to a model's input, as in validation. The demo's page runs this module too.
 *
 * @module
 */
import { randomStream } from "../base/random.ts";
import type { RgbImage } from "../data/codecs/rgb_image.ts";
import type { TransformSpec } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";

/** An image as the model takes it. */
export interface Preprocessed {
  /** [height, width, 3]. */
  readonly pixels: Float32Array;
  /** The same image for people to look at. */
  readonly seen: RgbImage;
}

/** Makes a function that runs a run's validation transforms; a random one draws the same for every image. */
export function makePreprocessor(
  transforms: readonly TransformSpec[],
): (image: RgbImage) => Preprocessed {
  const pipeline = new TransformPipeline(transforms);
  return (image) => {
    const prepared = pipeline.prepare(image);
    const pixels = new Float32Array(pipeline.floats);
    pipeline.apply(prepared, randomStream("demo"), pixels, 0);
    return { pixels, seen: pipeline.augment(prepared, randomStream("demo")) };
  };
}
