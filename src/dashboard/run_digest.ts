/**
 * A run as its events tell it, read as they come: each byte of `events.jsonl` once.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { countNames, openedDeviceSchema } from "../base/compute_device.ts";
import { EVENTS_FILE, isReturn, type LoggedEvent, parseEvent } from "../records/event_log.ts";
import { LineTail } from "../records/line_tail.ts";
import { isTurn } from "../records/run_turns.ts";

/** The progress of a run, by its events. */
export interface RunProgress {
  /** Epochs that are on record. */
  readonly epochs: number;
  /** Of all epochs. */
  readonly seconds: number;
  /** Best validation accuracy and its epoch. */
  readonly best: { readonly accuracy: number; readonly epoch: number } | null;
  /** Times of the first and the last event; ISO 8601. */
  readonly started: string | null;
  readonly updated: string | null;
  /** The reason why the run ended before its last epoch; `null` where it didn't. */
  readonly message: string | null;
  /** Type of the last event that says how it stands. */
  readonly turn: string | undefined;
  /** The devices of the workers, such as `4 × NVIDIA L4`; `null` while they aren't known. */
  readonly devices: string | null;
  /** Workers of the present session, or of the last one; `null` while they haven't joined. */
  readonly workers: number | null;
  /** Recoveries from lost workers, and their seconds in all. */
  readonly recoveries: number;
  readonly recoverySeconds: number;
  /** True after a loss of workers until the run goes on. */
  readonly isRecovering: boolean;
  /** The last validation. */
  readonly validation: { readonly loss: number; readonly accuracy: number } | undefined;
}

/** The facts about an epoch that a summary needs. */
interface EpochFacts {
  readonly epoch: number;
  readonly seconds: number;
  readonly accuracy: number;
}

/** Of a run without events. */
export const NO_PROGRESS: RunProgress = {
  epochs: 0,
  seconds: 0,
  best: null,
  started: null,
  updated: null,
  message: null,
  turn: undefined,
  devices: null,
  workers: null,
  recoveries: 0,
  recoverySeconds: 0,
  isRecovering: false,
  validation: undefined,
};

/** Follows the events of one run. */
export class RunDigest {
  readonly #path: string;
  #tail: LineTail;
  #progress = NO_PROGRESS;
  #epochs: EpochFacts[] = [];
  #reading: Promise<unknown> = Promise.resolve();

  /** @param folder The run folder */
  constructor(folder: string) {
    this.#path = join(folder, EVENTS_FILE);
    this.#tail = new LineTail(this.#path, 0);
  }

  /** Returns the summary of all events so far; reads those that are new. */
  async progress(): Promise<RunProgress> {
    const own = this.#reading.then(() => this.#read());
    this.#reading = own.catch(() => {});
    await own;
    return this.#progress;
  }

  async #read(): Promise<void> {
    for (;;) {
      const before = this.#tail.offset;
      const lines = await this.#tail.next();
      if (lines === undefined) { // another file than before
        this.#tail = new LineTail(this.#path, 0);
        this.#progress = NO_PROGRESS;
        this.#epochs = [];
        continue;
      }
      for (const line of lines) {
        const event = parseEvent(line);
        if (event) this.#take(event);
      }
      if (this.#tail.offset === before) break;
    }
    this.#progress = { ...this.#progress, ...summaryOf(this.#epochs) };
  }

  /** Takes an event; a run that goes on makes the epochs from there on again. */
  #take(event: LoggedEvent): void {
    const { type, epoch, seconds } = event;
    this.#progress = after(this.#progress, event);
    if (typeof epoch !== "number" || !(type === "epoch" || isReturn(event))) return;
    while ((this.#epochs.at(-1)?.epoch ?? 0) >= epoch) this.#epochs.pop();
    if (type !== "epoch") return;
    const { accuracy = NaN } = measuresOf(event.validation) ?? {};
    this.#epochs.push({ epoch, accuracy, seconds: typeof seconds === "number" ? seconds : 0 });
  }
}

/** Applies an event to a run's progress, except for its epochs. */
function after(before: RunProgress, event: LoggedEvent): RunProgress {
  const { type, time } = event;
  const ended = type === "failed" || type === "interrupted";
  return {
    ...before,
    started: before.started ?? time,
    updated: time,
    message: ended && typeof event.message === "string" ? event.message : null,
    ...(isTurn(event) ? { turn: type } : {}),
    ...workersAfter(before, event),
    ...(type === "devices" ? { devices: devicesOf(event.devices) } : {}),
    ...(type === "validation" ? { validation: measuresOf(event) } : {}),
    ...(type === "epoch" ? { validation: measuresOf(event.validation) } : {}),
  };
}

/** Returns the changes that an event makes to the workers of a run. */
function workersAfter(
  { recoveries, recoverySeconds, workers }: RunProgress,
  event: LoggedEvent,
): Partial<RunProgress> {
  if (isTurn(event)) return { isRecovering: false };
  switch (event.type) {
    case "joined":
      return Array.isArray(event.workers) ? { workers: event.workers.length } : {};
    case "workersLost":
      return { isRecovering: true };
    case "recovery": {
      const { seconds } = event;
      return {
        isRecovering: false,
        recoveries: recoveries + 1,
        recoverySeconds: recoverySeconds + (typeof seconds === "number" ? seconds : 0),
        workers: typeof event.workers === "number" ? event.workers : workers,
      };
    }
    default:
      return {};
  }
}

/** Returns the summary of a run's epochs. */
function summaryOf(
  epochs: readonly EpochFacts[],
): Pick<RunProgress, "epochs" | "seconds" | "best"> {
  let best: RunProgress["best"] = null;
  let seconds = 0;
  for (const { epoch, accuracy, seconds: took } of epochs) {
    seconds += took;
    if (Number.isFinite(accuracy) && accuracy > (best?.accuracy ?? -1)) best = { accuracy, epoch };
  }
  return { epochs: epochs.at(-1)?.epoch ?? 0, seconds, best };
}

/** Describes the devices of an event; a file of others may hold anything. */
function devicesOf(value: unknown): string | null {
  const devices = z.array(openedDeviceSchema).safeParse(value).data;
  if (!devices) return null;
  const isOnCpu = devices.every(({ kind }) => kind === "cpu");
  return isOnCpu ? "CPU" : countNames(devices.map(({ name }) => name));
}

/** Loss and accuracy of a validation; a number that JSON has as `null` isn't one. */
function measuresOf(value: unknown): RunProgress["validation"] {
  if (typeof value !== "object" || value === null) return undefined;
  const { loss, accuracy } = value as Record<string, unknown>;
  const number = (each: unknown) => typeof each === "number" ? each : NaN;
  return { loss: number(loss), accuracy: number(accuracy) };
}
