/**
 * The events of a run with their times: `events.jsonl`, one JSON object per line, only ever appended to.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { maskSecrets } from "../base/secrets.ts";
import { visibleJson } from "../base/visible_text.ts";
import { LineFile, linesOf, parseLine } from "./jsonl_file.ts";

/** Name of the log in a run folder. */
export const EVENTS_FILE = "events.jsonl";

/** Runs an action whose errors it may keep to itself. */
export type Guard = (action: () => void) => void;

/**
 * Appends events to `events.jsonl`. Each event is one write, so that a killed process leaves whole lines,
 * and a resumed run goes on in the same file.
 */
export class EventLog implements Disposable {
  #file: LineFile | undefined;
  readonly #guard: Guard;

  /**
   * @param folder The run folder; its log is made when missing
   * @param guard Runs what opens the log and appends lines, and may keep its errors from the caller
   */
  constructor(folder: string, guard: Guard = (append) => append()) {
    this.#guard = guard;
    guard(() => this.#file = new LineFile(join(folder, EVENTS_FILE)));
  }

  /**
   * Appends `{ "time": …, "type": …, …fields }`; nothing after {@linkcode EventLog.close}.
   *
   * @param type What happened, such as `epoch-done`
   * @param fields More about it; must be JSON-like and without the keys `time` and `type`
   */
  append(type: string, fields: Record<string, unknown> = {}): void {
    const line = maskSecrets(visibleJson({ time: new Date().toISOString(), type, ...fields }));
    this.#guard(() => this.#file?.append(line));
  }

  /** Closes the file; may be called more than once. */
  close(): void {
    this.#file?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const eventSchema = z.looseObject({ time: z.iso.datetime(), type: z.string() });

/** A line of `events.jsonl`; its other fields are those of its type. */
export type LoggedEvent = z.output<typeof eventSchema>;

/** The event of a line, or `undefined` where it holds none. */
export function parseEvent(line: string): LoggedEvent | undefined {
  return eventSchema.safeParse(parseLine(line)).data;
}

/**
 * Tells whether a run makes again what comes after the place of an event: it is resumed, or goes back to a checkpoint
 * since all workers were lost.
 */
export function isReturn({ type, policy }: LoggedEvent): boolean {
  return type === "started" || type === "resumed" ||
    (type === "recovery" && policy === "checkpoint");
}

/** The events that still count: without the epochs, validations and stops that the run makes again. */
export function standingEvents(events: readonly LoggedEvent[]): LoggedEvent[] {
  let standing: LoggedEvent[] = [];
  for (const event of events) {
    if (isReturn(event)) standing = standing.filter((earlier) => !isMadeAgain(earlier, event));
    standing.push(event);
  }
  return standing;
}

function isMadeAgain(event: LoggedEvent, begin: LoggedEvent): boolean {
  const epoch = Number(event.epoch) - Number(begin.epoch);
  const step = Number(event.step) - Number(begin.step);
  if (event.type === "epoch") return epoch >= 0;
  if (event.type === "validation") return epoch > 0 || (epoch === 0 && step > 0);
  return event.type === "stopped" && (epoch > 0 || (epoch === 0 && step >= 0));
}

/** The events of a run folder, oldest first; lines that hold none are left out. */
export async function readEvents(folder: string): Promise<LoggedEvent[]> {
  const bytes = await readRegularFile(join(folder, EVENTS_FILE));
  return [...linesOf(bytes)].flatMap(({ text }) => parseEvent(text) ?? []);
}
