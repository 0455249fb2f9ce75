/**
 * Reports images that a run skips.
 *
 * @module
 */
import { counted } from "../../base/format.ts";

/** An image that couldn't be read. */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/** Images that are named to the listener; the events name every skipped image. */
const MAX_NAMED = 50;

/** Listener for skipped images. */
export interface SkippedListener {
  warn(message: string): void;
  /** Gets each image once. */
  skipped?(image: Skipped): void;
}

/** Reports each image once, however often it is skipped; beyond a limit, reports only the number of images. */
export class SkippedImages {
  readonly #listener: SkippedListener;
  readonly #known = new Set<string>();
  #named = 0;
  #again = -1;

  constructor(listener: SkippedListener) {
    this.#listener = listener;
  }

  /** Images that were skipped in a part of an epoch or in a validation. */
  report(skipped: readonly Skipped[]): void {
    if (skipped.length === 0) return;
    let fresh = 0;
    let unnamed = 0;
    for (const { path, reason } of skipped) {
      if (this.#known.has(path)) continue;
      this.#known.add(path);
      fresh++;
      this.#listener.skipped?.({ path, reason });
      if (this.#named < MAX_NAMED) this.#listener.warn(`Skipped ${path}: ${reason}`);
      else unnamed++;
      this.#named++;
    }
    if (unnamed > 0) {
      const where = this.#listener.skipped ? ": events.jsonl names all of them" : "";
      this.#listener.warn(`Skipped ${unnamed} more images${where}`);
    }
    const again = skipped.length - fresh;
    if (again === 0 || again === this.#again) return;
    this.#again = again;
    this.#listener.warn(`Skipped ${counted(again, "image")} again, named before`);
  }
}
