/**
 * Random numbers as a pure function of keys: shuffles, augmentation and initial weights depend only on (seed,
 * epoch, sample index), and neither on the number of workers nor on the order of calls.
 *
 * @module
 */

/** A stream of uniform numbers in [0, 1) with 32 bits of resolution. */
export type RandomStream = () => number;

/** A part of a key; strings are hashed by their UTF-16 code units. */
export type RandomKey = number | string;

/**
 * Returns a deterministic stream for the given keys: equal keys give equal numbers.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand), seeded by mixing each key with
 * MurmurHash3's 32-bit finalizer, and warmed up by 12 draws.
 *
 * @example
 * ```ts
 * import { randomStream } from "./random.ts";
 * const next = randomStream(42, "augment", 3, 17); // seed, purpose, epoch, sample index
 * const flip = next() < 0.5;
 * ```
 */
export function randomStream(...keys: RandomKey[]): RandomStream {
  let a = 0x9e3779b9, b = 0x243f6a88, c = 0xb7e15162, d = 1;
  for (const word of keys.flatMap(uint32sOf)) {
    a = mix32(a ^ word);
    b = mix32(b + a);
    c = mix32(c ^ (b >>> 7) ^ word);
  }
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 0x1_0000_0000;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** A 32-bit hash of the given keys, for seeding engines that take integer seeds. */
export function randomSeed(...keys: RandomKey[]): number {
  return Math.floor(randomStream(...keys)() * 0x1_0000_0000) | 0;
}

/** A uniformly distributed integer in [0, `bound`). */
export function randomInt(next: RandomStream, bound: number): number {
  return Math.floor(next() * bound);
}

/** A normally distributed number with mean 0 and variance 1 (Box and Muller, 1958). */
export function randomNormal(next: RandomStream): number {
  const radius = Math.sqrt(-2 * Math.log(1 - next()));
  return radius * Math.cos(2 * Math.PI * next());
}

/** The numbers 0 … `length` − 1 in random order (Fisher and Yates). */
export function randomPermutation(next: RandomStream, length: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, index) => index);
  for (let last = length - 1; last > 0; last--) {
    const other = randomInt(next, last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

function uint32sOf(key: RandomKey): number[] {
  if (typeof key === "number") return [key | 0, Math.floor(key / 0x1_0000_0000) | 0, 1];
  return [...Array.from(key, (_, index) => key.charCodeAt(index)), key.length, 2];
}

function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
