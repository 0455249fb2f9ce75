/**
 * Detection of messages that arrive a second time, as in RFC 4303: the numbers of the last messages are remembered, and
 * older ones count as seen.
 *
 * @module
 */
import type { MessageNumber } from "./authentication.ts";

/** Messages that may overtake another one on their way. */
const WINDOW = 1024;

/** The messages of each link that have been accepted. */
export class SeenMessages {
  readonly #links = new Map<string, ReplayWindow>();

  /** Tells whether a message was accepted before, or is older than the first one of its link that was. */
  has({ link, number }: MessageNumber): boolean {
    return this.#links.get(link)?.has(number) ?? false;
  }

  /** Notes that a message whose header is authentic was accepted. */
  add({ link, number }: MessageNumber): void {
    const window = this.#links.get(link);
    if (window) window.add(number);
    else this.#links.set(link, new ReplayWindow(number));
  }
}

class ReplayWindow {
  readonly #seen = new Uint8Array(WINDOW).fill(1);
  #highest: number;

  constructor(first: number) {
    this.#highest = first;
  }

  has(number: number): boolean {
    if (number > this.#highest) return false;
    return number <= this.#highest - WINDOW || this.#seen[number % WINDOW] === 1;
  }

  add(number: number): void {
    const passed = Math.min(number - this.#highest, WINDOW);
    for (let back = 0; back < passed; back++) this.#seen[(number - back) % WINDOW] = 0;
    this.#highest = Math.max(this.#highest, number);
    this.#seen[number % WINDOW] = 1;
  }
}
