/**
 * The lobby of a run's server, in which the agents of other hosts ask to join before they know the run.
 *
 * @module
 */
import type { RunIdentity } from "./subjects.ts";

/** Name of the lobby in its subjects, in the place of a run's id. */
export const LOBBY_ID = "hosts";

/**
 * Returns the identity under which messages of the lobby travel.
 *
 * @param key The key of its messages, which follows from the token
 */
export function lobbyOf(key: string): RunIdentity {
  return { runId: LOBBY_ID, key };
}
