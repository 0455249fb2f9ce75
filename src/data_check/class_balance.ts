/**
 * The balance of the images over the classes.
 *
 * @module
 */
import type { Finding } from "./kinds.ts";

/** A class's images. */
export interface ClassCounts {
  readonly name: string;
  /** By side; all of a single folder count as training images. */
  readonly train: number;
  readonly val: number;
  /** The number of them that can't be used. */
  readonly unusable: number;
}

/** Measures of balance, over the training images. */
export interface Balance {
  /** Images of the largest class over those of the smallest; `null` when that has none, or there is no class. */
  readonly ratio: number | null;
  /** Entropy of the classes' shares over the greatest that there can be: 1 when all are equal, 0 for a single one. */
  readonly evenness: number | null;
}

/** The ratio from which on classes are unbalanced. */
export const IMBALANCE_RATIO = 5;

/** Measures the balance. */
export function balanceOf(classes: readonly ClassCounts[]): Balance {
  const counts = classes.map(({ train }) => train);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return { ratio: null, evenness: null };
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const entropy = counts.filter((count) => count > 0)
    .map((count) => count / total)
    .reduce((sum, share) => sum - share * Math.log(share), 0);
  return {
    ratio: least > 0 ? most / least : null,
    evenness: classes.length > 1 ? entropy / Math.log(classes.length) : null,
  };
}

/** The finding, when the classes are unbalanced. */
export function findImbalance(classes: readonly ClassCounts[]): Finding[] {
  const { ratio } = balanceOf(classes);
  if (ratio === null || ratio < IMBALANCE_RATIO) return [];
  const sorted = [...classes].sort((a, b) => a.train - b.train);
  const [smallest, largest] = [sorted[0], sorted.at(-1)!];
  const detail =
    `${JSON.stringify(largest.name)} has ${ratio.toFixed(1)} times as many images as ` +
    JSON.stringify(smallest.name);
  return [{ kind: "imbalance", files: [], detail }];
}
