/**
 * The point from which a run can be resumed, and a check whether any work is left.
 *
 * @module
 */
import { task } from "../../base/invocation.ts";
import { join } from "node:path";
import { UsageError } from "../../base/errors.ts";
import { exists } from "../../base/paths.ts";
import { shellWord } from "../../base/shell.ts";
import { readEvents } from "../../records/event_log.ts";
import { folderOf } from "../../checkpoint/checkpoint_names.ts";
import { HISTORY_FILE, readHistory } from "../../records/history.ts";

/** Folder of the checkpoints in a run folder. */
export const CHECKPOINTS = "checkpoints";

/** Thrown for a run that is complete: nothing is left to resume. */
export class RunCompleteError extends UsageError {
  override name = "RunCompleteError";
}

/**
 * The checkpoint to resume from.
 *
 * @param folder The run folder
 * @param from Name of a checkpoint of the run, such as `last-1`; `last` unless given
 * @returns `undefined` for a run that ended before its first checkpoint: it has to start over
 * @throws {UsageError} listing the existing checkpoints, when none has that name
 */
export async function resumePoint(folder: string, from?: string): Promise<string | undefined> {
  const has = async (name: string) => exists(await folderOf(join(folder, CHECKPOINTS, name)));
  if (from !== undefined) {
    if (!/^[^/\\]+$/.test(from) || !await has(from)) {
      throw new UsageError(
        `The run ${folder} has no checkpoint "${from}": ${await describeOthers(folder)}`,
      );
    }
    return from;
  }
  if (await has("last")) return "last";
  if (await has("last-1")) {
    throw new UsageError(
      `The run ${folder} has no checkpoints/last any more, but the one before it: ` +
        task(`train --resume ${shellWord(folder)} --from last-1`),
    );
  }
  const history = await exists(join(folder, HISTORY_FILE)) ? await readHistory(folder) : undefined;
  if (!await has("best") && (history?.losses.length ?? 0) + (history?.epochs.length ?? 0) === 0) {
    return undefined;
  }
  throw new UsageError(
    `The run ${folder} has made steps, but its checkpoints/last is missing: restore it, or start a new run`,
  );
}

async function describeOthers(folder: string): Promise<string> {
  const path = join(folder, CHECKPOINTS);
  const names: string[] = [];
  if (await exists(path)) {
    for await (const { name } of Deno.readDir(path)) {
      if (name.includes("@") || name.startsWith(".")) continue;
      const real = await folderOf(join(path, name));
      if (await exists(join(real, "optimizer.safetensors"))) names.push(name);
    }
  }
  return names.length === 0
    ? "it has none to go on from"
    : `give --from one that has an optimizer state: ${names.sort().join(", ")}`;
}

/** Tells whether a run's log records its end, report included; false if the log can't be read. */
export async function isComplete(folder: string): Promise<boolean> {
  const events = await readEvents(folder).catch(() => []);
  const types = events.map(({ type }) => type);
  const end = types.lastIndexOf("finished");
  const begin = Math.max(types.lastIndexOf("started"), types.lastIndexOf("resumed"));
  return end > begin && types.includes("report", end);
}
