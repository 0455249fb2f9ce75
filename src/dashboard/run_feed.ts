/**
 * The news of a run, read from its files: the same for a run of this process, of another, and for one that ended
 * long ago.
 *
 * @module
 */
import { join } from "node:path";
import { EVENTS_FILE, type LoggedEvent, parseEvent } from "../records/event_log.ts";
import { LineTail } from "../records/line_tail.ts";
import { readLiveStatus } from "../records/live_status.ts";
import { METRICS_FILE, parseMetrics } from "../records/metrics_log.ts";
import { RUN_LOG_FILE } from "../records/run_log.ts";
import { isTurn, type RunState, stateAfter } from "../records/run_turns.ts";

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

/** Bytes of the log that a new reader gets. */
const LOG_TAIL = 32 * 1024;

/** Follows one run for one reader. */
export class RunFeed {
  readonly #path: string;
  readonly #tails: { events: LineTail; metrics: LineTail; log: LineTail };
  readonly #isNew: boolean;
  /** Type of the last event that says how the run stands. */
  #turn: string | undefined;
  #live = "";

  private constructor(path: string, offsets: readonly number[] | undefined) {
    this.#path = path;
    const [events, metrics, log] = offsets ?? [0, 0, 0];
    this.#isNew = offsets === undefined;
    this.#tails = {
      events: new LineTail(join(path, EVENTS_FILE), events),
      metrics: new LineTail(join(path, METRICS_FILE), metrics),
      log: new LineTail(join(path, RUN_LOG_FILE), log),
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

  /** The position of this reader. */
  get cursor(): string {
    const { events, metrics, log } = this.#tails;
    return [events, metrics, log].map(({ offset }) => offset).join(".");
  }

  /**
   * Returns the news; an empty list when there is none. Events come first: `resumed` says which points no longer
   * count.
   */
  async news(): Promise<News[]> {
    const { events, metrics, log } = this.#tails;
    const news: News[] = [];
    const newEvents = await events.next();
    const newPoints = await metrics.next();
    if (newEvents === undefined || newPoints === undefined) {
      events.offset = metrics.offset = 0;
      this.#turn = undefined;
      return [{ type: "reset", data: null }];
    }
    const parsed = newEvents.flatMap((line) => parseEvent(line) ?? []);
    this.#remember(parsed);
    if (parsed.length > 0) news.push({ type: "events", data: parsed });
    const points = newPoints.flatMap((line) => parseMetrics(line) ?? []);
    if (points.length > 0) news.push({ type: "metrics", data: withoutOldRanks(points) });
    const lines = await log.next();
    if (lines === undefined) log.offset = 0;
    else if (lines.length > 0) news.push({ type: "log", data: lines });
    const status = await readLiveStatus(this.#path);
    const state: RunState = stateAfter(this.#turn, status !== undefined);
    const data = { state, status: status ?? null, files: await this.#files() };
    const live = JSON.stringify(data);
    if (live !== this.#live) news.push({ type: "live", data });
    this.#live = live;
    return news;
  }

  /** Times of the files that the page can show, in milliseconds since 1970. */
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
    const before = new LineTail(join(this.#path, EVENTS_FILE), 0);
    while (before.offset < until) {
      const lines = await before.next();
      if (!lines || lines.length === 0) break;
      this.#remember(lines.flatMap((line) => parseEvent(line) ?? []));
    }
  }

  #remember(events: readonly LoggedEvent[]): void {
    this.#turn = events.findLast(isTurn)?.type ?? this.#turn;
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
