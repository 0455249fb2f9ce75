/**
 * The process that started this worker: it sends the settings, and its end ends the worker.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { parseWorkerSettings, type WorkerSettings } from "../protocol/worker_settings.ts";

/**
 * The process that started this worker is gone: the coordinator, or the agent of this host, without which others may go
 * on.
 */
export class OrphanedError extends LockstepError {
  override name = "OrphanedError";

  constructor() {
    super("The process that started this worker is gone");
  }
}

/** The settings that the parent process sent, and a promise of its end. */
export interface Parent {
  readonly settings: WorkerSettings;
  /** Resolves when the parent's end of our standard input closes: it is gone, or wants us to go. */
  readonly gone: Promise<void>;
}

/**
 * Reads this worker's settings from its standard input, and watches for its end from then on.
 *
 * @throws {LockstepError} When there are none
 */
export async function readParent(): Promise<Parent> {
  const reader = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) {
      throw new LockstepError("A worker gets its settings from the coordinator on standard input");
    }
    text += value;
  }
  const drain = async () => {
    while (!(await reader.read()).done);
  };
  return { settings: parseWorkerSettings(text), gone: drain().catch(() => {}) };
}
