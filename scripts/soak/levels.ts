/**
 * Memory, open files and threads of every process of a long run: level after a warm-up, or a leak.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { stringify } from "@std/yaml";
import { delay } from "../../src/base/async.ts";
import { median } from "../../src/base/statistics.ts";
import { TRUSTED_VARIABLE } from "../../src/base/trust.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { transformsFor } from "../../tests/support/images.ts";
import { startProcess } from "../../tests/support/tiny_run.ts";
import { TRAIN_COMMAND } from "./train_command.ts";
import { processesOf, type ProcessSize, RUN_VARIABLE, sizesOf } from "./run_processes.ts";

/** The measured quantities of a process. */
export const QUANTITIES = {
  residentKib: { name: "memory", unit: "MiB", scale: 1024 },
  files: { name: "open files", unit: "", scale: 1 },
  threads: { name: "threads", unit: "", scale: 1 },
} as const;

/** The growth of each quantity that counts as level. */
export type Tolerances = Readonly<Record<Quantity, number>>;

/** Growth of a process's memory that is its allocators' and no leak, in KiB: at all, per step, and per epoch. */
const MEMORY_KIB = { base: 8 * 1024, perStep: 1, perEpoch: 32 };
/** The coordinator draws charts, whose memory comes and goes. */
const CHARTS_KIB = 20 * 1024;
const MAX_MORE_FILES = 4;
const MAX_MORE_THREADS = 4;

/** The tolerances for so many steps and epochs: with each epoch the coordinator keeps more history. */
export function tolerancesFor(run: { steps: number; epochs: number }): Tolerances {
  const { base, perStep, perEpoch } = MEMORY_KIB;
  return {
    residentKib: base + perStep * run.steps + perEpoch * run.epochs,
    files: MAX_MORE_FILES,
    threads: MAX_MORE_THREADS,
  };
}

/** Name of a measured quantity. */
export type Quantity = keyof typeof QUANTITIES;

/** A measurement of all processes of a run. */
export interface LevelSample {
  /** Seconds since the first measurement. */
  readonly seconds: number;
  readonly sizes: readonly ProcessSize[];
}

/** Course of one quantity of one process. */
export interface Course {
  /** Its role, with its number where several have it. */
  readonly process: string;
  readonly quantity: Quantity;
  /** Median of the first tenth after the warm-up. */
  readonly level: number;
  /** Growth from the end of the warm-up to the end of the run. */
  readonly growth: number;
  readonly isLevel: boolean;
}

/** Share of a run that counts as its warm-up: caches fill, code is compiled, the heap finds its size. */
const WARM_UP = 0.4;
/** Milliseconds between two measurements. */
const EVERY_MS = 150;
/** Fewer measurements after the warm-up say nothing. */
const MIN_SAMPLES = 20;

/**
 * Settings under which memory shows a leak sooner: the heap collects its garbage when it has grown by a tenth, and the
 * C library keeps no memory per thread. Otherwise either may grow by tens of MiB before it gives something back.
 */
const STRICT = {
  DENO_V8_FLAGS: "--heap-growing-percent=10,--max-semi-space-size=2",
  MALLOC_ARENA_MAX: "1",
};

/** Steps of an epoch. */
const STEPS = { steps: 50, epochs: 2 } as const;
const BATCH = 4;
const SIDE = 12;

/** A kind of long run: many steps in few epochs, or many short epochs. */
export type LevelKind = keyof typeof STEPS;

/** Settings of {@linkcode measureLevels}. */
export interface LevelOptions {
  readonly kind: LevelKind;
  /** Steps or epochs after the warm-up. */
  readonly count: number;
  readonly exchange: "shared-memory" | "nats";
  /** Statement that each sample runs, for tests that inject a leak. */
  readonly leak?: string;
}

/** A long run's courses. */
export interface Levels {
  readonly courses: readonly Course[];
  readonly steps: number;
  readonly epochs: number;
  readonly seconds: number;
}

const datasetOf = (length: number, leak: string) => `
const image = { width: ${SIDE}, height: ${SIDE}, data: new Uint8Array(${SIDE * SIDE}).fill(90) };
const kept = [];
const sample = (index) => {
  ${leak};
  return { image, label: index % 2 };
};
export const createDataset = () => ({
  classes: ["a", "b"],
  train: { length: ${length}, sample },
  val: { length: 4, sample: (index) => ({ image, label: index % 2 }) },
  cheap: true,
});
`;

/**
 * Trains two workers for many steps or epochs, and measures their processes meanwhile.
 *
 * @param folder An empty folder, for the run
 * @throws {Error} when the run fails, or ends before it was measured often enough
 */
