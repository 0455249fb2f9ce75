/**
 * The waits of a rank for those of other hosts: all of them end when the link does.
 *
 * @module
 */
import { RetriedWait } from "../../protocol/retried_wait.ts";

/** A wait for another host. */
export interface PeerWaitOptions {
  /** Milliseconds without any answer after which it fails. */
  readonly silenceMs: number;
  /** Milliseconds after which it fails although the other host answers; without limit unless given. */
  readonly timeoutMs?: number;
  readonly firstAskMs: number;
  readonly askAgain: () => void;
  readonly isExcused: () => boolean;
  /** Makes the failure. */
  readonly silence: (seconds: number) => Error;
  /** Makes the failure where the other host answers. */
  readonly standstill?: (seconds: number) => Error;
}

/** Waits for a rank of another host, and asks it again meanwhile; `begin` gets the wait, to end it. */
export type WaitForPeer = (
  askAgain: () => void,
  signal: AbortSignal | undefined,
  begin: (wait: RetriedWait<void>) => void,
) => Promise<void>;

/** All present waits of a link. */
export class PeerWaits {
  readonly #waits = new Set<RetriedWait<void>>();
  #ended: Error | undefined;

  /** Ends all waits, and all later ones. */
  end(error: Error): void {
    this.#ended ??= error;
    for (const wait of this.#waits) wait.fail(this.#ended);
  }

  /** Fails where the link has ended. */
  throwIfEnded(): void {
    if (this.#ended) throw this.#ended;
  }

  /** Has all that wait ask again, as messages may be lost. */
  askSoon(): void {
    for (const wait of this.#waits) wait.askSoon();
  }

  /**
   * Waits.
   *
   * @param begin Gets the wait, to end it
   * @throws The error of the options, of {@linkcode end}, or the signal's reason
   */
  async wait(
    options: PeerWaitOptions,
    signal: AbortSignal | undefined,
    begin: (wait: RetriedWait<void>) => void,
  ): Promise<void> {
    this.throwIfEnded();
    const { silenceMs, timeoutMs = Infinity, standstill = options.silence, ...retries } = options;
    const started = performance.now();
    const wait = new RetriedWait<void>({
      ...retries,
      timeoutMs: silenceMs,
      askAgain: () => {
        const elapsed = performance.now() - started;
        if (elapsed < timeoutMs) return retries.askAgain();
        wait.fail(standstill(Math.round(elapsed / 1000)));
      },
    });
    this.#waits.add(wait);
    begin(wait);
    try {
      await wait.result(signal);
    } finally {
      this.#waits.delete(wait);
    }
  }
}
