/**
 * A fuzzer: an input, what must hold for it, and the seed with which CI draws its cases.
 *
 * @module
 */
import type fc from "fast-check";

/** Cases that each fuzzer runs unless `LOCKSTEP_FUZZ_CASES` says another number. */
export const CASES = 10_000;

/** A property of one reader of input from outside. */
export interface Fuzzer<Input = unknown> {
  /** Seed of the cases that CI runs. */
  readonly seed: number;
  readonly input: fc.Arbitrary<Input>;
  /**
   * Gives an input to the reader and throws unless it is read rightly or refused with an error of Lockstep's. Time and
   * memory are measured by whoever calls it.
   */
  readonly check: (input: Input) => void | Promise<void>;
  /** Bytes that one case may allocate, all its buffers together; {@linkcode MAX_CASE_BYTES} unless given. */
  readonly maxBytes?: number;
  /** True where native code does the work: such a fuzzer runs in a process of its own. */
  readonly isNative?: boolean;
  /** Prepares what all cases share; what it returns is disposed of after the last one. */
  readonly setUp?: () => Promise<AsyncDisposable | void>;
}

/** Default of {@linkcode Fuzzer.maxBytes}: the inputs are a few kilobytes. */
export const MAX_CASE_BYTES = 8 * 2 ** 20;

/** Types a fuzzer, and forgets the type of its input. */
export function defineFuzzer<Input>(fuzzer: Fuzzer<Input>): Fuzzer {
  return fuzzer as Fuzzer;
}
