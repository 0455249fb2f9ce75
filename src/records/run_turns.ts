/**
 * The state of a run, by the last event that says how it stands and by whether it lives.
 *
 * @module
 */
import type { LoggedEvent } from "./event_log.ts";

/** The state of a run; `lost` means that it was killed, or that its machine went off. */
export type RunState = "running" | "finished" | "interrupted" | "failed" | "lost";

const ENDS = ["finished", "interrupted", "failed"] as const;
const BEGINNINGS = ["started", "resumed"];

/** Tells whether an event says how the run stands from then on. */
export function isTurn({ type }: Pick<LoggedEvent, "type">): boolean {
  return BEGINNINGS.includes(type) || ENDS.some((end) => end === type);
}

/** Tells whether a session of the run begins with an event. */
export function isBeginning({ type }: Pick<LoggedEvent, "type">): boolean {
  return BEGINNINGS.includes(type);
}

/**
 * Returns a run's state.
 *
 * @param turn Type of its last turn, see {@linkcode isTurn}
 * @param lives True while its `live.json` is renewed
 */
export function stateAfter(turn: string | undefined, lives: boolean): RunState {
  return ENDS.find((end) => end === turn) ?? (lives ? "running" : "lost");
}
