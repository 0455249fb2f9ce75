/**
 * The meeting place of the ranks of a host, in their shared memory: the phases of their steps, the ranks' records, and
 * the steps that the coordinator has granted.
 *
 * All ranks arrive at each {@linkcode MeetingPhase} of a step, in order; the last one raises the phase's count and wakes
 * those who wait for it. The records of the last {@linkcode SLOTS} steps are kept: the coordinator grants a step only
 * when it has read the record whose slot the next one takes.
 *
 * @module
 */
import { delay } from "../base/async.ts";
import { FutexWords } from "../base/futex.ts";
import type { StepKey } from "../base/step_key.ts";
import { STEP_PHASES, type StepPhase } from "../protocol/step_phases.ts";
import type { RankPlace } from "./rank_place.ts";
import { SmallValues, smallValuesBytes } from "./small_values.ts";
import { RECORD_LENGTH, StepRecords } from "./step_record.ts";

/** Steps whose records are kept. */
export const SLOTS = 16;

/** A phase of a step that ends when all ranks have arrived at its end. */
export type MeetingPhase = "contributed" | "summed" | "committed" | "exchanged";

/** Words of a cache line. */
const LINE = 16;
/**
 * The words that are waited for, each in a cache line of its own; the ranks' lines follow. A phase's word is the number
 * of its ends that all ranks have come to.
 */
const WORD = {
  contributed: 0,
  summed: LINE,
  committed: 2 * LINE,
  /** Number of steps that are granted. */
  granted: 3 * LINE,
  /** Changes when the coordinator has something to do. */
  progress: 4 * LINE,
  /** Small vectors that the ranks have exchanged in the midst of their steps. */
  exchanged: 5 * LINE,
} as const;
const RANKS = 6 * LINE;
/** Behind a word that is waited for: the processes that sleep until it changes. */
const SLEEPERS = 1;
/** Behind the word of a phase: ranks that have arrived at its next end. */
const ARRIVED = 2;
/** Number of the steps after which the ranks stop; 0 for none. */
const LAST = WORD.granted + 2;
/** Number of steps to which a rank has contributed. */
const BEGUN = WORD.progress + 2;
/** Number of summed steps from which on the coordinator wants to be woken. */
const WAKE_AT = WORD.progress + 3;
/** Behind `progress`: reports of a standstill, whoever made them. */
const REPORTS = WORD.progress + 4;
/**
 * The words in a rank's line: ends of phases that it has arrived at, its steps, floats of its vector, and its place:
 * epoch, step, and the number of the part of it among `STEP_PHASES`; and the float from which on its vector is final.
 */
const RANK_WORD = {
  arrivals: 0,
  steps: 1,
  floats: 2,
  epoch: 3,
  step: 4,
  phase: 5,
  begin: 6,
} as const;

/** The time between two looks of a wait; a longer one is time in which this process stood still. */
const MAX_LOOK_MS = 1_000;

/** Milliseconds for which a process looks at a word before it sleeps, unless others are known to be near. */
const SPIN_MS = 0.02;

/** The same where all others have just ended a phase: to sleep and be woken takes about as long. */
const NEAR_SPIN_MS = 0.1;

/** The time between two looks at how much of the vectors is final. */
const OFFER_POLL_MS = 2;

/** Times that a process looks at a word between two looks at its clock. */
const LOOKS = 16;

const PAGE = 4096;

/** Bytes of a meeting place. */
export function meetingBytes(worldSize: number): number {
  const bytes = wordBytes(worldSize) + recordBytes(worldSize) + smallValuesBytes(worldSize);
  return Math.ceil(bytes / PAGE) * PAGE;
}

function recordBytes(worldSize: number): number {
  return worldSize * SLOTS * RECORD_LENGTH * Float64Array.BYTES_PER_ELEMENT;
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
  /** Called a few times a second while the wait sleeps. */
  readonly onLook?: (() => void) | undefined;
}

/** A wait: nothing where it is over already, so that its caller needn't wait for a promise. */
export type MaybePromise = Promise<void> | undefined;

