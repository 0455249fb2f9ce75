/**
 * The place of a worker among the workers of a run.
 *
 * @module
 */

/** A worker's rank, and the number of ranks. */
export interface RankInfo {
  /** Counted from 0. */
  readonly rank: number;
  readonly worldSize: number;
}

/** A worker without others: its share of a step is all of the step. */
export const ONLY_RANK: RankInfo = { rank: 0, worldSize: 1 };
