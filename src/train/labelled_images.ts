/**
 * Batches on their way into the model.
 *
 * @module
 */
import type { Images } from "../data/transforms/byte_images.ts";
import type { MixedLabels } from "../optim/loss.ts";

/** Images and labels, as the loader gives them. */
export interface LabelledImages {
  /** NHWC, normalized; or as bytes. */
  readonly images: Images;
  readonly labels: Int32Array;
  readonly height: number;
  readonly width: number;
  /** [n], positions in the list of samples: needed where features are kept. */
  readonly indices?: Uint32Array;
  /** Present when each image is mixed with another. */
  readonly mix?: MixedLabels;
  /** Rows that hold no image, as in a `Batch`; their features are kept. */
  readonly unread?: ReadonlySet<number>;
}

/** Returns the rows from `begin` to `end`, with all values that belong to them. */
export function rowsBetween(batch: LabelledImages, begin: number, end: number): LabelledImages {
  const { images, labels, indices, mix, unread, ...size } = batch;
  const partnerLabels = mix?.partnerLabels.subarray(begin, end);
  return {
    ...size,
    images: imageRows(images, begin, end, labels.length),
    labels: labels.subarray(begin, end),
    ...(indices ? { indices: indices.subarray(begin, end) } : {}),
    ...unreadBetween(unread, begin, end),
    ...(mix && partnerLabels ? { mix: { ...mix, partnerLabels } } : {}),
  };
}

/** The rows of a part of a batch that hold no image, counted from the part's first row. */
function unreadBetween(
  unread: ReadonlySet<number> | undefined,
  begin: number,
  end: number,
): Pick<LabelledImages, "unread"> {
  const rows = [...unread ?? []].filter((row) => row >= begin && row < end);
  return rows.length > 0 ? { unread: new Set(rows.map((row) => row - begin)) } : {};
}

/** One row, without the values that belong to it in training. */
export function rowOf({ mix: _mix, ...batch }: LabelledImages, row: number): LabelledImages {
  return rowsBetween(batch, row, row + 1);
}

/** The rows from `begin` to `end` of `count` images. */
function imageRows(images: Images, begin: number, end: number, count: number): Images {
  if (!(images instanceof Float32Array)) return images.slice(begin, end);
  const floats = images.length / count;
  return images.subarray(begin * floats, end * floats);
}
