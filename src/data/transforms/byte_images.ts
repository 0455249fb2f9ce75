/**
 * A batch's images as bytes, with the work that is still to be done on them, and that work done here: the bits that
 * the device must give.
 *
 * @module
 */
import type { RgbImage } from "../codecs/rgb_image.ts";
import { BOX_BYTES, type DeviceTransforms, leastMagnitude, readBox } from "./device_transforms.ts";
import { eraseBox } from "./erase.ts";
import { mirrorRgb } from "./flip.ts";
import { type Mix, mixRow } from "./mix.ts";

/** The least product of a share and a pixel: below it sums may come to numbers that kernels take as 0. */
const LEAST_PRODUCT = 2 ** -102;

/** Images of a batch [n, height, width, 3]: finished floats, or bytes that the device finishes. */
export type Images = Float32Array<ArrayBuffer> | ByteImages;

/** The mix of a batch's rows. */
export interface RowMix extends Mix {
  /** [n]: whether a row is mixed with its partner. */
  readonly mixed: readonly boolean[];
}

/** Images that are bytes until the device has them. */
export class ByteImages {
  /** Rows of the batch. */
  readonly count: number;
  /** The work that is left. */
  readonly transforms: DeviceTransforms;
  /** [rows, height, width, 3]: the batch, then maybe the partner of its first row, which else is the last row. */
  readonly pixels: Uint8Array<ArrayBuffer>;
  /** [rows, {@linkcode DeviceTransforms.parameterBytes}] */
  readonly parameters: Uint8Array<ArrayBuffer>;
  /** A row's partner is the one before it. */
  readonly mix: RowMix | undefined;

  constructor(
    { count, transforms, pixels, parameters, mix }:
      & Pick<
        ByteImages,
        "count" | "transforms" | "pixels" | "parameters"
      >
      & { readonly mix?: RowMix | undefined },
  ) {
    this.count = count;
    this.transforms = transforms;
    this.pixels = pixels;
    this.parameters = parameters;
    this.mix = mix;
  }

  /** Rows of {@linkcode pixels}: {@linkcode count}, or one more. */
  get rows(): number {
    return this.pixels.length / this.#rowBytes;
  }

  /** The rows from `begin` to `end`, without a copy where they aren't mixed. */
  slice(begin: number, end: number): ByteImages {
    if (begin === 0 && end === this.count) return this;
    const rows = Array.from({ length: end - begin }, (_, at) => begin + at);
    if (this.mix) return this.pick(rows, end - begin);
    const { parameterBytes } = this.transforms;
    return new ByteImages({
      count: end - begin,
      transforms: this.transforms,
      pixels: this.pixels.subarray(begin * this.#rowBytes, end * this.#rowBytes),
      parameters: this.parameters.subarray(begin * parameterBytes, end * parameterBytes),
    });
  }

  /**
   * A copy of some rows.
   *
   * @param rows Rows that follow each other where they are mixed
   * @param count Rows to make; black images follow those that are given
   */
  pick(rows: readonly number[], count: number): ByteImages {
    const [first = 0] = rows;
    const partner = this.mix ? [first > 0 ? first - 1 : this.rows - 1] : [];
    const { parameterBytes } = this.transforms;
    const copy = (source: Uint8Array, bytes: number) => {
      const target = new Uint8Array((count + partner.length) * bytes);
      const copyRow = (row: number, to: number) =>
        target.set(source.subarray(row * bytes, (row + 1) * bytes), to * bytes);
      rows.forEach(copyRow);
      partner.forEach((row) => copyRow(row, count));
      return target;
    };
    return new ByteImages({
      count,
      transforms: this.transforms,
      pixels: copy(this.pixels, this.#rowBytes),
      parameters: copy(this.parameters, parameterBytes),
      mix: this.mix && { ...this.mix, mixed: rows.map((row) => this.mix!.mixed[row]!) },
    });
  }

  /**
   * Does the work here.
   *
   * @returns [n, height, width, 3]
   */
  floats(): Float32Array<ArrayBuffer> {
    const { count, mix, rows } = this;
    const { size } = this.transforms;
    const floats = this.#rowBytes;
    const result = new Float32Array((count + (mix ? 1 : 0)) * floats);
    for (let row = 0; row < Math.min(rows, count + (mix ? 1 : 0)); row++) {
      this.#write(row, result.subarray(row * floats, (row + 1) * floats));
    }
    if (!mix) return result;
    if (rows === count) result.copyWithin(count * floats, (count - 1) * floats);
    // From the end, so that partners are still as they were.
    for (let row = count - 1; row >= 0; row--) {
      if (mix.mixed[row]) mixRow(result, size, row, row === 0 ? count : row - 1, mix);
    }
    return result.subarray(0, count * floats);
  }

  #write(row: number, target: Float32Array): void {
    const { size: [height, width], mirrors, table, erasing, parameterBytes } = this.transforms;
    const parameters = this.parameters.subarray(row * parameterBytes, (row + 1) * parameterBytes);
    const data = this.pixels.subarray(row * this.#rowBytes, (row + 1) * this.#rowBytes);
    const image = mirrors.reduce<RgbImage>(
      (current, axis, index) => parameters[index] ? mirrorRgb(current, axis) : current,
      { width, height, data },
    );
    table.write(image, target, 0);
    erasing.forEach((colour, index) => {
      const box = readBox(parameters, mirrors.length + index * BOX_BYTES);
      eraseBox({ width, height, data: target }, box, colour);
    });
  }

  /** Bytes of an image; as many as it has floats. */
  get #rowBytes(): number {
    const [height, width] = this.transforms.size;
    return height * width * 3;
  }
}

/**
 * Tells whether the device mixes with the same bits as {@linkcode mixRow}: products that are nearly 0 would come to 0
 * there.
 */
export function mixesOnDevice(transforms: DeviceTransforms, { share, box }: Mix): boolean {
  if (box) return true;
  const least = leastMagnitude(transforms);
  return [Math.fround(share), Math.fround(1 - share)]
    .every((weight) => weight === 0 || weight * least >= LEAST_PRODUCT);
}
