/**
 * Writes the history of a run as it grows, with a cost that doesn't grow with the run.
 *
 * A short history is written whole each time. A long one gains lines in `history.jsonl`, and is written whole again
 * when it has grown by a quarter: all writes together are a small multiple of its last size, whatever the number of
 * epochs. `readHistory` puts both together, so that a killed process loses nothing.
 *
 * @module
 */
import { join } from "node:path";
import {
  type History,
  HISTORY_FILE,
  HISTORY_LOG_FILE,
  writeHistory,
  writeHistoryTable,
  writeLossTable,
} from "./history.ts";
import { LineFile } from "./jsonl_file.ts";

/** A history of fewer bytes is written whole each time. */
const SMALL_BYTES = 256 * 1024;
/** A longer one when its log has grown to this share of it. */
const GROWTH = 0.25;

/** Does what may fail without ending the run. */
export type Attempt = (what: string, action: () => Promise<void>) => Promise<unknown>;

/** The history of one run folder. */
export class HistoryWriter implements Disposable {
  readonly #folder: string;
  readonly #attempt: Attempt;
  /** Lengths of the lists, and the best epoch, as they were written last; nothing before the first time. */
  #written: { at: readonly number[]; best: number } | undefined;
  /** The log of a history that is too long to be written whole each time. */
  #log: LineFile | undefined;
  #logBytes = 0;
  #wholeBytes = 0;

  /**
   * @param folder The run folder
   * @param attempt Writes the tables for spreadsheets, without which the run goes on
   */
  constructor(folder: string, attempt: Attempt) {
    this.#folder = folder;
    this.#attempt = attempt;
  }

  /** Puts on record what is new; when this returns, `readHistory` gives all of it, whatever happens then. */
  async save(history: History): Promise<void> {
    if (this.#log && this.#hasOnlyGrown(history)) {
      this.#append(this.#log, history);
      if (this.#logBytes < GROWTH * this.#wholeBytes) return;
    }
    await this.#saveWhole(history, this.#wholeBytes >= SMALL_BYTES);
  }

  /** Writes the history whole for the last time, if something is new or in the log: a failed epoch's losses are. */
  async finish(history: History): Promise<void> {
    if (this.#log || this.#isBeyondFile(history)) await this.#saveWhole(history, false);
  }

  /** Closes the log. */
  [Symbol.dispose](): void {
    this.#log?.close();
  }

  /**
   * The new file names the log that it goes on in by an id of its own: the old log, of which nothing is missing in
   * the file, no longer counts from the moment of the renaming.
   */
  async #saveWhole(history: History, withLog: boolean): Promise<void> {
    const id = withLog ? crypto.randomUUID() : undefined;
    await writeHistory(this.#folder, history, id);
    this.#log?.close();
    this.#log = undefined;
    await Deno.remove(join(this.#folder, HISTORY_LOG_FILE)).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    this.#wholeBytes = (await Deno.stat(join(this.#folder, HISTORY_FILE))).size;
    this.#written = { at: lengthsOf(history), best: history.best.epoch };
    if (id !== undefined) {
      this.#log = new LineFile(join(this.#folder, HISTORY_LOG_FILE));
      this.#log.append(JSON.stringify({ log: id }));
      this.#logBytes = 0;
    }
    await this.#attempt("history.csv", () => writeHistoryTable(this.#folder, history));
    await this.#attempt("losses.csv", () => writeLossTable(this.#folder, history));
  }

  /** Tells whether the lists differ from those that were written last; empty ones need no file. */
  #isBeyondFile(history: History): boolean {
    const at = this.#written?.at;
    return lengthsOf(history).some((length, list) => length !== (at?.[list] ?? 0));
  }

  #hasOnlyGrown(history: History): boolean {
    const { at } = this.#written!;
    return lengthsOf(history).every((length, list) => length >= at[list]);
  }

  #append(log: LineFile, history: History): void {
    const { at, best } = this.#written!;
    const recoveries = history.recoveries?.slice(at[3]) ?? [];
    const line = JSON.stringify({
      epochs: history.epochs.slice(at[0]),
      losses: history.losses.slice(at[1]),
      validations: history.validations.slice(at[2]),
      ...(history.best.epoch === best ? {} : { best: history.best }),
      ...(history.stopped ? { stopped: history.stopped } : {}),
      ...(recoveries.length > 0 ? { recoveries } : {}),
    });
    log.append(line);
    log.sync();
    this.#logBytes += line.length + 1;
    this.#written = { at: lengthsOf(history), best: history.best.epoch };
  }
}

function lengthsOf(
  { epochs, losses, validations, recoveries = [] }: History,
): readonly number[] {
  return [epochs.length, losses.length, validations.length, recoveries.length];
}
