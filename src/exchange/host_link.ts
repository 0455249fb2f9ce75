/**
 * The level between hosts: what the ranks of one host, who share memory, need of the ranks of others.
 *
 * The ranks are numbered host by host. A sum over all of them goes from host to host in that order, part by part, so
 * that a host adds to one part while the next host adds to the part before: the values are added in the order of the
 * ranks, as on one host. How things get from host to host is up to the link.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import type { StepKey } from "../base/step_key.ts";
import type { RecordFacts } from "./step_record.ts";

/** A rank's record, as the ranks of other hosts get it. */
export type HostRecord = RecordFacts;

/**
 * A rank's link to the other hosts. All ranks of a host call the same methods in the same order, each for the part of
 * the vectors that it sums; a link may have one of them speak for all where they say the same.
 * Each promise is rejected with the signal's reason when that fires.
 */
export interface HostLink {
  /** Number of the ranks of each host, in order. */
  readonly ranks: readonly number[];
  /** Number of the ranks on the hosts before this one. */
  readonly firstRank: number;
  /**
   * Brings the contributions of this host's ranks to a step.
   *
   * @returns Those of all ranks of all hosts, in order
   */
  contributions(
    step: StepKey,
    own: readonly HostRecord[],
    signal?: AbortSignal,
  ): Promise<readonly HostRecord[]>;
  /** Returns the sum over the hosts before this one, in a range; nothing where none of their ranks has a part in it. */
  before(range: FloatRange, signal?: AbortSignal): Promise<Float32Array | undefined>;
  /**
   * Hands on the sum over this host and those before. On the last host it is the whole sum, which goes to all.
   *
   * @param sum Of the range; nothing where no rank so far has a part in it; may change when the promise is resolved
   */
  after(range: FloatRange, sum: Float32Array | undefined, signal?: AbortSignal): Promise<void>;
  /**
   * Puts the sum over all hosts, in a range, into `sum`.
   *
   * @returns False where no rank has a part in it, and `sum` stays as it was
   */
  total(range: FloatRange, sum: Float32Array, signal?: AbortSignal): Promise<boolean>;
  /**
   * Brings the results of the shares of this host's ranks.
   *
   * @returns Those of all ranks of all hosts, in order
   */
  results(
    step: StepKey,
    own: readonly HostRecord[],
    signal?: AbortSignal,
  ): Promise<readonly HostRecord[]>;
  /**
   * Brings the values of this host's ranks to a small sum, which may come at any time within a step.
   *
   * @param own May change when the promise is resolved
   * @returns Those of all ranks of all hosts, in order
   */
  values(
    own: readonly Float64Array[],
    signal?: AbortSignal,
  ): Promise<readonly Float64Array[]>;
  /**
   * Brings together short texts by which the ranks agree before their first step.
   *
   * @param own Those of this host's ranks, in order
   * @param limits Milliseconds after which it fails, instead of the limit of a step
   * @returns Those of all ranks of all hosts, in order
   */
  texts(
    own: readonly string[],
    limits?: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number },
  ): Promise<readonly string[]>;
  /** Ends all waits, and leaves the other hosts. */
  close(): Promise<void>;
}
