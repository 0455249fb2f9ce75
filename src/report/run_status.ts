/**
 * The state of a run, by its events.
 *
 * @module
 */
import { shellWord } from "../base/shell.ts";
import type { LoggedEvent } from "../records/event_log.ts";
import { isBeginning, isTurn, type RunState, stateAfter } from "../records/run_turns.ts";

/** A state, or that there are no events to tell it. */
export type ReportedState = RunState | "unknown";

/** The state of a run, and what its events say of it. */
export interface RunStatus {
  readonly state: ReportedState;
  /** Of an interruption or a failure. */
  readonly message?: string;
  /** ISO 8601. */
  readonly started?: string;
  /** The last event. */
  readonly last?: string | undefined;
  /** Working time over all sessions, in seconds. */
  readonly seconds: number;
  /** Number of times that the run was begun or resumed. */
  readonly sessions: number;
}

/** Reads the state off a run's events, oldest first. */
export function runStatus(events: readonly LoggedEvent[], lives: boolean): RunStatus {
  let turn: string | undefined;
  let message: string | undefined;
  let seconds = 0;
  let sessions = 0;
  let begun: string | undefined;
  let before: string | undefined;
  const endSession = (time: string | undefined, recorded?: unknown) => {
    if (begun === undefined || time === undefined) return;
    const measured = (Date.parse(time) - Date.parse(begun)) / 1000;
    seconds += typeof recorded === "number" ? recorded : Math.max(0, measured);
    begun = undefined;
  };
  for (const { type, time, ...more } of events) {
    if (isTurn({ type })) turn = type;
    if (isBeginning({ type })) {
      endSession(before);
      [message, begun] = [undefined, time];
      sessions++;
    } else if (isTurn({ type })) {
      message = typeof more.message === "string" ? more.message : undefined;
      endSession(time, more.seconds);
    }
    before = time;
  }
  endSession(before);
  return {
    state: events.length === 0 ? "unknown" : stateAfter(turn, lives),
    ...(message === undefined ? {} : { message }),
    ...(events[0] ? { started: events[0].time, last: before } : {}),
    seconds,
    sessions,
  };
}

/** The command that goes on with a run or a comparison, ready for a shell. */
export function resumeCommand(folder: string, task: "train" | "compare" = "train"): string {
  return `deno task ${task} --resume ${shellWord(folder)}`;
}
