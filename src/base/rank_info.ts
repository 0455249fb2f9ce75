/**
 * The rank of a worker and the world size.
 *
 * @module
 */

/** A worker's rank, and the number of ranks. */
export interface RankInfo {
  /** Counted from 0. */
  readonly rank: number;
  readonly worldSize: number;
}

/** The only worker of a run: its share of a step is the whole step. */
export const ONLY_RANK: RankInfo = { rank: 0, worldSize: 1 };
