/**
 * Batches of made images by a list of transforms, as floats and as bytes.
 *
 * @module
 */
import { randomStream } from "../../src/base/random.ts";
import { ByteImages, type Images } from "../../src/data/transforms/byte_images.ts";
import { type Mix, mixableRows, mixRows } from "../../src/data/transforms/mix.ts";
import {
  type TransformInput,
  transformsSchema,
} from "../../src/data/transforms/transform_specs.ts";
import { TransformPipeline } from "../../src/data/transforms/transforms.ts";
import { noise } from "../data/noise.ts";

/** A mix, the rows that can be used (the one behind the batch last), and whether the batch is a whole step. */
export interface BatchMixing {
  readonly mix: Mix;
  readonly usable: readonly boolean[];
  readonly isWhole: boolean;
}

/**
 * Makes a batch by the path of floats, row by row, and by that of bytes.
 *
 * @param count Rows
 */
export function bothBatches(
  transforms: readonly TransformInput[],
  count: number,
  mixing?: BatchMixing,
): { floats: Float32Array<ArrayBuffer>; bytes: ByteImages } {
  const pipeline = new TransformPipeline(transformsSchema.parse(transforms));
  const { floats: size, device } = pipeline;
  if (!device) throw new Error("The transforms can't be left to the device");
  const rows = count + (mixing && !mixing.isWhole ? 1 : 0);
  const floats = new Float32Array((count + (mixing ? 1 : 0)) * size);
  const data = new Uint8Array(rows * device.rowBytes);
  for (let row = 0; row < rows; row++) {
    const image = pipeline.prepare(noise(19, 16, row + 1));
    pipeline.apply(image, randomStream(5, row), floats, row * size);
    const target = data.subarray(row * device.rowBytes, (row + 1) * device.rowBytes);
    pipeline.applyBytes(image, randomStream(5, row), target);
  }
  if (!mixing) {
    return { floats, bytes: new ByteImages({ count, transforms: device, data }) };
  }
  const { mix, usable, isWhole } = mixing;
  if (isWhole) floats.copyWithin(count * size, (count - 1) * size);
  const mixed = mixableRows(usable);
  mixRows(floats, pipeline.size, mixed, mix);
  return {
    floats: floats.subarray(0, count * size),
    bytes: new ByteImages({
      ...{ count, transforms: device, data },
      mix: { ...mix, mixed },
    }),
  };
}

/** The memory that a batch's images lie in. */
export function memoryOf(images: Images): ArrayBufferLike {
  return images instanceof Float32Array ? images.buffer : images.data.buffer;
}
