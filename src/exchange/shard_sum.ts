/**
 * The sum over the ranks in one rank's shard.
 *
 * @module
 */
import { type FloatRange, overlap } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import type { ShareResult } from "./step_record.ts";
import type { SumWeights } from "./totals.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** The verdict on a sum. */
export type SumVerdict = Pick<ShareResult, "finite" | "worstRank">;

const FINITE: SumVerdict = { finite: true, worstRank: undefined };

/** A range of the sum whose ranks have the same weights. */
interface Part {
  readonly sum: Float32Array;
  /** The ranks' values, in order. */
  readonly vectors: readonly Float32Array[];
}

/** Adds a shard of the ranks' vectors, in rank order. */
export class ShardSum {
  /** The gradients, the running statistics, and both. */
  readonly #gradients: Part;
  readonly #statistics: Part;
  readonly #all: Part;
  readonly #own: number | undefined;

  /**
   * @param sum The memory in which the sum is made
   * @param vectors By rank
   * @param border Floats of a vector that are gradients; running statistics follow
   * @param own The rank whose vector the sum replaces, if it replaces one
   */
  constructor(
    sum: Float32Array,
    vectors: readonly Float32Array[],
    shard: FloatRange,
    border: number,
    own: number | undefined,
  ) {
    const partOf = ({ begin, end }: FloatRange): Part => ({
      sum: sum.subarray(begin, end),
      vectors: vectors.map((vector) => vector.subarray(begin, end)),
    });
    this.#gradients = partOf(overlap(shard, { begin: 0, end: border }));
    this.#statistics = partOf(overlap(shard, { begin: border, end: sum.length }));
    this.#all = partOf(shard);
    this.#own = own;
  }

  /** Makes the sum. */
  make({ gradients, statistics }: SumWeights): SumVerdict {
    if (gradients.every((weight, rank) => weight === statistics[rank])) {
      return this.#add(this.#all, gradients);
    }
    const verdicts = [
      this.#add(this.#gradients, gradients),
      this.#add(this.#statistics, statistics),
    ];
    const ranks = verdicts.flatMap(({ worstRank }) => worstRank ?? []);
    return {
      finite: verdicts.every(({ finite }) => finite),
      worstRank: ranks.length > 0 ? Math.min(...ranks) : undefined,
    };
  }

  #add({ sum, vectors }: Part, weights: readonly (number | null)[]): SumVerdict {
    if (sum.length === 0) return FINITE;
    const isComplete = !weights.includes(null);
    const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
    const parts = isComplete ? vectors : senders.map((rank) => itemAt(vectors, rank));
    const factors = isComplete
      ? weights as readonly number[]
      : weights.filter((weight) => weight !== null);
    if (weightedSum(sum, parts, factors)) return FINITE;
    const worstRank = senders.find((rank, index) =>
      rank === this.#own ? isOwnBad(sum, parts, index) : !allFinite(itemAt(parts, index))
    );
    return { finite: false, worstRank };
  }
}

/**
 * Tells whether this rank's part, which the sum has replaced by now, was not finite while all others were.
 */
function isOwnBad(sum: Float32Array, parts: readonly Float32Array[], own: number): boolean {
  return sum.some((value, at) =>
    !Number.isFinite(value) &&
    parts.every((part, index) => index === own || Number.isFinite(part[at]))
  );
}
