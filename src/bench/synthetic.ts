/**
 * Stand-ins for what a benchmark leaves out: images from memory, and a pause in the place of the model's work.
 *
 * @module
 */
import { ByteImages } from "../data/transforms/byte_images.ts";
import { transformsSchema } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import type { Batch } from "../data/loading/loader.ts";
import type { ReplicaState } from "../train/replica_state.ts";
import { NO_TOTALS } from "../train/step_sums.ts";
import { precisePause } from "./precise_pause.ts";
import type { BatchSource, TrainableReplica } from "../train/rank_epoch.ts";

/** The last transforms of the usual recipe: half of the images are mirrored. */
const RECIPE = [
  "RandomHorizontalFlip",
  { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
];

/** Square images as training has them: bytes, to be mirrored or not, and normalized. */
export function syntheticImages(count: number, side: number): ByteImages {
  const { device } = new TransformPipeline(
    transformsSchema.parse([{ CenterCrop: side }, ...RECIPE]),
  );
  const { rowBytes, pixelBytes } = device!;
  const data = Uint8Array.from(
    { length: count * rowBytes },
    (_, index) => 128 + 127 * Math.sin(index * 12.9898),
  );
  for (let row = 0; row < count; row++) data[row * rowBytes + pixelBytes] = row % 2;
  return new ByteImages({ count, transforms: device!, data });
}

/** Batches of synthetic images that are there at once. */
export function syntheticBatches(imageSize: number, numClasses: number): BatchSource {
  const made = new Map<number, Pick<Batch, "images" | "labels">>();
  const ofRows = (rows: number) => {
    const images = syntheticImages(rows, imageSize);
    const labels = Int32Array.from({ length: rows }, (_, index) => index % numClasses);
    return { images, labels };
  };
  return {
    async *batches(plan) {
      for (const { step, indices } of plan) {
        const rows = indices.length;
        const images = made.get(rows) ?? ofRows(rows);
        made.set(rows, images);
        yield {
          step,
          ...images,
          indices: new Uint32Array(indices),
          height: imageSize,
          width: imageSize,
          skipped: [],
        };
      }
    },
  };
}

/** A pause in place of a step's computation. */
export interface Pause {
  /** For `rows` samples; other numbers of samples take their share. */
  readonly milliseconds: number;
  readonly rows: number;
  /** Length of the exchanged vector. */
  readonly vectorBytes: number;
  /** Values of the small vectors that the ranks sum within a step. */
  readonly moments?: readonly number[];
}

/** The subset of a replica that a benchmark's worker uses. */
export interface BenchReplica extends TrainableReplica {
  readonly state:
    & TrainableReplica["state"]
    & Pick<ReplicaState, "vectorBytes" | "regions" | "attach">;
}

/** A replica that waits instead of computing: forward, backward and update together take the pause. */
export function pausingReplica(
  { milliseconds, rows, vectorBytes, moments = [] }: Pause,
): BenchReplica {
  return {
    state: {
      optimizer: { baseRates: [] },
      sumSquares: () => 0,
      vectorBytes,
      regions: 1,
      attach: () => {},
    },
    forwardBackward: async ({ labels }, _place, _early, meeting) => {
      const count = labels.length;
      await precisePause(milliseconds * count / rows);
      for (const length of moments) await meeting?.allReduce(new Float64Array(length));
      return { ...NO_TOTALS, lossSum: count, weight: count, statisticsRows: count };
    },
    update: async () => {},
    commit: () => {},
  };
}
