/**
 * The shared memory for the decoded images of a run's workers.
 *
 * @module
 */
import { LockstepError, messageOf, UsageError } from "../../base/errors.ts";
import {
  canShareMemory,
  type SegmentAddress,
  type SharedSegment,
} from "../../base/shared_memory.ts";
import type { Config } from "../../config/schema.ts";
import type { ImageSet } from "../../data/datasets/image_set.ts";
import {
  createSharedImages,
  leastSharedBytes,
  SharedImages,
} from "../../data/loading/shared_images.ts";
import type { Reporter } from "../../events/reporter.ts";

/** A run's cache of decoded images. The workers can open it until it is disposed of. */
export interface RunCache extends Disposable {
  readonly address: SegmentAddress;
  /** Describes the use of the cache so far, for messages. */
  report(): string;
}

/**
 * Makes the cache that `data.cache` requests.
 *
 * @returns `undefined` when no cache is requested, or when a cache would be useless
 * @throws {UsageError} when the cache is too small for any image
 * @throws {LockstepError} when the machine has too little memory
 */
export function openRunCache(
  { data: { cache: bytes }, workers }: Config,
  { train, val, source }: ImageSet,
  reporter: Pick<Reporter, "info" | "warn">,
): RunCache | undefined {
  if (!bytes) return undefined;
  if (source.cheap) {
    reporter.warn("data.cache is not used: these images are read as fast as they are kept");
    return undefined;
  }
  if (source.ownOnly) {
    reporter.warn(
      "data.cache is not used: the data module doesn't say the labels of all samples at the start",
    );
    return undefined;
  }
  if (!canShareMemory()) {
    reporter.warn("data.cache can't be shared on this system: each worker keeps its share of it");
    return undefined;
  }
  const shape = { bytes, worldSize: workers, samples: train.length + val.length };
  const least = leastSharedBytes(shape);
  if (bytes < least) {
    throw new UsageError(
      `data.cache is ${bytes} bytes, but the list of ${shape.samples} images alone takes ` +
        `${least}: give more, such as 500MB`,
    );
  }
  let segment: SharedSegment;
  try {
    segment = createSharedImages(bytes);
  } catch (error) {
    throw new LockstepError(`data.cache: ${messageOf(error)}: set it lower`, { cause: error });
  }
  const images = new SharedImages(segment.ownPath, shape);
  return {
    address: segment,
    report: () => {
      const { images: count, bytes: taken, hits, misses } = images.use;
      const share = hits + misses > 0 ? 100 * hits / (hits + misses) : 0;
      return `Cache: ${count} images in ${megabytes(taken)} of ${megabytes(bytes)} MB; ` +
        `${share.toFixed(0)}% of ${hits + misses} were there when asked for`;
    },
    [Symbol.dispose]: () => segment[Symbol.dispose](),
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
