/**
 * Puts the ranks' counts of a step together.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { RankReport } from "./gradient_exchange.ts";

/** One rank's contribution to its current step, besides its vector. */
export interface RankCounts extends RankReport {
  readonly rank: number;
  /** The step that the rank is in, as far as its messages tell. */
  readonly place: StepKey | undefined;
  readonly weight: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly statisticsRows: number;
  readonly trackedBatches: number;
  /** Tells whether the rank's contribution to a step has arrived. */
  hasBegun(step: StepKey): boolean;
}

/** Sums over the ranks. */
export interface GlobalCounts {
  readonly samples: number;
  readonly weight: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly statisticsRows: number;
  /** The most of any rank. */
  readonly trackedBatches: number;
}

/**
 * The factors by which each rank's values are multiplied before they are added; null where they don't count.
 */
export interface SumWeights {
  readonly gradients: readonly (number | null)[];
  /** The factors of the running statistics: a mean over rows, whatever a sample's loss weighs. */
  readonly statistics: readonly (number | null)[];
}

/** The weights of the ranks' vectors in a step's sum. */
export function sumWeights(
  ranks: readonly Pick<RankCounts, "samples" | "weight" | "statisticsRows">[],
  { weight, statisticsRows }: Pick<GlobalCounts, "weight" | "statisticsRows">,
): SumWeights {
  return {
    gradients: ranks.map((rank) =>
      rank.samples === 0 ? null : weight === 0 ? 0 : rank.weight / weight
    ),
    statistics: ranks.map((rank) =>
      rank.statisticsRows === 0 ? null : rank.statisticsRows / statisticsRows
    ),
  };
}

/**
 * Adds up the ranks' contributions to a step, in the order of the ranks.
 *
 * @returns The sums and the first rank whose loss is not finite, or nothing while a rank is missing
 * @throws {LockstepError} When a rank is in a later step already
 */
export function gatherTotals(
  ranks: readonly RankCounts[],
  key: StepKey,
): { totals: GlobalCounts; ranks: RankReport[]; worstRank: number | undefined } | undefined {
  const ahead = ranks.find(({ place }) => place && compareSteps(place, key) > 0);
  if (ahead) {
    const { epoch, step } = ahead.place!;
    throw new LockstepError(
      `Rank ${ahead.rank} is in epoch ${epoch}, step ${step}, ` +
        `the coordinator in epoch ${key.epoch}, step ${key.step}`,
    );
  }
  if (!ranks.every((rank) => rank.hasBegun(key))) return undefined;
  return {
    totals: addCounts(ranks),
    ranks: ranks.map(reportOf),
    worstRank: ranks.find(({ lossSum }) => !Number.isFinite(lossSum))?.rank,
  };
}

/** Returns a rank's report of itself, out of its record. */
export function reportOf({ samples, times, digest }: RankReport): RankReport {
  return { samples, times, ...given("digest", digest) };
}

/** Adds up the ranks' counts, in the order of the ranks. */
export function addCounts(ranks: readonly GlobalCounts[]): GlobalCounts {
  const sum = (of: (rank: GlobalCounts) => number) =>
    ranks.reduce((all, rank) => all + of(rank), 0);
  return {
    samples: sum(({ samples }) => samples),
    weight: sum(({ weight }) => weight),
    lossSum: sum(({ lossSum }) => lossSum),
    correct: sum(({ correct }) => correct),
    statisticsRows: sum(({ statisticsRows }) => statisticsRows),
    trackedBatches: Math.max(...ranks.map(({ trackedBatches }) => trackedBatches)),
  };
}

/** The decision on a step: a step that is not finite must not be taken. */
export interface Verdict {
  readonly finite: boolean;
  /** The first rank whose own loss or vector is not finite, when there is one. */
  readonly worstRank: number | undefined;
}

/** The decision that follows from the records of all ranks, in their order. */
export function verdictOf(
  records: readonly (Verdict & Pick<RankCounts, "lossSum">)[],
): Verdict {
  const guilty = records.flatMap(({ lossSum, worstRank }, rank) => [
    ...(Number.isFinite(lossSum) ? [] : [rank]),
    ...(worstRank === undefined ? [] : [worstRank]),
  ]);
  return {
    finite: guilty.length === 0 && records.every(({ finite }) => finite),
    worstRank: guilty.length > 0 ? Math.min(...guilty) : undefined,
  };
}
