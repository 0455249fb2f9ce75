/**
 * All pairs of 64-bit hashes that differ in a few bits, without comparing each with each: multi-index hashing
 * (Norouzi, Punjani and Fleet, Fast Search in Hamming Space with Multi-Index Hashing, 2012).
 *
 * A hash is cut into four parts of 16 bits. Where two hashes differ in at most d bits, one of the parts differs in
 * at most ⌊d/4⌋; so it is enough to look, for each part, into the buckets of the few values that near.
 *
 * @module
 */

/** Two hashes, by their positions, the lower one first. */
export interface NearPair {
  readonly a: number;
  readonly b: number;
  /** Bits in which they differ. */
  readonly distance: number;
}

/** The result of a search. */
export interface NearPairs {
  readonly pairs: NearPair[];
  /** True if there are more pairs than were asked for. */
  readonly more: boolean;
}

/** The greatest distance that can be searched for: beyond, hashes of different images come as near. */
export const MAX_DISTANCE = 16;

const PARTS = 4;
const PART_BITS = 16;
const PART_VALUES = 2 ** PART_BITS;

/**
 * Finds the pairs, ordered by `a`, then by `b`.
 *
 * @param hashes 16 hexadecimal digits each
 * @param distance Bits that may differ, 0 to {@linkcode MAX_DISTANCE}
 * @param most Pairs after which the search ends
 */
export function findNearPairs(
  hashes: readonly string[],
  distance: number,
  most = Infinity,
): NearPairs {
  const index = new PartIndex(hashes);
  const masks = masksUpTo(Math.floor(distance / PARTS));
  const pairs: NearPair[] = [];
  const lastSeen = new Int32Array(hashes.length).fill(-1);
  for (let a = 0; a < hashes.length; a++) {
    const own: NearPair[] = [];
    for (let part = 0; part < PARTS; part++) {
      for (const mask of masks) {
        for (let b = index.firstOf(part, a, mask); b > a; b = index.nextOf(part, b)) {
          if (lastSeen[b] === a) continue;
          lastSeen[b] = a;
          const bits = index.distance(a, b);
          if (bits <= distance) own.push({ a, b, distance: bits });
        }
      }
    }
    for (const pair of own.sort((one, other) => one.b - other.b)) {
      if (pairs.length === most) return { pairs, more: true };
      pairs.push(pair);
    }
  }
  return { pairs, more: false };
}

/** For each part a chain of the hashes with the same value of it, the last one first. */
class PartIndex {
  /** Parts of all hashes, one hash after the other. */
  readonly #parts: Uint16Array;
  readonly #heads = Array.from({ length: PARTS }, () => new Int32Array(PART_VALUES).fill(-1));
  readonly #next: Int32Array[];

  constructor(hashes: readonly string[]) {
    this.#parts = new Uint16Array(hashes.length * PARTS);
    this.#next = this.#heads.map(() => new Int32Array(hashes.length));
    const digits = PART_BITS / 4;
    for (const [position, hash] of hashes.entries()) {
      for (let part = 0; part < PARTS; part++) {
        const value = parseInt(hash.slice(part * digits, (part + 1) * digits), 16);
        this.#parts[position * PARTS + part] = value;
        this.#next[part][position] = this.#heads[part][value];
        this.#heads[part][value] = position;
      }
    }
  }

  /** The last hash whose part is the one of `position` but for the bits of `mask`; −1 when there is none. */
  firstOf(part: number, position: number, mask: number): number {
    return this.#heads[part][this.#parts[position * PARTS + part] ^ mask];
  }

  /** The one before with the same value of the part. */
  nextOf(part: number, position: number): number {
    return this.#next[part][position];
  }

  distance(a: number, b: number): number {
    let count = 0;
    for (let part = 0; part < PARTS; part++) {
      count += ONES[this.#parts[a * PARTS + part] ^ this.#parts[b * PARTS + part]];
    }
    return count;
  }
}

/** Number of ones in each 16-bit value. */
const ONES = countOnes();

function countOnes(): Uint8Array {
  const ones = new Uint8Array(PART_VALUES);
  for (let value = 1; value < PART_VALUES; value++) ones[value] = ones[value >> 1] + (value & 1);
  return ones;
}

/** All 16-bit values with at most so many ones. */
function masksUpTo(ones: number): number[] {
  return Array.from({ length: PART_VALUES }, (_, value) => value)
    .filter((value) => ONES[value] <= ones);
}
