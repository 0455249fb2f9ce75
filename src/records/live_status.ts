/**
 * The position of a run at this moment, as `live.json`: written each second while it goes on, gone when it has ended.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { readRegularText } from "../base/regular_file.ts";
import { removeAtStop } from "../base/signals.ts";
import { parseLine } from "./jsonl_file.ts";
import { gpuUseSchema } from "./metrics_log.ts";

/** Name of the file in a run folder. */
export const LIVE_FILE = "live.json";

/** Milliseconds after which a `live.json` that isn't renewed means that the run was killed. */
const STALE_MS = 15_000;

const count = z.int().nonnegative();

const statusSchema = z.object({
  time: z.iso.datetime(),
  /** The coordinator's process, and the memory of it that is in RAM. */
  pid: count,
  residentBytes: count,
  /** The time when this process began with the run. */
  since: z.iso.datetime(),
  /** The phase: `starting`, `train`, `validate`, …. */
  phase: z.string(),
  /** Counted from 1; 0 before the first. */
  epoch: count,
  epochs: count,
  stepsPerEpoch: count,
  /** Samples of the phase, and how many of them are done. */
  total: count,
  done: count,
  /** All workers together, since the phase began. */
  imagesPerSecond: z.number().nonnegative().optional(),
  workers: z.array(z.object({
    rank: count,
    pid: count,
    host: z.string(),
    /** The GPU that it computes on, where it does. */
    gpu: z.object({ index: count, name: z.string() }).optional(),
    /** The worker's activity and position. */
    activity: z.string(),
    epoch: count,
    step: count,
    residentBytes: count,
    /** Milliseconds since its last heartbeat. */
    silentMs: z.number().nonnegative(),
  })),
  /** Recoveries from lost workers since this process began with the run. */
  recoveries: count.optional(),
  /** The workers that the run is recovering from at this moment, and the time of the first loss. */
  recovering: z.object({ since: z.iso.datetime(), ranks: z.array(count) }).optional(),
  /** Messages on the run's subjects that weren't accepted: by reason, and by all workers together. */
  refused: z.record(z.string(), count).optional(),
  /** None where the machine has none, or its driver says nothing. */
  gpus: z.array(gpuUseSchema),
});

/** The content of `live.json`. */
export type LiveStatus = z.output<typeof statusSchema>;

/** Replaces `live.json` as a whole; it isn't flushed to disk, since it is of no use after a crash. */
export async function writeLiveStatus(folder: string, status: LiveStatus): Promise<void> {
  const path = join(folder, LIVE_FILE);
  const temporary = `${path}.${Deno.pid}.tmp`;
  using _temporary = removeAtStop(temporary);
  try {
    await Deno.writeTextFile(temporary, JSON.stringify(status));
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // a full disk takes a part of it
    throw error;
  }
}

/** Removes `live.json` at the end of the run; one that can't be removed tells by its age that it is over. */
export async function removeLiveStatus(folder: string): Promise<void> {
  await Deno.remove(join(folder, LIVE_FILE)).catch(() => {});
}

/**
 * Reads the position of a run from its `live.json`.
 *
 * @returns Nothing when there is none, or when it is so old that the run must have been killed
 */
export async function readLiveStatus(
  folder: string,
  now: number = Date.now(),
): Promise<LiveStatus | undefined> {
  try {
    const path = join(folder, LIVE_FILE);
    if (!(await Deno.stat(path)).isFile) return undefined; // opening a pipe would wait for its other end
    const status = statusSchema.safeParse(parseLine(await readRegularText(path)));
    const isFresh = status.success && Math.abs(now - Date.parse(status.data.time)) < STALE_MS;
    return isFresh ? status.data : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
