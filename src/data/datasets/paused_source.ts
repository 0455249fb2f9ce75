/**
 * Images that take a given time and no work: for measuring what is around the reading of images.
 *
 * @module
 */
import type { RgbImage } from "../codecs/rgb_image.ts";
import type { SampleSource, SourceRecipe } from "./image_set.ts";

/** Width and height of the images in pixels. */
export const PAUSED_SIDE = 32;

/** Sleeps for each image, and gives a grey one. */
export class PausedSource implements SampleSource {
  readonly cheap = true;
  readonly recipe: SourceRecipe;
  readonly #milliseconds: number;
  readonly #image: RgbImage = {
    width: PAUSED_SIDE,
    height: PAUSED_SIDE,
    data: new Uint8Array(PAUSED_SIDE * PAUSED_SIDE * 3).fill(128),
  };
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  /** @param milliseconds The time that an image takes */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.recipe = { kind: "pause", milliseconds };
  }

  /** Waits without holding the thread. */
  async read(): Promise<RgbImage> {
    await new Promise((resolve) => setTimeout(resolve, this.#milliseconds));
    return this.#image;
  }

  /** Puts the thread to sleep. */
  readSync(): RgbImage {
    Atomics.wait(this.#never, 0, 0, this.#milliseconds);
    return this.#image;
  }

  /** There is nothing to close. */
  [Symbol.dispose](): void {}
}
