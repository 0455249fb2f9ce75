/**
 * Keeps decoded images, so that later epochs needn't decode them again.
 *
 * @module
 */
import { bytesIn, type RgbImage } from "../codecs/rgb_image.ts";

/** Images of one list of samples, by their positions in it. Nobody writes into a kept image. */
export interface ImageCache {
  /** The image, when it is kept. */
  get(index: number): RgbImage | undefined;
  /** Tells whether {@linkcode put} would keep an image of `bytes` bytes. */
  hasRoom(bytes: number): boolean;
  /** Keeps an image, when there is room for it. */
  put(index: number, image: RgbImage): void;
}

/** Keeps images in this process's memory, until there is no room left; none is ever dropped. */
export class LocalCache implements ImageCache {
  readonly #images = new Map<number, RgbImage>();
  #room: number;

  /** @param bytes The most that the pixels may take */
  constructor(bytes: number) {
    this.#room = bytes;
  }

  get(index: number): RgbImage | undefined {
    return this.#images.get(index);
  }

  hasRoom(bytes: number): boolean {
    return bytes <= this.#room;
  }

  put(index: number, image: RgbImage): void {
    if (!this.hasRoom(bytesIn(image)) || this.#images.has(index)) return;
    this.#room -= bytesIn(image);
    this.#images.set(index, image);
  }
}
