/**
 * The sum over the ranks in one rank's shard.
 *
 * @module
 */
import { type FloatRange, overlap } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import type { HostLink } from "./host_link.ts";
import type { MaybePromise } from "./meeting.ts";
import type { ShareResult } from "./step_record.ts";
import type { SumWeights } from "./totals.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** The verdict on a sum. */
export type SumVerdict = Pick<ShareResult, "finite" | "worstRank">;

const FINITE: SumVerdict = { finite: true, worstRank: undefined };

/** Parts of a vector, at least: the first one must have passed all hosts before the last hosts have work. */
const PARTS = 64;
/** Floats of a part: shorter ones cost more than they save, longer ones save nothing. */
const [MIN_PART_FLOATS, MAX_PART_FLOATS] = [2 ** 15, 2 ** 18];

/** Floats of a vector that go from host to host at a time, but for the last ones. */
export function partFloats(floats: number): number {
  const even = 2 ** Math.floor(Math.log2(Math.max(1, floats / PARTS)));
  return Math.min(MAX_PART_FLOATS, Math.max(MIN_PART_FLOATS, even));
}

type Weights = readonly (number | null)[];

/** A range of the sum whose ranks have the same weights. */
interface Part {
  readonly range: FloatRange;
  readonly sum: Float32Array;
  /** The ranks' values, in order. */
  readonly vectors: readonly Float32Array[];
}

/** Adds a shard of the ranks' vectors, in rank order. */
export class ShardSum {
  readonly #sum: Float32Array;
  readonly #vectors: readonly Float32Array[];
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
    this.#sum = sum;
    this.#vectors = vectors;
    this.#gradients = this.#partIn(overlap(shard, { begin: 0, end: border }));
    this.#statistics = this.#partIn(overlap(shard, { begin: border, end: sum.length }));
    this.#all = this.#partIn(shard);
    this.#own = own;
  }

  /** Makes the sum. */
  make(weights: SumWeights): SumVerdict {
    return together(
      this.#parts(weights).map(({ part, weights }) => add(part, weights, this.#own)),
    );
  }

  /**
   * Makes the sum over the ranks of all hosts, part by part, so that the hosts work on several parts at a time.
   *
   * The parts come from the end of the vector, as the backward pass makes them.
   *
   * @param weights Of all ranks of all hosts
   * @param untilOffered Waits until the vectors of this host's ranks are final from a float on
   */
  async makeWith(
    hosts: HostLink,
    weights: SumWeights,
    signal: AbortSignal | undefined,
    untilOffered: (begin: number) => MaybePromise,
  ): Promise<SumVerdict> {
    const { firstRank } = hosts;
    const pieces = this.#parts(weights).flatMap(({ part, weights }) =>
      piecesOf(part.range, partFloats(this.#sum.length)).map((range) => ({
        range,
        own: weights.slice(firstRank, firstRank + this.#vectors.length),
        isHandedOn: Promise.withResolvers<void>(),
      }))
    ).reverse();
    const handOn = async () => {
      const verdicts: SumVerdict[] = [];
      for (const { range, own, isHandedOn } of pieces) {
        await untilOffered(range.begin);
        const before = await hosts.before(range, signal);
        const part = this.#partIn(range);
        const isEmpty = before === undefined && own.every((weight) => weight === null);
        if (!isEmpty) {
          const { finite, worstRank } = add(part, own, this.#own, before);
          const rank = worstRank === undefined ? undefined : firstRank + worstRank;
          verdicts.push({ finite, worstRank: rank });
        }
        await hosts.after(range, isEmpty ? undefined : part.sum, signal);
        isHandedOn.resolve();
      }
      return verdicts;
    };
    // The totals of the first parts come back while the last ones are still to be added.
    const takeTotals = async () => {
      const verdicts: SumVerdict[] = [];
      for (const { range, isHandedOn } of pieces) {
        await isHandedOn.promise;
        const { sum } = this.#partIn(range);
        if (!await hosts.total(range, sum, signal)) sum.fill(0);
        // What a later host adds may overflow.
        else verdicts.push({ finite: allFinite(sum), worstRank: undefined });
      }
      return verdicts;
    };
    return together((await Promise.all([handOn(), takeTotals()])).flat());
  }

  /** The parts of the shard, with the weights of each. */
  #parts({ gradients, statistics }: SumWeights): { part: Part; weights: Weights }[] {
    return gradients.every((weight, rank) => weight === statistics[rank])
      ? [{ part: this.#all, weights: gradients }]
      : [
        { part: this.#gradients, weights: gradients },
        { part: this.#statistics, weights: statistics },
      ];
  }

  #partIn(range: FloatRange): Part {
    const { begin, end } = range;
    return {
      range,
      sum: this.#sum.subarray(begin, end),
      vectors: this.#vectors.map((vector) => vector.subarray(begin, end)),
    };
  }
}

/** The verdict on several parts of a sum. */
function together(verdicts: readonly SumVerdict[]): SumVerdict {
  if (verdicts.every(({ finite }) => finite)) return FINITE;
  const ranks = verdicts.flatMap(({ worstRank }) => worstRank ?? []);
  return { finite: false, worstRank: ranks.length > 0 ? Math.min(...ranks) : undefined };
}

/** The pieces of a range that go from host to host: they begin at the same places on all hosts. */
function piecesOf({ begin, end }: FloatRange, floats: number): FloatRange[] {
  const pieces: FloatRange[] = [];
  for (let at = begin; at < end;) {
    const next = Math.min(end, floats * (Math.floor(at / floats) + 1));
    pieces.push({ begin: at, end: next });
    at = next;
  }
  return pieces;
}

/**
 * Adds a part.
 *
 * @param own The rank whose vector the sum replaces, if it replaces one
 * @param before A sum that the ranks' values are added to
 */
function add(
  { sum, vectors }: Part,
  weights: Weights,
  own: number | undefined,
  before?: Float32Array,
): SumVerdict {
  if (sum.length === 0) return FINITE;
  const isComplete = !weights.includes(null);
  const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
  const parts = isComplete ? vectors : senders.map((rank) => itemAt(vectors, rank));
  const factors = isComplete
    ? weights as readonly number[]
    : weights.filter((weight) => weight !== null);
  const isFinite = before
    ? weightedSum(sum, [before, ...parts], [1, ...factors])
    : weightedSum(sum, parts, factors);
  if (isFinite) return FINITE;
  const all = before ? [...parts, before] : parts;
  const worstRank = senders.find((rank, index) =>
    rank === own ? isOwnBad(sum, all, index) : !allFinite(itemAt(parts, index))
  );
  return { finite: false, worstRank };
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
