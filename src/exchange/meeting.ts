/**
 * The meeting place of the ranks of a host, in their shared memory: barriers, the ranks' records of their steps, and
 * the steps that the coordinator has granted.
 *
 * A barrier is passed when all ranks have arrived. A step has two barriers (contributions, sums) or three (shards
 * written), the same ones on every rank. The records of the last {@linkcode SLOTS} steps are kept: the coordinator
 * grants a step only when it has read the record whose slot the next one takes.
 *
 * @module
 */
import { FutexWords } from "../base/futex.ts";
import type { StepContribution } from "./gradient_exchange.ts";
import {
  readRecord,
  RECORD_LENGTH,
  type ShareResult,
  type StepRecord,
  writeContribution,
  writeShare,
} from "./step_record.ts";

/** Steps whose records are kept. */
export const SLOTS = 16;

/** Words of a cache line. */
const LINE = 16;
/** The words of a meeting, in cache lines by their writers; those of the ranks follow. */
const WORD = {
  /** Barriers that all ranks have passed. */
  passed: 0,
  /** Ranks that have arrived at the next barrier. */
  arrived: LINE,
  /** Steps that are granted. */
  granted: 2 * LINE,
  /** Number of the steps after which the ranks stop; 0 for none. */
  last: 2 * LINE + 1,
  /** Steps to which all ranks have contributed. */
  contributed: 3 * LINE,
  /** Steps whose sums all ranks have made. */
  summed: 3 * LINE + 1,
  /** Changes when the coordinator has something to do. */
  progress: 3 * LINE + 2,
} as const;
const RANKS = 4 * LINE;
/** The words in a rank's line: barriers that it has arrived at, and floats of its vector. */
const RANK_WORD = { barriers: 0, floats: 1 } as const;

/** Milliseconds for which a process looks at a word before it sleeps, unless others are known to be near. */
const SPIN_MS = 0.02;

/** The same where all others have just passed a barrier: to sleep and be woken takes about as long. */
const NEAR_SPIN_MS = 0.1;

const PAGE = 4096;

/** Bytes of a meeting place. */
export function meetingBytes(worldSize: number): number {
  const recordBytes = worldSize * SLOTS * RECORD_LENGTH * Float64Array.BYTES_PER_ELEMENT;
  return Math.ceil((wordBytes(worldSize) + recordBytes) / PAGE) * PAGE;
}

function wordBytes(worldSize: number): number {
  return (RANKS + worldSize * LINE) * Int32Array.BYTES_PER_ELEMENT;
}

/** Options of a wait: the circumstances in which it ends without what it waits for. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without any rank's arrival after which the wait fails. */
  readonly timeoutMs: number;
  /** Makes the failure. */
  readonly silence: (seconds: number) => Error;
}

/**
 * The meeting place as one process sees it: a rank or the coordinator.
 *
 * Each wait throws its signal's reason when that fires, the error of its `silence` after a time without any arrival,
 * and the error of {@linkcode Meeting.close}.
 */
export class Meeting {
  readonly worldSize: number;
  readonly #futex: FutexWords;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #records: Float64Array<ArrayBuffer>;
  readonly #nearSpinMs: number;
  #closed: Error | undefined;

  /**
   * @param memory The first bytes of the segment, as many as {@linkcode meetingBytes}
   * @throws {LockstepError} when this system has no futex
   */
  constructor(memory: Uint8Array<ArrayBuffer>, worldSize: number) {
    this.worldSize = worldSize;
    this.#futex = new FutexWords(memory.subarray(0, wordBytes(worldSize)));
    this.#words = this.#futex.words;
    // With more ranks than cores, one that spins keeps another from arriving.
    this.#nearSpinMs = worldSize <= navigator.hardwareConcurrency ? NEAR_SPIN_MS : SPIN_MS;
    const begin = memory.byteOffset + wordBytes(worldSize);
    this.#records = new Float64Array(memory.buffer, begin, worldSize * SLOTS * RECORD_LENGTH);
  }

  /** Forgets everything, while no rank is in a step. */
  reset(): void {
    this.#words.fill(0);
    this.#records.fill(0);
  }

  /** Length of the vector of a rank's last contribution. */
  floatsOf(rank: number): number {
    return this.#load(wordOf(rank, "floats"));
  }

  /** Number of steps to which all ranks have contributed. */
  get contributed(): number {
    return this.#load(WORD.contributed);
  }

  /** Number of steps whose sums all ranks have made, which is the index of the step that comes next. */
  get summed(): number {
    return this.#load(WORD.summed);
  }

  /** Number of steps that are granted. */
  get granted(): number {
    return this.#load(WORD.granted);
  }

