/**
 * The one stream of a run: what happens in it, as typed events, and whoever listens.
 *
 * History and checkpoints are state, not listeners: they are written by the run itself, and their errors count.
 *
 * @module
 */
import type { OpenedDevice } from "../base/compute_device.ts";
import { asLockstepError, messageOf } from "../base/errors.ts";
import type { EpochRecord, ValidationPoint } from "../records/history.ts";
import type { MetricsPoint } from "../records/metrics_log.ts";
import type { RecoveryPolicy } from "../records/recovery_record.ts";
import type { DownloadEvent, Phase, PhaseProgress, Summary } from "./reporter.ts";

/** Something that happened in a run. */
export type RunEvent =
  /** A line of news. */
  | { readonly type: "info"; readonly line: string }
  /** A line for people alone: it may hold a secret, and no record keeps it. */
  | { readonly type: "notice"; readonly line: string }
  /** Something that a person should look at; the run goes on. */
  | {
    readonly type: "warning";
    readonly message: string;
    /** True when `events.jsonl` keeps it, too. */
    readonly kept: boolean;
  }
  | { readonly type: "workerLine"; readonly rank: number; readonly line: string }
  | { readonly type: "workerFailed"; readonly rank: number }
  | { readonly type: "download"; readonly event: DownloadEvent }
  | { readonly type: "phase"; readonly phase: Phase }
  | { readonly type: "progress"; readonly progress: PhaseProgress }
  /** The run begins, or goes on. */
  | {
    readonly type: "started" | "resumed";
    readonly epoch: number;
    /** Steps of the epoch that are done. */
    readonly step: number;
    /** The checkpoint, unless it is the last one. */
    readonly from?: string;
    /** Changed keys of the config. */
    readonly changes?: readonly unknown[];
    /** Changed images. */
    readonly data?: unknown;
  }
  /** All workers have joined. */
  | { readonly type: "joined"; readonly workers: readonly unknown[]; readonly server: unknown }
  /** The devices that the workers have opened, in the order of the ranks. */
  | { readonly type: "devices"; readonly devices: readonly OpenedDevice[] }
  /** Workers were lost; a `recovery` follows, or the end of the run. */
  | {
    readonly type: "workersLost";
    /** The generation that they were of. */
    readonly generation: number;
    readonly epoch: number;
    /** Steps of the epoch that are on record. */
    readonly step: number;
    readonly during: "training" | "validation" | "saving";
    /** By rank. */
    readonly workers: readonly LostWorker[];
  }
  /** All workers have come together again. */
  | {
    readonly type: "recovery";
    /** The generation that begins. */
    readonly generation: number;
    readonly policy: RecoveryPolicy;
    /** The place from which the run goes on: the epoch, and its steps that are done. */
    readonly epoch: number;
    readonly step: number;
    /** The ranks that were replaced or removed, as they were numbered before. */
    readonly ranks: readonly number[];
    /** A sentence for each of these; one in all where no worker was lost, and the exchange between the ranks failed. */
    readonly reasons: readonly string[];
    /** Workers of the run from now on. */
    readonly workers: number;
    /** Restarts of workers within the last hour, with these. */
    readonly restarts: number;
    /** Time since the first loss was noticed. */
    readonly seconds: number;
  }
  /** An image is left out; each once. */
  | { readonly type: "skipped"; readonly path: string; readonly reason: string }
  /** Samples that were left out of BatchNorm's running statistics in an epoch. */
  | {
    readonly type: "statisticsLeftOut";
    readonly epoch: number;
    readonly steps: number;
    readonly samples: number;
  }
  /** A step was skipped, because loss or gradients were not finite. */
  | {
    readonly type: "stepSkipped";
    readonly epoch: number;
    /** Step of the epoch, counted from 0 as in messages. */
    readonly step: number;
    /** The first rank whose own loss or gradients were not finite; missing where only their sum was not. */
    readonly rank?: number;
    /** Skipped steps without one that was applied between them, this one included. */
    readonly inARow: number;
  }
  /** The features that the workers keep have grown. */
  | {
    readonly type: "features";
    readonly epoch: number;
    /** Images of each split, and the memory of all workers. */
    readonly kept: { readonly train: number; readonly val: number; readonly bytes: number };
    readonly workers: number;
    /** Bytes that each worker may keep. */
    readonly limit: number;
  }
  /** A point of training. */
  | { readonly type: "metrics"; readonly point: MetricsPoint }
  /** The network was validated. */
  | {
    readonly type: "validation";
    readonly point: ValidationPoint;
    /** Present before the first step and within an epoch, absent at its end. */
    readonly within?: {
      /** Steps of an epoch. */
      readonly steps: number;
      /** Mean loss of the epoch's training so far. */
      readonly trainLoss?: number;
      readonly secondsPerStep?: number;
    };
  }
  /** A picture was made. */
  | {
    readonly type: "picture";
    readonly name: string;
    /** Steps of the whole run. */
    readonly step: number;
    /** Returns the PNG, or nothing where there is none; called only when somebody wants it. */
    readonly draw: () => Promise<Uint8Array<ArrayBuffer> | undefined>;
  }
  /** An epoch is over and about to be saved: for what a resumed run takes back where it is ahead of the history. */
  | { readonly type: "epochEnded"; readonly record: EpochRecord }
  /** An epoch is on record. */
  | {
    readonly type: "epoch";
    readonly record: EpochRecord;
    /** Epochs of the run. */
    readonly epochs: number;
    readonly best: boolean;
  }
  /** An epoch or a stop of an earlier session, which that session's log lacks. */
  | { readonly type: "recovered"; readonly event: RecoveredEvent }
  /** Training ends before its last epoch. */
  | {
    readonly type: "stopped";
    readonly epoch: number;
    readonly step: number;
    readonly reason: string;
  }
  | {
    readonly type: "finished";
    readonly seconds: number;
    readonly best: { readonly epoch: number; readonly accuracy: number };
  }
  | { readonly type: "interrupted" | "failed"; readonly message: string }
  /** The report of this session is written. */
  | {
    readonly type: "report";
    /** True when the run is finished. */
    readonly finished: boolean;
  }
  | { readonly type: "summary"; readonly summary: Summary };

