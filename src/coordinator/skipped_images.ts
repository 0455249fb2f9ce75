/**
 * Messages of a run about images that it leaves out.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import type { EventLog } from "../records/event_log.ts";
import type { Reporter } from "../events/reporter.ts";
import type { Skipped } from "./epochs.ts";

/** Images that are named to the listener; the events name all of them. */
const MAX_NAMED = 50;

/** Reports each image once, however often it is skipped; after that, only the number of images. */
export class SkippedImages {
  readonly #reporter: Pick<Reporter, "warn">;
  readonly #events: Pick<EventLog, "append"> | undefined;
  readonly #known = new Set<string>();
  #named = 0;
  #again = -1;

  /** @param events Gets an event for each image, once */
  constructor(reporter: Pick<Reporter, "warn">, events?: Pick<EventLog, "append">) {
    this.#reporter = reporter;
    this.#events = events;
  }

  /** Images that were skipped, in a part of an epoch or in a validation. */
  report(skipped: readonly Skipped[]): void {
    if (skipped.length === 0) return;
    let fresh = 0;
    let unnamed = 0;
    for (const { path, reason } of skipped) {
      if (this.#known.has(path)) continue;
      this.#known.add(path);
      fresh++;
      this.#events?.append("skipped", { path, reason });
      if (this.#named < MAX_NAMED) this.#reporter.warn(`Skipped ${path}: ${reason}`);
      else unnamed++;
      this.#named++;
    }
    if (unnamed > 0) {
      const where = this.#events ? ": events.jsonl names all of them" : "";
      this.#reporter.warn(`Skipped ${unnamed} more images${where}`);
    }
    const again = skipped.length - fresh;
    if (again === 0 || again === this.#again) return;
    this.#again = again;
    this.#reporter.warn(`Skipped ${counted(again, "image")} again, named before`);
  }
}
