/**
 * The course of training, point by point: `metrics.jsonl` for programs, `metrics.csv` for spreadsheets.
 *
 * Both only ever grow, but for one moment: a run that is resumed after it was killed takes back the points that
 * its checkpoint doesn't know of, since it makes them again.
 *
 * @module
 */
import type { RecordedPoint } from "../base/step_key.ts";
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { type StepTimes, stepTimesShape } from "../base/step_times.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { LineFile, linesOf, parseLine } from "./jsonl_file.ts";

/** Name of the log in a run folder. */
export const METRICS_FILE = "metrics.jsonl";
/** The same for spreadsheets. */
export const METRICS_CSV = "metrics.csv";

/** JSON has no NaN: a non-finite loss is written as `null` and read back as NaN. */
const measured = z.number().nullable().transform((value) => value ?? NaN);
const count = z.int().nonnegative();
const milliseconds = z.number().nonnegative();

const rankSchema = z.object({
  rank: count,
  /** Samples that it trained on since the point before. */
  samples: count,
  imagesPerSecond: z.number().nonnegative(),
  /** Milliseconds of its step, means since the point before; `exchange` includes waiting for slower ranks. */
  ms: z.object(stepTimesShape),
  /** Memory of its process, as of its last heartbeat. */
  residentBytes: count.optional(),
});

const gpuSchema = z.object({
  index: count,
  name: z.string(),
  /** Share of the time that it worked, 0 … 1. */
  utilization: z.number().optional(),
  memoryUsedBytes: count.optional(),
  memoryTotalBytes: count.optional(),
  /** Degrees Celsius. */
  temperature: z.number().optional(),
});

const pointSchema = z.object({
  time: z.iso.datetime(),
  /** Counted from 1. */
  epoch: z.int().positive(),
  /** Steps of the epoch that are done. */
  step: count,
  /** Training images that were seen up to here, over all epochs. */
  examples: count,
  /** Means over the samples since the point before. */
  loss: measured,
  accuracy: measured,
  /** Of the last step. */
  learningRate: z.number(),
  /** Since the point before, all workers together. */
  imagesPerSecond: z.number().nonnegative(),
  /** Milliseconds of a step's parts, means over steps and ranks since the point before; they add up to `total`. */
  ms: z.object({
    data: milliseconds,
    forwardBackward: milliseconds,
    /** The all-reduce itself: the least time that a rank of the step spent in it. */
    exchange: milliseconds,
    /** Waiting for slower ranks: what a rank spent in the exchange beyond that. */
    idle: milliseconds,
    update: milliseconds,
    total: milliseconds,
  }),
  ranks: z.array(rankSchema),
  /** The machine's GPUs, where it has any. */
  gpus: z.array(gpuSchema).optional(),
});

/** One rank's part of a {@linkcode MetricsPoint}. */
export interface RankMetrics {
  /** Counted from 0. */
  rank: number;
  /** Samples that it trained on since the point before. */
  samples: number;
  /** Of this rank. */
  imagesPerSecond: number;
  /** Milliseconds of its step, means since the point before; `exchange` includes waiting for slower ranks. */
  ms: StepTimes;
  /** Memory of its process, as of its last heartbeat. */
  residentBytes?: number | undefined;
}

/** The use of a GPU. */
export interface GpuUse {
  /** As the driver counts. */
  index: number;
  /** As the driver calls it. */
  name: string;
  /** Share of the time that it worked, 0 … 1. */
  utilization?: number | undefined;
  /** Of all processes. */
  memoryUsedBytes?: number | undefined;
  /** The GPU's memory, in bytes. */
  memoryTotalBytes?: number | undefined;
  /** Degrees Celsius. */
  temperature?: number | undefined;
}

/** A line of `metrics.jsonl`. */
export interface MetricsPoint {
  /** ISO 8601, UTC. */
  time: string;
  /** Counted from 1. */
  epoch: number;
  /** Steps of the epoch that are done. */
  step: number;
  /** Training images that were seen up to here, over all epochs. */
  examples: number;
  /** Mean over the samples since the point before. */
  loss: number;
  /** Mean over the samples since the point before. */
  accuracy: number;
  /** Of the last step. */
  learningRate: number;
  /** Since the point before, all workers together. */
  imagesPerSecond: number;
  /**
   * Milliseconds of a step's parts, means over steps and ranks since the point before; they add up to `total`.
   * `exchange` is the all-reduce itself, `idle` the waiting for slower ranks.
   */
  ms: {
    data: number;
    forwardBackward: number;
    exchange: number;
    idle: number;
    update: number;
    total: number;
  };
  /** Rank by rank. */
  ranks: RankMetrics[];
  /** The machine's GPUs, where it has any. */
  gpus?: GpuUse[] | undefined;
}

/** A GPU's use; for other files that tell of it. */
export const gpuUseSchema = gpuSchema;

