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
import { type Mix, mixRows } from "./mix.ts";

/** The least product of a share and a pixel: below it sums may come to numbers that kernels take as 0. */
const MIN_PRODUCT = 2 ** -102;

/** Images of a batch [n, height, width, 3]: finished floats, or bytes that the device finishes. */
export type Images = Float32Array | ByteImages;

/** Returns images as floats, whatever they are. */
export function floatsFrom(images: Images): Float32Array {
  return images instanceof Float32Array ? images : images.floats();
}

/** The mix of a batch's rows. */
export interface RowMix extends Mix {
  /** [n]: whether a row is mixed with its partner. */
  readonly mixed: readonly boolean[];
}

/** Images that are bytes until the device has them. */
export class ByteImages {
  /** Images of the batch. */
  readonly count: number;
  /** The work that is left. */
  readonly transforms: DeviceTransforms;
  /**
   * [rows, {@linkcode DeviceTransforms.rowBytes}]: an image's pixels [height, width, 3] and its parameters. The rows of
   * the batch, then maybe the partner of its first row, which else is the last row.
   */
  readonly data: Uint8Array;
  /** A row's partner is the one before it. */
  readonly mix: RowMix | undefined;

  constructor(
    { count, transforms, data, mix }: Pick<ByteImages, "count" | "transforms" | "data"> & {
      readonly mix?: RowMix | undefined;
    },
  ) {
    this.count = count;
    this.transforms = transforms;
    this.data = data;
    this.mix = mix;
  }

  /** Rows of {@linkcode data}: {@linkcode count}, or one more. */
  get rows(): number {
    return this.data.length / this.transforms.rowBytes;
  }

  /** The images from `begin` to `end`, without a copy where they aren't mixed. */
  slice(begin: number, end: number): ByteImages {
    if (begin === 0 && end === this.count) return this;
    const rows = Array.from({ length: end - begin }, (_, at) => begin + at);
    if (this.mix) return this.pick(rows, end - begin);
    const { rowBytes } = this.transforms;
    const data = this.data.subarray(begin * rowBytes, end * rowBytes);
    return new ByteImages({ count: end - begin, transforms: this.transforms, data });
  }

  /**
   * A copy of some images.
   *
   * @param rows Rows that follow each other where they are mixed
   * @param count Images to make; black ones follow those that are given
   */
  pick(rows: readonly number[], count: number): ByteImages {
    const { mix, transforms } = this;
    const [first = 0] = rows;
    const data = new Uint8Array((count + (mix ? 1 : 0)) * transforms.rowBytes);
    rows.forEach((row, to) => data.set(this.#row(row), to * transforms.rowBytes));
    if (!mix) return new ByteImages({ count, transforms, data });
    data.set(this.#row(first > 0 ? first - 1 : this.rows - 1), count * transforms.rowBytes);
    const mixed = rows.map((row) => mix.mixed[row]!);
    return new ByteImages({ count, transforms, data, mix: { ...mix, mixed } });
  }

  /**
   * Does the work here.
   *
   * @param own Floats that stand in the place of a row's bytes; mixed like others
   * @returns [n, height, width, 3]
   */
  floats(own: readonly (Float32Array | undefined)[] = []): Float32Array<ArrayBuffer> {
    const { count, mix, rows } = this;
    const { size, pixelBytes: floats } = this.transforms; // a float for each byte
    const result = new Float32Array((count + (mix ? 1 : 0)) * floats);
    for (let row = 0; row < Math.min(rows, count + (mix ? 1 : 0)); row++) {
      const given = own[row];
      if (given) result.set(given, row * floats);
      else this.#write(row, result.subarray(row * floats, (row + 1) * floats));
    }
    if (!mix) return result;
    if (rows === count) result.copyWithin(count * floats, (count - 1) * floats);
    mixRows(result, size, mix.mixed, mix);
    return result.subarray(0, count * floats);
  }

  #write(row: number, target: Float32Array): void {
    const { size: [height, width], mirrors, table, erasing, pixelBytes } = this.transforms;
    const data = this.#row(row), parameters = data.subarray(pixelBytes);
    const image = mirrors.reduce<RgbImage>(
      (current, axis, index) => parameters[index] ? mirrorRgb(current, axis) : current,
      { width, height, data: data.subarray(0, pixelBytes) },
    );
    table.write(image, target, 0);
    erasing.forEach((colour, index) => {
      const box = readBox(parameters, mirrors.length + index * BOX_BYTES);
      eraseBox({ width, height, data: target }, box, colour);
    });
  }

  #row(row: number): Uint8Array {
    const { rowBytes } = this.transforms;
    return this.data.subarray(row * rowBytes, (row + 1) * rowBytes);
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
    .every((weight) => weight === 0 || weight * least >= MIN_PRODUCT);
}
