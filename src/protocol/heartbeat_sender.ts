/**
 * Heartbeats, sent each second from a thread of their own: long synchronous work (tracing a step, drawing a
 * chart) doesn't look like death, a stopped or dead process does.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import type { NatsAddress } from "./address.ts";
import { STEP_PHASES, type StepPhase } from "./step_phases.ts";
import type { RunIdentity } from "./subjects.ts";

/** The settings with which the thread sends heartbeats for its process. */
export interface HeartbeatSettings {
  readonly address: NatsAddress;
  readonly run: RunIdentity;
  /** Name in the messages: `coordinator` or `rank <n>`. */
  readonly from: string;
  readonly subject: string;
}

/** Positions in the numbers that a process shares with its heartbeat thread. */
export const PLACE = { epoch: 0, step: 1, phase: 2, sample: 3, refused: 4 } as const;

/** First message to the thread. */
export interface HeartbeatStart extends HeartbeatSettings {
  /** Int32 values at the positions of {@linkcode PLACE}; the sample counts from 1, 0 is none. */
  readonly place: SharedArrayBuffer;
}

/** Later messages to the thread. */
export interface HeartbeatActivity {
  readonly activity: string;
}

/** A copy that can be sent to a thread. */
function addressOf(address: NatsAddress): NatsAddress {
  const { url, credentials, ca, tlsName, fingerprint, own, prefix } = address;
  return {
    url,
    ...given("credentials", credentials),
    ...given("ca", ca),
    ...given("tlsName", tlsName),
    ...given("fingerprint", fingerprint),
    ...given("own", own),
    ...given("prefix", prefix),
  };
}

/** Later message to the thread: the name and the subject of further heartbeats. */
export type HeartbeatName = Pick<HeartbeatSettings, "from" | "subject">;

/** Message of the thread: the server refuses the heartbeats. */
export interface HeartFailure {
  readonly failure: string;
}

/** Sends a heartbeat every second from a thread of its own, until its process ends or `stop()` is called. */
export class HeartbeatSender {
  readonly #thread: Worker;
  readonly #place: Int32Array;
  readonly #failed = new AbortController();

  constructor(settings: HeartbeatSettings) {
    const { length } = Object.keys(PLACE);
    this.#place = new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
    this.#thread = new Worker(import.meta.resolve("./heartbeat_thread.ts"), { type: "module" });
    // The thread failing means silence, which the partner notices and names; here it must not end the process.
    this.#thread.addEventListener("error", (event) => event.preventDefault());
    this.#thread.addEventListener("message", ({ data }: MessageEvent<HeartFailure>) => {
      this.#failed.abort(new LockstepError(data.failure));
    });
    const start = { ...settings, place: this.#place.buffer };
    this.#thread.postMessage({
      ...start,
      address: addressOf(settings.address),
    });
  }

  /** Fires with a {@linkcode LockstepError} when the server refuses the heartbeats. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Sets the process's epoch, step and phase; the next heartbeat carries them. */
  at(epoch: number, step: number, phase: StepPhase = "none"): void {
    Atomics.store(this.#place, PLACE.epoch, epoch);
    Atomics.store(this.#place, PLACE.step, step);
    Atomics.store(this.#place, PLACE.phase, STEP_PHASES.indexOf(phase));
  }

  /** Sets the sample that a data module has been making for the longest time; nothing when it makes none. */
  making(sample: number | undefined): void {
    Atomics.store(this.#place, PLACE.sample, sample === undefined ? 0 : sample + 1);
  }

  /** Adds one to the messages that the process didn't accept. */
  refused(): void {
    Atomics.add(this.#place, PLACE.refused, 1);
  }

  /** Sets the description, for people, of the process's activity. */
  doing(activity: string): void {
    this.#thread.postMessage({ activity });
  }

  /** Sends further heartbeats under another name. */
  rename({ from, subject }: HeartbeatName): void {
    this.#thread.postMessage({ from, subject });
  }

  stop(): void {
    this.#thread.terminate();
  }
}
