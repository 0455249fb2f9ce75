/**
 * What is new in a run, read from its files: the same for a run of this process, of another, and for one that ended
 * long ago.
 *
 * @module
 */
import { join } from "node:path";
import { EVENTS_FILE, parseEvent, type RunEvent } from "../records/event_log.ts";
import { linesOf } from "../records/jsonl_file.ts";
import { readLiveStatus } from "../records/live_status.ts";
import { METRICS_FILE, parseMetrics } from "../records/metrics_log.ts";
import { RUN_LOG_FILE } from "../records/run_log.ts";
import { type RunState, stateOf } from "./run_list.ts";

/** A piece of news, JSON-like. */
export interface News {
  readonly type: "reset" | "events" | "metrics" | "log" | "live";
  readonly data: unknown;
}

/** Pictures of a run folder that the dashboard shows. */
export const PICTURES = ["batch.png", "predictions.png"];
/** The report of a run, which it opens. */
export const REPORT = "report.html";

const SHOWN_FILES = [...PICTURES, REPORT];

/** Bytes that are read at a time: what waits for a slow reader is no more. */
const PIECE = 256 * 1024;
/** Bytes of the log that a new reader gets. */
const LOG_TAIL = 32 * 1024;

/** A file that is read as it grows, line by line. */
class Tail {
  readonly #path: string;
  /** Bytes that are read. */
  offset: number;

  constructor(path: string, offset: number) {
    this.#path = path;
    this.offset = offset;
  }

  /** Begins near the end of the file, with a whole line. */
  async skipTo(bytesBeforeEnd: number): Promise<void> {
    const size = await this.#size();
    if (size > bytesBeforeEnd) this.offset = size - bytesBeforeEnd;
  }

  /**
   * The next lines, as far as one piece of the file goes.
   *
   * @returns `undefined` when the file isn't the one that was read before: it was cut off
   */
  async next(): Promise<string[] | undefined> {
    const size = await this.#size();
    if (size < this.offset) return undefined;
    if (size === this.offset) return [];
    using file = await Deno.open(this.#path);
    if (this.offset > 0 && !await startsAtLine(file, this.offset)) return undefined;
    const bytes = new Uint8Array(Math.min(PIECE, size - this.offset));
    await file.seek(this.offset, Deno.SeekMode.Start);
    const count = await file.read(bytes) ?? 0;
    const lines = [...linesOf(bytes.subarray(0, count))];
    const end = lines.at(-1)?.end ?? 0;
    // A line longer than a piece is none of ours.
    this.offset += end === 0 && count === PIECE ? count : end;
    return lines.map(({ text }) => text);
  }

  /** Moves to the beginning of a line. */
  async alignToLine(): Promise<void> {
    if (this.offset === 0) return;
    using file = await Deno.open(this.#path);
    await file.seek(this.offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(8192);
    const count = await file.read(bytes) ?? 0;
    const end = bytes.subarray(0, count).indexOf(0x0a);
    this.offset += end < 0 ? count : end + 1;
  }

  async #size(): Promise<number> {
    try {
      return (await Deno.stat(this.#path)).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0;
      throw error;
    }
  }
}

/** Whether the byte before an offset is a line break. */
async function startsAtLine(file: Deno.FsFile, offset: number): Promise<boolean> {
  const byte = new Uint8Array(1);
  await file.seek(offset - 1, Deno.SeekMode.Start);
  await file.read(byte);
  return byte[0] === 0x0a;
}

/** Follows one run for one reader. */
export class RunFeed {
  readonly #path: string;
  readonly #tails: { events: Tail; metrics: Tail; log: Tail };
  readonly #isNew: boolean;
  #events: RunEvent[] = [];
  #live = "";

  private constructor(path: string, offsets: readonly number[] | undefined) {
    this.#path = path;
    const [events, metrics, log] = offsets ?? [0, 0, 0];
    this.#isNew = offsets === undefined;
    this.#tails = {
      events: new Tail(join(path, EVENTS_FILE), events),
      metrics: new Tail(join(path, METRICS_FILE), metrics),
      log: new Tail(join(path, RUN_LOG_FILE), log),
    };
  }

  /**
   * Begins to follow.
   *
   * @param path The run folder
   * @param cursor Where an earlier reader was, by its {@linkcode RunFeed.cursor}
   */
  static async open(path: string, cursor?: string): Promise<RunFeed> {
    const offsets = cursor && /^\d{1,15}(\.\d{1,15}){2}$/.test(cursor)
      ? cursor.split(".").map(Number)
      : undefined;
    const feed = new RunFeed(path, offsets);
    if (feed.#isNew) {
      await feed.#tails.log.skipTo(LOG_TAIL);
      await feed.#tails.log.alignToLine();
    } else {
      await feed.#rememberEvents();
    }
    return feed;
  }

  /** Where this reader is. */
  get cursor(): string {
    const { events, metrics, log } = this.#tails;
    return [events, metrics, log].map(({ offset }) => offset).join(".");
  }

  /** What is new; an empty list when nothing is. Events come first: `resumed` says which points no longer count. */
  async news(): Promise<News[]> {
    const { events, metrics, log } = this.#tails;
    const news: News[] = [];
    const newEvents = await events.next();
    const newPoints = await metrics.next();
    if (newEvents === undefined || newPoints === undefined) {
      events.offset = metrics.offset = 0;
      this.#events = [];
      return [{ type: "reset", data: null }];
    }
    const parsed = newEvents.flatMap((line) => parseEvent(line) ?? []);
    this.#events.push(...parsed.filter(({ type }) => type !== "epoch" && type !== "skipped"));
    if (parsed.length > 0) news.push({ type: "events", data: parsed });
    const points = newPoints.flatMap((line) => parseMetrics(line) ?? []);
    if (points.length > 0) news.push({ type: "metrics", data: withoutOldRanks(points) });
    const lines = await log.next();
    if (lines === undefined) log.offset = 0;
    else if (lines.length > 0) news.push({ type: "log", data: lines });
    const status = await readLiveStatus(this.#path);
    const state: RunState = stateOf(this.#events, status);
    const data = { state, status: status ?? null, files: await this.#files() };
    const live = JSON.stringify(data);
    if (live !== this.#live) news.push({ type: "live", data });
    this.#live = live;
    return news;
  }

  /** When each of the files that can be looked at was made, in milliseconds since 1970. */
  async #files(): Promise<Record<string, number>> {
    const entries = await Promise.all(SHOWN_FILES.map(async (name) => {
      const stat = await Deno.lstat(join(this.#path, name)).catch(() => undefined);
      return stat?.isFile ? [[name, stat.mtime?.getTime() ?? 0]] : [];
    }));
    return Object.fromEntries(entries.flat());
  }

  /** Events that an earlier reader had: the state of the run depends on them. */
  async #rememberEvents(): Promise<void> {
    const until = this.#tails.events.offset;
    const before = new Tail(join(this.#path, EVENTS_FILE), 0);
    while (before.offset < until) {
      const lines = await before.next();
      if (!lines || lines.length === 0) break;
      this.#events.push(...lines.flatMap((line) => parseEvent(line) ?? []));
    }
  }
}

/** Ranks are shown as they are now: of earlier points they would only be weight. */
function withoutOldRanks<P extends { ranks: unknown; gpus?: unknown }>(points: readonly P[]) {
  return points.map((point, index) => {
    if (index === points.length - 1) return point;
    const { ranks: _ranks, gpus: _gpus, ...rest } = point;
    return rest;
  });
}