/** A worker that was lost. */
export interface LostWorker {
  readonly rank: number;
  readonly pid: number;
  readonly host: string;
  /** Its device, where that is a GPU. */
  readonly device?: string;
  /** The reason as a whole sentence, without the final period. */
  readonly reason: string;
}

/** An event that is logged later than it happened. */
export type RecoveredEvent =
  | { readonly type: "epoch"; readonly record: EpochRecord }
  | {
    readonly type: "stopped";
    readonly epoch: number;
    readonly step: number;
    readonly reason: string;
  };

/** Somebody who listens to a run. */
export interface RunListener {
  /** Names it in a warning, as in "The TensorBoard logger". */
  readonly name: string;
  /** Takes an event. The run waits for a promise where it calls {@linkcode RunEvents.settled}. */
  hear(event: RunEvent): void | Promise<void>;
}

/** Passes a run's events to its listeners, in the order in which they were added. */
export class RunEvents {
  #listeners: readonly RunListener[] = [];
  readonly #pending = new Set<Promise<void>>();

  /** Adds a listener to the events from now on. */
  add(listener: RunListener): void {
    this.#listeners = [...this.#listeners, listener];
  }

  /** Tells all listeners. One that fails is left out from then on, with a warning: it can't end the run. */
  emit(event: RunEvent): void {
    for (const listener of this.#listeners) {
      if (!this.hasListener(listener)) continue; // it failed in what an earlier listener said
      try {
        const hearing = listener.hear(event);
        if (hearing) this.#await(listener, hearing);
      } catch (error) {
        this.leaveOut(listener, error);
      }
    }
  }

  /** Tells whether a listener was added and hasn't failed. */
  hasListener(listener: RunListener): boolean {
    return this.#listeners.includes(listener);
  }

  /** Lets a run go on without a listener that failed, with a warning. */
  leaveOut(listener: Pick<RunListener, "name">, error: unknown): void {
    this.#listeners = this.#listeners.filter((other) => other !== listener);
    const message = `${listener.name} fails, the run goes on without it: ${
      messageOf(asLockstepError(error))
    }`;
    this.emit({ type: "warning", message, kept: false });
  }

  /** A line of news. */
  info(line: string): void {
    this.emit({ type: "info", line });
  }

  /** A warning that `events.jsonl` keeps. */
  warn(message: string): void {
    this.emit({ type: "warning", message, kept: true });
  }

  /** Waits until the listeners have done what earlier events made them do. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  #await(listener: RunListener, hearing: Promise<void>): void {
    const settled = hearing.catch((error) => {
      if (this.hasListener(listener)) this.leaveOut(listener, error); // once
    }).finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
  }
}
