/**
 * The reports of a run at work: the trainer speaks to a {@linkcode Reporter}, never to the console.
 *
 * @module
 */
import type { ProgressEvent } from "../provision/progress.ts";
import type { EpochRecord } from "../records/history.ts";

/** The progress of a download or another part of the set-up. */
export type DownloadEvent = ProgressEvent;

/** A part of an epoch that begins. */
export interface Phase {
  /** The name of the phase. */
  name: "train" | "validate" | "evaluate";
  /** Counted from 1. */
  epoch: number;
  /** Epochs of the run. */
  epochs: number;
  /** Samples of the phase. */
  total: number;
  /** Samples already done, when a run is resumed within an epoch. */
  done?: number;
}

/** The progress of the phase. */
export interface PhaseProgress {
  /** Samples done since the phase began. */
  done: number;
  /** Mean loss so far, or of the last step. */
  loss?: number;
  /** All workers together; computed from `done` and the clock when left out. */
  imagesPerSecond?: number;
}

/** The outcome of a run. */
export interface Summary {
  /** Wall time of the whole run. */
  seconds: number;
  /** Of the validation, 0 … 1. */
  bestAccuracy: number;
  /** 0 when no epoch was finished. */
  bestEpoch: number;
  /** The run folder. */
  folder: string;
  /** Path of its report, where that was written. */
  report?: string;
  /** True if the run was ended by a signal. */
  interrupted?: boolean;
}

/** The listener of a run. */
export interface Reporter {
  /** A line of news. */
  info(line: string): void;
  /** Something that a person should look at; the run goes on. */
  warn(line: string): void;
  /** A line that a worker wrote: shown as `[rank 1] …` when verbose; the last 20 per rank are kept. */
  workerLine(rank: number, line: string): void;
  /** Shows the kept lines of a rank that failed, unless they have been shown. */
  workerFailed(rank: number): void;
  /** A part of the set-up goes on. */
  download(event: DownloadEvent): void;
  /** A part of an epoch begins. */
  phase(phase: Phase): void;
  /** The part of the epoch goes on. */
  progress(progress: PhaseProgress): void;
  /** An epoch is trained, validated and on record. */
  epochDone(record: EpochRecord, epochs: number, best: boolean): void;
  /** The run has ended. */
  summary(summary: Summary): void;
  /** Leaves the terminal clean; may be called more than once. */
  close(): void;
}

/** A reporter that says nothing: the default of the API, and for tests. */
export function silentReporter(): Reporter {
  const nothing = () => {};
  return {
    info: nothing,
    warn: nothing,
    workerLine: nothing,
    workerFailed: nothing,
    download: nothing,
    phase: nothing,
    progress: nothing,
    epochDone: nothing,
    summary: nothing,
    close: nothing,
  };
}
