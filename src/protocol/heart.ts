/**
 * Signs of life, sent each second from a thread of their own: long synchronous work (tracing a step, drawing a
 * chart) doesn't look like death, a stopped or dead process does.
 *
 * @module
 */
import type { NatsAddress } from "./connection.ts";
import type { RunIdentity } from "./subjects.ts";

/** What the thread needs to speak for its process. */
export interface HeartSettings {
  readonly address: NatsAddress;
  readonly run: RunIdentity;
  /** Name in the messages: `coordinator` or `rank <n>`. */
  readonly from: string;
  readonly subject: string;
}

/** First message to the thread. */
export interface HeartStart extends HeartSettings {
  /** Two int32: epoch and step. */
  readonly place: SharedArrayBuffer;
}

/** Later messages to the thread. */
export interface HeartActivity {
  readonly activity: string;
}

/** A beating heart; stops with its process, or when told. */
export class Heart {
  readonly #thread: Worker;
  readonly #place: Int32Array;

  constructor(settings: HeartSettings) {
    this.#place = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
    this.#thread = new Worker(import.meta.resolve("./heart_thread.ts"), { type: "module" });
    // The thread failing means silence, which the partner notices and names; here it must not end the process.
    this.#thread.addEventListener("error", (event) => event.preventDefault());
    const start = { ...settings, place: this.#place.buffer };
    this.#thread.postMessage({
      ...start,
      address: { url: settings.address.url, token: settings.address.token },
    });
  }

  /** Where the process is; goes out with the next beat. */
  at(epoch: number, step: number): void {
    Atomics.store(this.#place, 0, epoch);
    Atomics.store(this.#place, 1, step);
  }

  /** What the process is doing, for people. */
  doing(activity: string): void {
    this.#thread.postMessage({ activity });
  }

  stop(): void {
    this.#thread.terminate();
  }
}