const CSV_COLUMNS = {
  time: ({ time }) => time,
  epoch: ({ epoch }) => epoch,
  step: ({ step }) => step,
  examples: ({ examples }) => examples,
  loss: ({ loss }) => loss,
  accuracy: ({ accuracy }) => accuracy,
  learning_rate: ({ learningRate }) => learningRate,
  images_per_second: ({ imagesPerSecond }) => imagesPerSecond,
  data_ms: ({ ms }) => ms.data,
  forward_backward_ms: ({ ms }) => ms.forwardBackward,
  exchange_ms: ({ ms }) => ms.exchange,
  idle_ms: ({ ms }) => ms.idle,
  update_ms: ({ ms }) => ms.update,
  step_ms: ({ ms }) => ms.total,
  slowest_rank: ({ ranks }) => slowestRank(ranks),
  resident_bytes: ({ ranks }) =>
    ranks.reduce((sum, { residentBytes = 0 }) => sum + residentBytes, 0) || "",
} satisfies Record<string, (point: MetricsPoint) => string | number>;

const CSV_HEADER = Object.keys(CSV_COLUMNS).join(",");

/** The rank that the others wait for: it needs most time before the exchange; empty where there is none. */
export function slowestRank(ranks: readonly RankMetrics[]): number | "" {
  const own = ({ ms }: RankMetrics) => ms.data + ms.forwardBackward;
  if (ranks.length < 2) return "";
  return ranks.reduce((slowest, rank) => own(rank) > own(slowest) ? rank : slowest).rank;
}

/** Appends to `metrics.jsonl` and `metrics.csv` of a run folder. */
export class MetricsLog implements Disposable {
  readonly #lines: LineFile;
  readonly #rows: LineFile;

  /** @param kept How many points and rows the files have of before */
  private constructor(folder: string, readonly kept: { points: number; rows: number }) {
    this.#lines = new LineFile(join(folder, METRICS_FILE));
    this.#rows = new LineFile(join(folder, METRICS_CSV));
  }

  /**
   * Opens both files; points later than `start`, which are made again, are taken back. The table is made anew of the
   * points, unless it has more rows of before than those are.
   *
   * @param folder The run folder; the files are made when missing
   */
  static async open(folder: string, start: RecordedPoint): Promise<MetricsLog> {
    const points = await cutAfter(join(folder, METRICS_FILE), start);
    const table = join(folder, METRICS_CSV);
    const old = await rowsUpTo(table, start);
    const rows = old.length > points.length ? old : points.map(csvRow);
    await Deno.writeTextFile(table, [CSV_HEADER, ...rows].join("\n") + "\n");
    return new MetricsLog(folder, { points: points.length, rows: rows.length });
  }

  append(point: MetricsPoint): void {
    this.#lines.append(JSON.stringify(point));
    this.#rows.append(csvRow(point));
  }

  /** Closes the files; may be called more than once. */
  close(): void {
    this.#lines.close();
    this.#rows.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function csvRow(point: MetricsPoint): string {
  return Object.values(CSV_COLUMNS).map((value) => value(point)).join(",");
}

/** The point of a line, or `undefined` where it holds none. */
export function parseMetrics(line: string): MetricsPoint | undefined {
  return pointSchema.safeParse(parseLine(line)).data;
}

/**
 * The points of a run folder, oldest first; lines that hold none are left out.
 *
 * @returns No points where the file is missing: runs of earlier versions have none
 */
export async function readMetrics(folder: string): Promise<MetricsPoint[]> {
  const bytes = await readIfThere(join(folder, METRICS_FILE));
  return [...linesOf(bytes)].flatMap(({ text }) => parseMetrics(text) ?? []);
}

/** Cuts a log off behind its last point up to `start`; returns the points that stay. */
async function cutAfter(path: string, { epoch, step }: RecordedPoint): Promise<MetricsPoint[]> {
  const bytes = await readIfThere(path);
  const kept: MetricsPoint[] = [];
  let length = 0;
  for (const { text, end } of linesOf(bytes)) {
    const point = parseMetrics(text);
    if (point && isLater(point, { epoch, step })) break;
    if (point) kept.push(point);
    length = end;
  }
  if (length < bytes.length) await Deno.truncate(path, length);
  return kept;
}

function isLater(point: RecordedPoint, start: RecordedPoint): boolean {
  return point.epoch > start.epoch || (point.epoch === start.epoch && point.step > start.step);
}

/** The whole rows of a table up to `start`; none of a table with other columns. */
async function rowsUpTo(path: string, start: RecordedPoint): Promise<string[]> {
  const text = new TextDecoder().decode(await readIfThere(path));
  const [header, ...rows] = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  if (header !== CSV_HEADER) return [];
  const columns = Object.keys(CSV_COLUMNS);
  return rows.filter((row) => {
    const cells = row.split(",");
    const [epoch, step] = ["epoch", "step"].map((name) => Number(cells[columns.indexOf(name)]));
    return cells.length === columns.length && !isLater({ epoch, step }, start);
  });
}

async function readIfThere(path: string): Promise<Uint8Array> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array();
    throw error;
  }
}
