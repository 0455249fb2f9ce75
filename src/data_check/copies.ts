/**
 * Images that are there more than once, exactly or nearly.
 *
 * @module
 */
import type { ImageFacts } from "./inspect_image.ts";
import { isComparable } from "./judge_image.ts";
import type { Finding, FindingKind } from "./kinds.ts";
import { findNearPairs } from "./near_duplicates.ts";
import type { SurveyedImage } from "./survey.ts";

/** An image and what it is. */
export interface CheckedImage extends SurveyedImage {
  readonly facts: ImageFacts;
}

/** The result of {@linkcode findNearCopies}. */
export interface NearCopies {
  readonly findings: readonly Finding[];
  /** True if the search ended before it had all pairs. */
  readonly more: boolean;
}

/** Pairs after which the search ends: nobody looks at as many. */
const MAX_PAIRS = 200_000;
/** Exact copies of an image that are looked at for the pair that tells most. */
const MAX_COPIES = 20;

/** Groups of usable images whose bytes are the same; each is alone unless it has copies. */
export function groupCopies(images: readonly CheckedImage[]): CheckedImage[][] {
  const usable = images.filter(({ facts }) => !facts.problem && facts.sha256 !== undefined);
  return [...Map.groupBy(usable, ({ facts }) => facts.sha256).values()];
}

/** Findings about exact copies. */
export function findCopies(groups: readonly CheckedImage[][]): Finding[] {
  return groups.filter(({ length }) => length > 1).flatMap((group) => {
    const files = group.map(({ path }) => path);
    const differ = (of: (image: CheckedImage) => unknown) => new Set(group.map(of)).size > 1;
    const kinds: FindingKind[] = [];
    if (differ(({ label }) => label)) kinds.push("copyAcrossClasses");
    if (differ(({ side }) => side)) kinds.push("copyAcrossSides");
    if (kinds.length === 0) kinds.push("copyInClass");
    return kinds.map((kind) => ({ kind, files, detail: "" }));
  });
}

/**
 * Findings about images that look the same; those that are exact copies of each other count once.
 *
 * @param groups Exact copies
 * @param distance Bits of the hashes that may differ
 */
export function findNearCopies(groups: readonly CheckedImage[][], distance: number): NearCopies {
  const comparable = groups.filter(([{ facts }]) => isComparable(facts));
  const hashes = comparable.map(([{ facts }]) => facts.hash!.bits);
  const { pairs, more } = findNearPairs(hashes, distance, MAX_PAIRS);
  const findings = pairs.map((pair): Finding => {
    const [a, b] = tellingPair(comparable[pair.a], comparable[pair.b]);
    const detail = pair.distance === 0 ? "same hash" : `${pair.distance} of 64 bits differ`;
    return { kind: kindOf(a, b), files: [a.path, b.path], detail, distance: pair.distance };
  });
  findings.sort((a, b) => a.distance! - b.distance!);
  return { findings, more };
}

/** One image of each group: on different sides if there are such, else of different classes, else the first two. */
function tellingPair(
  one: readonly CheckedImage[],
  other: readonly CheckedImage[],
): [CheckedImage, CheckedImage] {
  const pairs = one.slice(0, MAX_COPIES).flatMap((a) =>
    other.slice(0, MAX_COPIES).map((b): [CheckedImage, CheckedImage] => [a, b])
  );
  return pairs.find(([a, b]) => a.side !== b.side) ??
    pairs.find(([a, b]) => a.label !== b.label) ?? pairs[0];
}

function kindOf(a: CheckedImage, b: CheckedImage): FindingKind {
  if (a.side !== b.side) return "nearAcrossSides";
  return a.label !== b.label ? "nearAcrossClasses" : "nearInClass";
}
