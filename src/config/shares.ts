/**
 * The shares of the workers in the images of a step.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { naming } from "../base/invocation.ts";
import { shareOf } from "../data/loading/sampler.ts";
import { globalBatchSize } from "./checks.ts";
import type { Config } from "./schema.ts";

/** A sentence on shares that are not all alike. */
export interface SharesNote {
  readonly text: string;
  /** True if some workers have nothing to train on. */
  readonly isWarning: boolean;
}

/**
 * Says how a batch is shared that doesn't divide by the number of workers. The result is the same for any shares, since
 * sums are weighted by images; but a step takes as long as its largest share.
 *
 * @returns Nothing where all shares are alike
 */
export function describeShares(config: Config): SharesNote | undefined {
  const { workers } = config;
  const batch = globalBatchSize(config);
  const { rows: most } = shareOf(batch, 0, workers);
  const { rows: least } = shareOf(batch, workers - 1, workers);
  if (most === least) return undefined;
  const [size, count] = [naming("train.batchSize"), naming("workers")];
  const larger = batch % workers;
  if (least === 0) {
    const idle = workers - batch;
    return {
      text: `A step has ${counted(batch, "image")} for ${workers} workers: ${
        idle === 1
          ? "one of them has none, and only validates"
          : `${idle} of them have none, and only validate`
      }; lower ${count} to ${batch}, or raise ${size} to ${workers} or more`,
      isWarning: true,
    };
  }
  const [below, above] = [batch - larger, batch - larger + workers];
  return {
    text: `A step has ${batch} images for ${workers} workers: ${larger} of them ${
      larger === 1 ? "takes" : "take"
    } ${most}, the others ${least}; with ${size} ${below} or ${above} all take the same`,
    isWarning: false,
  };
}
