/**
 * Distinguishes a server that has stalled from a partner that has.
 *
 * @module
 */
import type { Link } from "./link.ts";

/** Milliseconds that a server gets to answer. */
const ANSWER_MS = 1_500;
/** Milliseconds between two questions. */
const INTERVAL_MS = 2_000;

/** Asks a server again and again, while somebody wonders why nothing is heard. */
export class ServerWatch {
  readonly #link: Pick<Link, "answers">;
  #asking = false;
  #askedAt = -Infinity;
  #answered: boolean | undefined;

  constructor(link: Pick<Link, "answers">) {
    this.#link = link;
  }

  /** Records that a message came, so the server works. */
  heard(): void {
    this.#answered = true;
  }

  /**
   * Asks the server, unless it was asked just now.
   *
   * @returns Whether it answered the last question, or was heard since; `undefined` while that isn't known: then nobody
   *   is to be blamed yet
   */
  ask(): boolean | undefined {
    const now = performance.now();
    if (!this.#asking && now - this.#askedAt >= INTERVAL_MS) {
      this.#asking = true;
      this.#askedAt = now;
      if (this.#answered) this.#answered = undefined;
      void this.#link.answers(ANSWER_MS).then((answered) => {
        this.#answered = answered;
        this.#asking = false;
      });
    }
    return this.#answered;
  }
}