  /** Grants the next step. */
  grant(action: "continue" | "stop"): void {
    const granted = this.granted + 1;
    if (action === "stop") Atomics.store(this.#words, WORD.last, granted);
    Atomics.store(this.#words, WORD.granted, granted);
    this.#futex.wake(WORD.granted);
  }

  /** The action of a step that is granted. */
  actionOf(index: number): "continue" | "stop" {
    return this.#load(WORD.last) === index + 1 ? "stop" : "continue";
  }

  /**
   * Writes a rank's contribution to a step.
   *
   * @param floats Length of its vector
   */
  contribute(rank: number, index: number, own: StepContribution, floats: number): void {
    Atomics.store(this.#words, wordOf(rank, "floats"), floats);
    writeContribution(this.#slot(rank, index), own);
  }

  /** Completes a rank's record of a step. */
  share(rank: number, index: number, share: ShareResult): void {
    writeShare(this.#slot(rank, index), share);
  }

  /** The ranks' records of a step, in order. */
  records(index: number): StepRecord[] {
    return this.#perRank((rank) => readRecord(this.#slot(rank, index)));
  }

  /** The ranks that have arrived at fewer barriers than others; all ranks when none is ahead. */
  lagging(): number[] {
    const arrivals = this.#arrivals();
    const least = Math.min(...arrivals);
    return [...arrivals.keys()].filter((rank) => arrivals[rank] === least);
  }

  /**
   * Arrives at the next barrier, and waits until all ranks have.
   *
   * @param counter The count of steps that grows when all have arrived, if any
   */
  async barrier(
    rank: number,
    counter: "contributed" | "summed" | undefined,
    options: WaitOptions,
  ): Promise<void> {
    const before = this.#load(WORD.passed);
    Atomics.add(this.#words, wordOf(rank, "barriers"), 1);
    if (Atomics.add(this.#words, WORD.arrived, 1) + 1 < this.worldSize) {
      const isPassed = () => this.#load(WORD.passed) !== before;
      const spinMs = counter === "contributed" ? SPIN_MS : this.#nearSpinMs;
      return await this.#until(WORD.passed, isPassed, options, spinMs);
    }
    Atomics.store(this.#words, WORD.arrived, 0);
    if (counter) Atomics.add(this.#words, WORD[counter], 1);
    Atomics.add(this.#words, WORD.passed, 1);
    if (this.worldSize > 1) this.#futex.wake(WORD.passed);
    if (counter) this.#tellCoordinator(counter);
  }

  /** Wakes the coordinator where it has something to do; of steps that are granted it may read later. */
  #tellCoordinator(counter: "contributed" | "summed"): void {
    const ahead = this.granted - this.summed;
    if (counter === "contributed" ? ahead > 0 : ahead > SLOTS / 2) return;
    Atomics.add(this.#words, WORD.progress, 1);
    this.#futex.wake(WORD.progress);
  }

  /** Waits until a step is granted. */
  async untilGranted(index: number, options: WaitOptions): Promise<void> {
    await this.#until(WORD.granted, () => this.granted > index, options);
  }

  /** Waits until all ranks have contributed to a step, which must not be granted yet. */
  async untilContributed(index: number, options: WaitOptions): Promise<void> {
    await this.#until(WORD.progress, () => this.contributed > index, options);
  }

  /** Waits until all ranks have made the sum of a step. */
  async untilSummed(index: number, options: WaitOptions): Promise<void> {
    await this.#until(WORD.progress, () => this.summed > index, options);
  }

  /** Ends this process's waits with an error, now and later. */
  close(error: Error): void {
    this.#closed ??= error;
    for (const word of [WORD.passed, WORD.granted, WORD.progress]) this.#futex.wake(word);
  }

  async #until(
    word: number,
    isDone: () => boolean,
    options: WaitOptions,
    spinMs = SPIN_MS,
  ): Promise<void> {
    const begin = performance.now();
    do {
      if (isDone()) return;
    } while (performance.now() - begin < spinMs);
    const seen = this.#load(word);
    if (isDone()) return;
    this.#futex.waitBlocking(word, seen);
    if (!isDone()) await this.#sleepUntil(word, isDone, options, begin);
  }

  async #sleepUntil(
    word: number,
    isDone: () => boolean,
    { signal, timeoutMs, silence }: WaitOptions,
    begin: number,
  ): Promise<void> {
    const lookAgain = () => void this.#futex.wake(word);
    signal?.addEventListener("abort", lookAgain);
    try {
      let arrivals = this.#arrivals();
      let since = begin;
      for (;;) {
        const seen = this.#load(word);
        if (isDone()) return;
        signal?.throwIfAborted();
        if (this.#closed) throw this.#closed;
        await this.#futex.wait(word, seen);
        const [known, now] = [arrivals, performance.now()];
        arrivals = this.#arrivals();
        if (arrivals.some((count, rank) => count !== known[rank])) since = now;
        if (now - since >= timeoutMs && !isDone()) throw silence(Math.round(timeoutMs / 1000));
      }
    } finally {
      signal?.removeEventListener("abort", lookAgain);
    }
  }

  /** Barriers that each rank has arrived at. */
  #arrivals(): number[] {
    return this.#perRank((rank) => this.#load(wordOf(rank, "barriers")));
  }

  #perRank<T>(valueOf: (rank: number) => T): T[] {
    return Array.from({ length: this.worldSize }, (_, rank) => valueOf(rank));
  }

  #load(word: number): number {
    return Atomics.load(this.#words, word);
  }

  #slot(rank: number, index: number): Float64Array {
    const begin = (rank * SLOTS + index % SLOTS) * RECORD_LENGTH;
    return this.#records.subarray(begin, begin + RECORD_LENGTH);
  }
}

function wordOf(rank: number, name: keyof typeof RANK_WORD): number {
  return RANKS + rank * LINE + RANK_WORD[name];
}