/**
 * The meeting place as one process sees it: a rank or the coordinator.
 *
 * A wait's promise is rejected with its signal's reason when that fires, with the error of its `silence` after a time
 * without any arrival, and with the error of {@linkcode Meeting.close}.
 */
export class Meeting {
  readonly worldSize: number;
  readonly records: StepRecords;
  /** The values of `exchanged`. */
  readonly values: SmallValues;
  readonly #futex: FutexWords;
  readonly #words: Int32Array<ArrayBuffer>;
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
    const numbers = new Float64Array(memory.buffer, begin, worldSize * SLOTS * RECORD_LENGTH);
    this.records = new StepRecords(numbers, worldSize, SLOTS);
    const values = begin + recordBytes(worldSize);
    const count = smallValuesBytes(worldSize) / Float64Array.BYTES_PER_ELEMENT;
    this.values = new SmallValues(new Float64Array(memory.buffer, values, count), worldSize);
  }

  /** Forgets everything, while no rank is in a step. Those who still sleep go on counting as such until they wake. */
  reset(): void {
    const sleepers = new Set(Object.values(WORD).map((word) => word + SLEEPERS));
    for (let at = 0; at < this.#words.length; at++) {
      if (!sleepers.has(at)) Atomics.store(this.#words, at, 0);
    }
    this.records.clear();
  }

  /** Length of the vector of a rank's last contribution. */
  floatsOf(rank: number): number {
    return this.#load(wordOf(rank, "floats"));
  }

  /** Number of steps to which a rank has contributed, which is the index of its next one. */
  stepsOf(rank: number): number {
    return this.#load(wordOf(rank, "steps"));
  }

  /** Number of steps to which all ranks have contributed. */
  get contributed(): number {
    return this.#load(WORD.contributed);
  }

  /** Number of steps whose sums all ranks have made and recorded. */
  get summed(): number {
    return this.#load(WORD.summed);
  }

  /**
   * Number of the steps that all ranks have committed, which is the version of the state that is whole everywhere. The
   * last rank to arrive raises it: where a rank ends before it arrives, the version before it stays.
   */
  get committed(): number {
    return this.#load(WORD.committed);
  }

  /** Number of small vectors that all ranks have brought. */
  get exchanged(): number {
    return this.#load(WORD.exchanged);
  }

  /** Number of steps that are granted. */
  get granted(): number {
    return this.#load(WORD.granted);
  }

  /** Notes the part of a step that a rank is in. */
  enter(rank: number, { epoch, step }: StepKey, phase: StepPhase): void {
    const words = this.#words;
    Atomics.store(words, wordOf(rank, "epoch"), epoch);
    Atomics.store(words, wordOf(rank, "step"), step);
    Atomics.store(words, wordOf(rank, "phase"), STEP_PHASES.indexOf(phase));
  }

  /** The place that a rank has noted last. */
  placeOf(rank: number): RankPlace {
    const load = (name: keyof typeof RANK_WORD) => this.#load(wordOf(rank, name));
    return {
      epoch: load("epoch"),
      step: load("step"),
      phase: STEP_PHASES[load("phase")] ?? "none",
      arrivals: load("arrivals"),
    };
  }

  /** Number of reports of a standstill that the processes have made. */
  get reports(): number {
    return this.#load(REPORTS);
  }

  /** Counts a report, so that no other process makes the same one. */
  reported(): void {
    Atomics.add(this.#words, REPORTS, 1);
  }

  /** Grants the next step. */
  grant(action: "continue" | "stop"): void {
    const granted = this.granted + 1;
    if (action === "stop") Atomics.store(this.#words, LAST, granted);
    Atomics.store(this.#words, WORD.granted, granted);
    this.#wake(WORD.granted);
  }

  /** The action of a step that is granted. */
  actionOf(index: number): "continue" | "stop" {
    return this.#load(LAST) === index + 1 ? "stop" : "continue";
  }

  /** The ranks that have arrived at fewer ends of phases than others; all ranks when none is ahead. */
  lagging(): number[] {
    const arrivals = this.#arrivals();
    const least = Math.min(...arrivals);
    return [...arrivals.keys()].filter((rank) => arrivals[rank] === least);
  }

  /**
   * Arrives at the end of `contributed` of a rank's next step, whose record is written.
   *
   * @param floats Length of the rank's vector
   */
  contribute(rank: number, floats: number): void {
    const words = this.#words;
    Atomics.store(words, wordOf(rank, "floats"), floats);
    const index = Atomics.add(words, wordOf(rank, "steps"), 1);
    const isFirst = this.#load(WORD.contributed + ARRIVED) === 0;
    if (isFirst) Atomics.store(words, BEGUN, index + 1);
    const isLast = this.arrive(rank, "contributed");
    if ((isFirst || isLast) && this.granted <= index) this.wakeCoordinator();
  }

  /**
   * Notes how much of a rank's vector is final in the step that it contributes to next, or has contributed to.
   *
   * @param begin The float from which on it is
   */
  offer(rank: number, begin: number): void {
    Atomics.store(this.#words, wordOf(rank, "begin"), begin);
  }

  /** The float from which on the vectors of all ranks are final, in a step to which all have contributed. */
  get offered(): number {
    return Math.max(...this.#begins());
  }

  /**
   * Arrives at the end of a phase, without waiting for the others.
   *
   * @returns Whether this rank was the last one
   */
  arrive(rank: number, phase: MeetingPhase): boolean {
    const words = this.#words;
    Atomics.add(words, wordOf(rank, "arrivals"), 1);
    if (Atomics.add(words, WORD[phase] + ARRIVED, 1) + 1 < this.worldSize) return false;
    Atomics.store(words, WORD[phase] + ARRIVED, 0);
    const count = Atomics.add(words, WORD[phase], 1) + 1;
    this.#wake(WORD[phase]);
    if (phase === "summed" && count >= this.#load(WAKE_AT)) this.wakeCoordinator();
    return true;
  }

  /** Wakes the coordinator, which has something to do. */
  wakeCoordinator(): void {
    Atomics.add(this.#words, WORD.progress, 1);
    this.#wake(WORD.progress);
  }

  /** Waits until all ranks have come to the end of a phase for the `count`th time. */
  untilPassed(phase: MeetingPhase, count: number, options: WaitOptions): MaybePromise {
    const spinMs = phase === "contributed" ? SPIN_MS : this.#nearSpinMs;
    return this.#until(WORD[phase], WORD[phase], count, spinMs, options);
  }

  /**
   * Waits until the vectors of all ranks are final from a float on. A rank whose own vector is not whole yet waits
   * without a limit.
   */
  untilOffered(rank: number, begin: number, options: WaitOptions): MaybePromise {
    return this.offered <= begin ? undefined : this.#pollOffers(rank, begin, options);
  }

  /** Waits until a step is granted. */
  untilGranted(index: number, options: WaitOptions): MaybePromise {
    return this.#until(WORD.granted, WORD.granted, index + 1, SPIN_MS, options);
  }

  /** The coordinator's wait until a rank has contributed to a step, which must not be granted yet. */
  untilBegun(index: number, options: WaitOptions): MaybePromise {
    return this.#until(WORD.progress, BEGUN, index + 1, 0, options);
  }

  /** The coordinator's wait until all ranks have contributed to a step, which must not be granted yet. */
  untilContributed(index: number, options: WaitOptions): MaybePromise {
    return this.#until(WORD.progress, WORD.contributed, index + 1, 0, options);
  }

  /**
   * The coordinator's wait until all ranks have made the sum of a step.
   *
   * @param wakeAt Number of summed steps at which it is woken; at most as many as are granted
   */
  untilSummed(index: number, wakeAt: number, options: WaitOptions): MaybePromise {
    Atomics.store(this.#words, WAKE_AT, wakeAt);
    return this.#until(WORD.progress, WORD.summed, index + 1, 0, options);
  }

  /** Ends this process's waits with an error, now and later. */
  close(error: Error): void {
    this.#closed ??= error;
    for (const word of Object.values(WORD)) this.#futex.wake(word);
  }

  /**
   * Waits until the number at `counter` is `least` or more.
   *
   * @param word Changes, and is woken, when the number does
   */
  #until(
    word: number,
    counter: number,
    least: number,
    spinMs: number,
    options: WaitOptions,
  ): MaybePromise {
    if (this.#load(counter) >= least) return undefined;
    if (spinMs > 0 && this.#spin(counter, least, performance.now() + spinMs)) return undefined;
    const words = this.#words;
    Atomics.add(words, word + SLEEPERS, 1);
    const seen = this.#load(word);
    if (this.#load(counter) < least) this.#futex.waitBlocking(word, seen);
    Atomics.sub(words, word + SLEEPERS, 1);
    if (this.#load(counter) >= least) return undefined;
    return this.#sleepUntil(word, counter, least, options);
  }

  /** Computing takes its time, so nobody is woken for a part of a vector. */
  async #pollOffers(
    rank: number,
    begin: number,
    { signal, timeoutMs, silence, onLook }: WaitOptions,
  ): Promise<void> {
    let silentMs = 0;
    let [known, lastLook] = ["", performance.now()];
    while (this.offered > begin) {
      if (this.#closed) throw this.#closed;
      await delay(OFFER_POLL_MS, signal);
      const begins = this.#begins();
      const now = performance.now();
      const isStill = begins.join() === known && begins[rank] === 0;
      silentMs = isStill ? silentMs + Math.min(now - lastLook, MAX_LOOK_MS) : 0;
      [known, lastLook] = [begins.join(), now];
      if (silentMs >= timeoutMs) throw silence(Math.round(timeoutMs / 1000));
      onLook?.();
    }
  }

  #begins(): number[] {
    return Array.from({ length: this.worldSize }, (_, rank) => this.#load(wordOf(rank, "begin")));
  }

  #spin(counter: number, least: number, end: number): boolean {
    do {
      for (let look = 0; look < LOOKS; look++) {
        if (this.#load(counter) >= least) return true;
      }
    } while (performance.now() < end);
    return false;
  }

  async #sleepUntil(
    word: number,
    counter: number,
    least: number,
    { signal, timeoutMs, silence, onLook }: WaitOptions,
  ): Promise<void> {
    const lookAgain = () => void this.#futex.wake(word);
    signal?.addEventListener("abort", lookAgain);
    Atomics.add(this.#words, word + SLEEPERS, 1);
    try {
      let arrivals = this.#arrivals();
      let silentMs = 0;
      let lastLook = performance.now();
      for (;;) {
        const seen = this.#load(word);
        if (this.#load(counter) >= least) return;
        signal?.throwIfAborted();
        if (this.#closed) throw this.#closed;
        await this.#futex.wait(word, seen);
        const [known, now] = [arrivals, performance.now()];
        arrivals = this.#arrivals();
        const hasArrived = arrivals.some((count, rank) => count !== known[rank]);
        silentMs = hasArrived ? 0 : silentMs + Math.min(now - lastLook, MAX_LOOK_MS);
        lastLook = now;
        if (this.#load(counter) >= least) return;
        if (silentMs >= timeoutMs) throw silence(Math.round(timeoutMs / 1000));
        onLook?.();
      }
    } finally {
      Atomics.sub(this.#words, word + SLEEPERS, 1);
      signal?.removeEventListener("abort", lookAgain);
    }
  }

  /** Wakes those who sleep until a word changes, after it has. */
  #wake(word: number): void {
    if (this.#load(word + SLEEPERS) > 0) this.#futex.wake(word);
  }

  /** Ends of phases that each rank has arrived at. */
  #arrivals(): number[] {
    return Array.from(
      { length: this.worldSize },
      (_, rank) => this.#load(wordOf(rank, "arrivals")),
    );
  }

  #load(word: number): number {
    return Atomics.load(this.#words, word);
  }
}

function wordOf(rank: number, name: keyof typeof RANK_WORD): number {
  return RANKS + rank * LINE + RANK_WORD[name];
}
