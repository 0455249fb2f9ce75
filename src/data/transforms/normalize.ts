/**
 * The step from bytes to floats, with Normalize in it.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import type { RgbImage } from "../codecs/rgb_image.ts";
import { channels } from "./arguments.ts";
import { define, type FloatImage } from "./transform.ts";

/** Mean and standard deviation of each channel. */
export interface Normalization {
  readonly mean: readonly [red: number, green: number, blue: number];
  readonly std: readonly [red: number, green: number, blue: number];
}

/** (x / 255 − mean) / std per channel: part of the {@linkcode FloatTable}, no step of its own. */
export const Normalize = define({
  schema: z.strictObject({
    mean: channels("the mean", float32()).describe(
      "Mean of red, green and blue, for values from 0 to 1.",
    ),
    std: channels("the standard deviation", float32().positive()).describe(
      "Standard deviation of red, green and blue, for values from 0 to 1.",
    ),
  }).refine((args: Normalization): boolean => new FloatTable(args).isFinite, {
    path: ["std"],
    error:
      "pixels become infinite in float32: give the standard deviation of values from 0 to 1, such as 0.225",
  }).describe("Subtracts the mean and divides by the standard deviation, per channel."),
  random: false,
});

/** The float of each byte: x / 255, which Normalize then moves and scales. */
export class FloatTable {
  /** The mean and standard deviation, where there are some. */
  readonly normalization: Normalization | undefined;
  /** 256 floats for red, then green, then blue. */
  readonly #floats = new Float32Array(3 * 256);

  /** Each step of the computation is rounded to 32 bits, as in PyTorch. */
  constructor(normalize?: Normalization) {
    this.normalization = normalize;
    for (let channel = 0; channel < 3; channel++) {
      for (let byte = 0; byte < 256; byte++) {
        let value = Math.fround(byte / 255);
        if (normalize) {
          const centered = Math.fround(value - Math.fround(normalize.mean[channel]!));
          value = centered / Math.fround(normalize.std[channel]!);
        }
        this.#floats[channel * 256 + byte] = value;
      }
    }
  }

  /** True if no pixel becomes infinite. */
  get isFinite(): boolean {
    return this.#floats.every(Number.isFinite);
  }

  /** The floats of all bytes: 256 for red, then green, then blue. */
  get floats(): Float32Array {
    return this.#floats.slice();
  }

  /** Writes an image's floats, [height, width, 3], from `offset` on. */
  write({ data }: RgbImage, target: Float32Array, offset: number): void {
    const floats = this.#floats;
    for (let i = 0; i < data.length; i += 3) {
      target[offset + i] = floats[data[i]!]!;
      target[offset + i + 1] = floats[256 + data[i + 1]!]!;
      target[offset + i + 2] = floats[512 + data[i + 2]!]!;
    }
  }

  /** The way back: the nearest byte to each float. */
  bytesOf({ width, height, data }: FloatImage): RgbImage {
    const { mean, std } = this.normalization ?? { mean: [0, 0, 0], std: [1, 1, 1] };
    const bytes = Uint8ClampedArray.from(
      data,
      (value, i) => (value * std[i % 3]! + mean[i % 3]!) * 255,
    );
    return { width, height, data: new Uint8Array(bytes.buffer) };
  }
}
