/**
 * The comparison of the ranks' replicas, by the digests that they bring to some steps.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import type { StepKey } from "../../base/step_key.ts";
import type { RankReport } from "../../exchange/gradient_exchange.ts";

/** The replicas of some ranks differ from the others', though all make the same updates. */
export class DivergedError extends LockstepError {
  override name = "DivergedError";
  /** The ranks that differ from the majority; without a majority, all that may. */
  readonly ranks: readonly number[];
  /** The one rank that differs, where it is known. */
  readonly rank: number | undefined;

  constructor(ranks: readonly number[], isKnown: boolean, message: string) {
    super(message);
    this.ranks = ranks;
    this.rank = isKnown && ranks.length === 1 ? ranks[0] : undefined;
  }
}

/** Compares the digests of each step that has some. */
export class DivergenceWatch {
  #equal: StepKey | undefined;

  /**
   * Compares the ranks of a step.
   *
   * @throws {DivergedError} when a digest differs
   */
  check(key: StepKey, ranks: readonly Pick<RankReport, "digest">[]): void {
    const digests = ranks.flatMap(({ digest }) => digest ?? []);
    if (digests.length < Math.max(ranks.length, 2)) return;
    const { differing, isKnown } = minorityOf(digests);
    if (differing.length > 0) {
      throw new DivergedError(
        differing,
        isKnown,
        describe({ key, differing, isKnown, of: digests.length, equal: this.#equal }),
      );
    }
    this.#equal = key;
  }
}

/** The positions of the values that most others don't share; all, where no value has more than half of the places. */
function minorityOf(values: readonly number[]): { differing: number[]; isKnown: boolean } {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [usual] = [...counts].find(([, count]) => 2 * count > values.length) ?? [];
  const positions = [...values.keys()];
  return usual === undefined
    ? { differing: positions, isKnown: false }
    : { differing: positions.filter((at) => values[at] !== usual), isKnown: true };
}

function describe({ key: { epoch, step }, differing, isKnown, of, equal }: {
  readonly key: StepKey;
  readonly differing: readonly number[];
  readonly isKnown: boolean;
  readonly of: number;
  readonly equal: StepKey | undefined;
}): string {
  const where = `in epoch ${epoch}, step ${step}`;
  const names = `${differing.length === 1 ? "rank" : "ranks"} ${enumerated(differing)}`;
  const what = isKnown
    ? `The parameters or running statistics of ${names} differ from those of the other ${
      of - differing.length
    } ranks ${where}`
    : `The parameters or running statistics of ${names} differ from each other ${where}, and no majority tells ` +
      "which are right";
  const since = equal ? ` (they were equal in epoch ${equal.epoch}, step ${equal.step})` : "";
  const machines = isKnown ? names : "each of them";
  return `${what}${since}, though all ranks make the same updates: memory was changed, or a processor computed ` +
    `wrongly; test the memory and the device of ${machines}, and resume the run from a checkpoint ` +
    `${
      equal ? "of that step or before" : "of before"
    } (--from last-1 where checkpoints/last is newer)`;
}

function enumerated(numbers: readonly number[]): string {
  return numbers.length === 1
    ? String(numbers[0])
    : `${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}