export async function measureLevels(
  folder: string,
  { kind, count, exchange, leak = "" }: LevelOptions,
): Promise<Levels> {
  const measured = kind === "steps" ? count / STEPS.steps : count;
  const epochs = Math.ceil(measured / (1 - WARM_UP));
  const module = join(folder, "data.ts");
  await Deno.writeTextFile(module, datasetOf(BATCH * STEPS[kind], leak));
  const transforms = transformsFor(SIDE);
  const config: ConfigInput = {
    name: kind,
    out: join(folder, "runs"),
    workers: 2,
    exchange,
    model: { name: "plain_cnn", weights: "none" },
    data: { module: pathToFileURL(module).href, train: transforms, val: transforms },
    train: { epochs, batchSize: BATCH, lr: 0.001, ema: { decay: 0.9 } },
  };
  const path = join(folder, "config.yaml");
  await Deno.writeTextFile(path, stringify(config));
  const mark = crypto.randomUUID();
  await using run = startProcess([...TRAIN_COMMAND, "--config", path], {
    cwd: folder,
    env: { ...STRICT, [RUN_VARIABLE]: mark, [TRUSTED_VARIABLE]: join(folder, "trusted") },
  });
  await run.seen(/epoch +1\//);
  const names = namesOf(await processesOf(mark));
  const start = performance.now();
  const samples: LevelSample[] = [];
  let hasEnded = false;
  run.result.finally(() => hasEnded = true);
  while (!hasEnded) {
    const seconds = (performance.now() - start) / 1000;
    const sizes = await sizesOf([...names.keys()]);
    // At the end the processes leave one by one.
    if (sizes.length === names.size) samples.push({ seconds, sizes });
    await delay(EVERY_MS);
  }
  const { code, stdout, stderr } = await run.result;
  if (code !== 0) throw new Error(`The run failed:\n${stdout}${stderr}`);
  const seconds = samples.at(-1)?.seconds ?? 0;
  return {
    courses: coursesOf(
      samples,
      names,
      tolerancesFor({ steps: measured * STEPS[kind], epochs: measured }),
    ),
    ...{ steps: epochs * STEPS[kind], epochs, seconds },
  };
}

/** Names of processes by pid: the role, numbered where several have it. */
function namesOf(processes: Awaited<ReturnType<typeof processesOf>>): Map<number, string> {
  const known = processes.filter(({ role }) => role !== "other").sort((a, b) => a.pid - b.pid);
  return new Map(known.map(({ pid, role }) => {
    const same = known.filter((other) => other.role === role);
    const number = same.findIndex((other) => other.pid === pid);
    return [pid, same.length === 1 ? role : `${role} ${number}`];
  }));
}

/**
 * Judges the course of each quantity of each process, after the warm-up.
 *
 * @param names Names of the processes, by pid
 * @throws {Error} when there are too few measurements
 */
export function coursesOf(
  samples: readonly LevelSample[],
  names: ReadonlyMap<number, string>,
  tolerances: Tolerances,
): Course[] {
  const end = samples.at(-1)?.seconds ?? 0;
  const kept = samples.filter(({ seconds }) => seconds >= WARM_UP * end);
  if (kept.length < MIN_SAMPLES) {
    throw new Error(`${kept.length} measurements are too few: the run was too short`);
  }
  return [...names].flatMap(([pid, process]) =>
    (Object.keys(QUANTITIES) as Quantity[]).map((quantity) => {
      const points = kept.map(({ seconds, sizes }) => ({
        at: seconds,
        value: sizes.find((size) => size.pid === pid)![quantity],
      }));
      const level = median(
        points.slice(0, Math.ceil(points.length / 10)).map(({ value }) => value),
      );
      const swing = process === "coordinator" && quantity === "residentKib" ? CHARTS_KIB : 0;
      const growth = slopeOf(points) * (points.at(-1)!.at - points[0].at);
      return {
        process,
        quantity,
        level,
        growth,
        isLevel: growth <= tolerances[quantity] + swing,
      };
    })
  );
}

/** The median of the slopes between all pairs of points (Theil and Sen): peaks of a few points don't change it. */
function slopeOf(points: readonly { at: number; value: number }[]): number {
  const slopes = points.flatMap((a, index) =>
    points.slice(index + 1).map((b) => (b.value - a.value) / (b.at - a.at))
  );
  return median(slopes);
}

/** A Markdown table of courses: a row per process. */
export function levelTable(courses: readonly Course[]): string[] {
  const processes = [...new Set(courses.map(({ process }) => process))];
  const shown = ({ quantity, level, growth, isLevel }: Course) => {
    const { scale, unit } = QUANTITIES[quantity];
    const text = (value: number) => (value / scale).toFixed(scale === 1 ? 0 : 1);
    const sign = growth < 0 ? "−" : "+";
    return `${text(level)}${unit && ` ${unit}`} ${sign} ${text(Math.abs(growth))}` +
      (isLevel ? "" : " GROWS");
  };
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const heads = ["process", ...Object.values(QUANTITIES).map(({ name }) => name)];
  return [
    line(heads),
    line(heads.map(() => "---")),
    ...processes.map((process) =>
      line([process, ...courses.filter((course) => course.process === process).map(shown)])
    ),
  ];
}
