/**
 * Keeps decoded pictures, so that later epochs needn't decode them again.
 *
 * @module
 */
import { bytesIn, type RgbImage } from "../codecs/rgb_image.ts";

/** Pictures of one list of samples, by their positions in it. Nobody writes into a kept picture. */
export interface PictureCache {
  /** The picture, when it is kept. */
  get(index: number): RgbImage | undefined;
  /** Whether {@linkcode put} would keep a picture of so many bytes. */
  hasRoom(bytes: number): boolean;
  /** Keeps a picture, when there is room for it. */
  put(index: number, image: RgbImage): void;
}

/** Keeps pictures in this process's memory, until there is no room left; none is ever dropped. */
export class LocalCache implements PictureCache {
  readonly #pictures = new Map<number, RgbImage>();
  #room: number;

  /** @param bytes The most that the pixels may take */
  constructor(bytes: number) {
    this.#room = bytes;
  }

  get(index: number): RgbImage | undefined {
    return this.#pictures.get(index);
  }

  hasRoom(bytes: number): boolean {
    return bytes <= this.#room;
  }

  put(index: number, image: RgbImage): void {
    if (!this.hasRoom(bytesIn(image)) || this.#pictures.has(index)) return;
    this.#room -= bytesIn(image);
    this.#pictures.set(index, image);
  }
}
