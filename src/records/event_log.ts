/**
 * What happened in a run and when: `events.jsonl`, one JSON object per line, only ever appended to.
 *
 * @module
 */
import { join } from "node:path";

/** Name of the log in a run folder. */
export const EVENTS_FILE = "events.jsonl";

/**
 * Appends events to `events.jsonl`. Each event is one write, so that a killed process leaves whole lines,
 * and a resumed run goes on in the same file.
 */
export class EventLog implements Disposable {
  readonly #file: Deno.FsFile;
  #open = true;

  /** @param folder The run folder; its log is made when missing */
  constructor(folder: string) {
    this.#file = Deno.openSync(join(folder, EVENTS_FILE), { append: true, create: true });
  }

  /**
   * Appends `{ "time": …, "type": …, …fields }`; nothing after {@linkcode EventLog.close}.
   *
   * @param type What happened, such as `epoch-done`
   * @param fields More about it; must be JSON-like and without the keys `time` and `type`
   */
  append(type: string, fields: Record<string, unknown> = {}): void {
    if (!this.#open) return;
    const line = JSON.stringify({ time: new Date().toISOString(), type, ...fields });
    const bytes = new TextEncoder().encode(line + "\n");
    for (let offset = 0; offset < bytes.length;) {
      offset += this.#file.writeSync(bytes.subarray(offset));
    }
  }

  /** Closes the file; may be called more than once. */
  close(): void {
    if (this.#open) this.#file.close();
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
