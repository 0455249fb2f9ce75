/**
 * The process that started this worker: tells it what to do, and takes it along when it ends.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { parseWorkerSettings, type WorkerSettings } from "../protocol/worker_settings.ts";

/** What the parent process said, and whether it is still there. */
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
