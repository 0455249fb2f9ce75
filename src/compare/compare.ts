/**
 * The life of a comparison: a plan of runs, each trained in a process of its own, and what they brought.
 *
 * The folder's `comparison.json` is the plan and the result at the same time; what a run has reached is read from
 * the run's own folder, so that a comparison goes on wherever it stopped.
 *
 * @module
 */
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { pathOption, shownPath } from "../base/file_path.ts";
import { exists } from "../base/paths.ts";
import { interruptedBy } from "../base/interruption.ts";
import { followPointers } from "../base/pointer.ts";
import { shownName } from "../base/names.ts";
import { shellWord } from "../base/shell.ts";
import { Semaphore } from "../base/semaphore.ts";
import type { LoadedConfig } from "../config/schema.ts";
import { DeviceShares, type Variables } from "./device_shares.ts";
import {
  type ComparedRun,
  type ComparedVariant,
  type Comparison,
  COMPARISON_FILE,
  isMeasured,
  readComparison,
  summarizeRun,
  writeComparison,
} from "./comparison.ts";
import { BestEffort } from "../events/best_effort.ts";
import { writeComparisonReport } from "./report/comparison_report.ts";
import { writeComparisonPlot } from "./comparison_plot.ts";
import {
  type CompareReporter,
  runLabel,
  type RunPlace,
  silentCompareReporter,
} from "./compare_reporter.ts";
import { isComplete } from "../coordinator/state/resume_point.ts";
import { earlyStopReason } from "../metrics/monitor.ts";
import { HISTORY_FILE, readHistory } from "../records/history.ts";
import { formatDuration } from "../base/format.ts";
import { lockFolder } from "../base/folder_lock.ts";
import { registerLive } from "../records/live_runs.ts";
import { createRunFolder, pointLatest } from "../records/run_folder.ts";
import { runMemberProcess } from "./member_process.ts";
import { differencesOf, type Variant } from "./variants.ts";

/** The settings of running a comparison. */
export interface CompareRunOptions {
  /** Runs that go on at the same time; 1 unless given. */
  readonly parallel?: number;
  /** Listens; silent unless given. */
  readonly reporter?: CompareReporter;
  /** Pass on all that the runs say. */
  readonly verbose?: boolean | undefined;
  /** Ends the runs at their next step, with checkpoints, and then with an `InterruptedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** The settings of a comparison. */
export interface CompareOptions extends CompareRunOptions {
  /** Part of the folder's name; that of the first variant's config unless given. */
  readonly name?: string;
  /** Folder that gets the comparison's folder; that of the first variant's config unless given. */
  readonly out?: string;
  /** Seeds per variant, from that of its config on; 1 unless given. */
  readonly repeats?: number;
}

/** The result of a comparison. */
export interface CompareResult {
  /** The comparison's folder. */
  readonly folder: string;
  /** The results of the variants, as in `comparison.json`. Runs may have failed: see their `status`. */
  readonly comparison: Comparison;
}

/** Name of the link to the newest comparison. */
const LATEST = "latest-compare";

/**
 * Trains all variants with all seeds, one after the other or some at the same time.
 *
 * @throws {UsageError} when there is nothing to compare, or the folder can't be made
 * @throws {InterruptedError} after an orderly stop by `options.signal`; {@linkcode resumeComparison} goes on
 */
export async function compareVariants(
  variants: readonly Variant[],
  options: CompareOptions = {},
): Promise<CompareResult> {
  using interruption = interruptedBy(options.signal);
  const [first] = variants;
  if (!first) throw new UsageError("There is nothing to compare: give at least one variant");
  const { name = first.config.name, repeats = 1 } = options;
  const out = pathOption("out", options.out ?? first.config.out);
  if (!Number.isSafeInteger(repeats) || repeats < 1) {
    throw new UsageError(`repeats is ${repeats}: give a whole number of at least 1`);
  }
  checkParallel(variants.map(({ config }) => config), options.parallel);
  const folder = await createRunFolder(out, `compare-${name}`);
  const differences = differencesOf(variants.map(({ config }) => config));
  const comparison: Comparison<LoadedConfig> = {
    comparisonVersion: 1,
    name,
    created: new Date().toISOString(),
    variants: variants.map(({ id, label, config }, index) => ({
      id,
      label,
      config,
      differences: differences[index],
      runs: Array.from({ length: repeats }, (_, repeat) => plannedRun(id, config, repeat, repeats)),
    })),
  };
  await writeComparison(folder, comparison);
  await pointLatest(out, folder, LATEST);
  return await runAll({ folder, comparison }, { ...options, signal: interruption.signal });
}

/**
 * Goes on with a comparison: what is finished stays, what was begun goes on from its last checkpoint, and what failed
 * is tried again.
 *
 * @example
 * ```ts
 * import { resumeComparison } from "@lockstep/lockstep";
 *
 * const { comparison } = await resumeComparison("runs/latest-compare");
 * for (const { label, runs } of comparison.variants) {
 *   console.log(label, runs.map(({ status }) => status)); // such as: Large [ "finished" ]
 * }
 * ```
 *
 * @param named The comparison's folder
 * @throws {UsageError} when it is none, or another process is at work on it
 * @throws {InterruptedError} after an orderly stop by `options.signal`
 */
export async function resumeComparison(
  named: string,
  options: CompareRunOptions = {},
): Promise<CompareResult> {
  using interruption = interruptedBy(options.signal);
  const folder = await followPointers(pathOption("folder", named));
  const comparison = await readComparison(folder);
  checkParallel(comparison.variants.map(({ config }) => config), options.parallel);
  return await runAll({ folder, comparison }, { ...options, signal: interruption.signal });
}

function plannedRun(
  id: string,
  config: LoadedConfig,
  repeat: number,
  repeats: number,
): ComparedRun {
  const seed = config.seed + repeat;
  const folder = repeats > 1 ? `${id}-seed-${seed}` : id;
  return { seed, folder, status: "waiting", epochs: [] };
}

/** Ports that a config asks for, by their keys. */
function portsOf({ nats, dashboard }: LoadedConfig): [key: string, port: number | undefined][] {
  const board = typeof dashboard === "object" ? dashboard.port : undefined;
  return [["nats.port", nats.port], ["dashboard.port", board]];
}

/** Runs that go on at the same time can't have the same port. */
function checkParallel(configs: readonly LoadedConfig[], parallel = 1): void {
  if (!Number.isSafeInteger(parallel) || parallel < 1) {
    throw new UsageError(`parallel is ${parallel}: give a whole number of at least 1`);
  }
  const fixed = configs.flatMap(portsOf).find(([, port]) => port !== undefined);
  if (parallel === 1 || !fixed) return;
  const [key, port] = fixed;
  throw new UsageError(
    `${key} is ${port}, but ${parallel} runs are to go on at the same time, each with a port of its own: ` +
      `leave ${key} unset, or let the runs go on one after the other`,
  );
}

/** A run and where it stands. */
interface Member {
  readonly variant: ComparedVariant<LoadedConfig>;
  readonly run: ComparedRun;
  readonly place: RunPlace;
}

async function runAll(
  { folder, comparison }: { folder: string; comparison: Comparison<LoadedConfig> },
  { parallel = 1, reporter = silentCompareReporter(), verbose = false, signal }: CompareRunOptions,
): Promise<CompareResult> {
  using _lock = await lockFolder(folder, {
    what: "Comparison",
    cure: "stop it with Ctrl-C",
    onWarning: (message) => reporter.warn(message),
  });
  using _live = await registerLive(
    { kind: "compare", name: comparison.name, folder: await Deno.realPath(folder) },
    { signal, onProblem: (problem) => reporter.warn(problem) },
  );
  const members = membersOf(comparison);
  for (const { run, variant } of members) {
    if (run.status !== "finished") await refresh(folder, run, variant.config);
  }
  reporter.info(`Comparison folder: ${shownPath(folder)}`);
  const record = recorder(folder, comparison, new BestEffort((line) => reporter.warn(line)));
  const semaphore = new Semaphore(parallel);
  const open = members.filter(({ run }) => run.status !== "finished");
  using shares = await DeviceShares.divide(open.map(({ variant }) => variant.config), parallel);
  const results = await Promise.allSettled(
    open.map((member) =>
      semaphore.run(async () => {
        if (signal?.aborted) return;
        await shares.lend((variables) =>
          runOne(folder, member, record, { reporter, verbose, signal, variables })
        );
      })
    ),
  );
  await record();
  for (const result of results) if (result.status === "rejected") throw result.reason;
  const unfinished = members.filter(({ run }) => run.status !== "finished").length;
  if (unfinished > 0) {
    reporter.info(
      `${unfinished} of ${members.length} runs are not finished; go on with: ` +
        `deno task compare --resume ${shellWord(shownPath(folder))}`,
    );
    signal?.throwIfAborted();
  }
  warnOfOtherData(comparison, reporter);
  warnOfNonFinite(members, reporter);
  return { folder, comparison };
}

/** All runs in their order: each seed's variants together, so that there is something to compare early. */
function membersOf({ variants }: Comparison<LoadedConfig>): Member[] {
  const repeats = Math.max(...variants.map(({ runs }) => runs.length));
  const all = Array.from(
    { length: repeats },
    (_, repeat) =>
      variants.flatMap((variant) =>
        variant.runs[repeat] ? [{ variant, run: variant.runs[repeat] }] : []
      ),
  ).flat();
  return all.map(({ variant, run }, index) => ({
    variant,
    run,
    place: {
      label: variant.label,
      seed: run.seed,
      number: index + 1,
      of: all.length,
      repeated: repeats > 1,
    },
  }));
}

/** Trains a run, or what is left of it. */
async function runOne(
  folder: string,
  { variant, run, place }: Member,
  record: () => Promise<void>,
  { reporter, verbose, signal, variables }:
    & { readonly reporter: CompareReporter; readonly verbose: boolean }
    & { readonly variables: Variables }
    & CompareRunOptions,
): Promise<void> {
  const path = join(folder, run.folder);
  const resume = await exists(join(path, "checkpoints", "last"));
  const { epochs } = variant.config.train;
  const name = runLabel(place);
  reporter.info(resume ? `${name}: goes on after epoch ${run.epochs.length} of ${epochs}` : name);
  run.status = "running";
  delete run.message;
  await record();
  const runReporter = reporter.run(place);
  try {
    const config = memberConfig(variant, run, folder);
    const { status, message } = await runMemberProcess(
      { config, folder: path, resume, verbose },
      runReporter,
      { variables, signal },
    );
    run.status = status === "interrupted" && !signal?.aborted ? "failed" : status;
    if (message !== undefined) run.message = message;
  } finally {
    runReporter.close();
  }
  const { status, message } = run;
  await refresh(folder, run, variant.config);
  await record();
  const { bestAccuracy, bestEpoch, seconds } = summarizeRun(run);
  if (status === "failed") reporter.warn(`${name} failed: ${message}`);
  else if (run.status === "finished") {
    reporter.info(
      `${name}: best ${
        Number.isFinite(bestAccuracy) ? `validation accuracy ${bestAccuracy.toFixed(3)} ` : ""
      }in epoch ${bestEpoch}, ` +
        formatDuration(seconds),
    );
  }
}

function memberConfig(
  { config, id }: ComparedVariant<LoadedConfig>,
  { seed }: ComparedRun,
  out: string,
): LoadedConfig {
  return { ...config, seed, out, name: shownName(`${config.name}-${id}`) ?? id };
}

/** Takes over what a run's own folder says: it may know of more than was put on record here. */
async function refresh(folder: string, run: ComparedRun, config: LoadedConfig): Promise<void> {
  const path = join(folder, run.folder);
  if (await exists(join(path, HISTORY_FILE))) {
    try {
      const { epochs, recoveries } = await readHistory(path);
      run.epochs = epochs;
      if (recoveries) run.recoveries = recoveries;
      else delete run.recoveries;
    } catch (error) {
      if (!(error instanceof UsageError)) throw error; // going on with the run will name what is wrong
    }
  }
  if (isOver(run, config) && await isComplete(path)) {
    run.status = "finished";
    delete run.message;
  } else if (run.status === "running") run.status = "interrupted";
}

/** Tells whether no epoch is left to train. */
function isOver({ epochs }: ComparedRun, { train }: LoadedConfig): boolean {
  const { earlyStopping } = train;
  return epochs.length >= train.epochs ||
    (earlyStopping !== undefined && earlyStopReason(earlyStopping, epochs) !== undefined);
}

/** Writes all files of the comparison; calls wait for each other, since runs may end at the same time. */
function recorder(
  folder: string,
  comparison: Comparison,
  effort: BestEffort,
): () => Promise<void> {
  let last = Promise.resolve();
  return () =>
    last = last.then(async () => {
      await writeComparison(folder, comparison);
      await effort.attempt("comparison.svg", () => writeComparisonPlot(folder, comparison));
      await effort.attempt(
        "The comparison's report",
        () => writeComparisonReport(folder, comparison),
        `try again with deno task report ${folder}`,
      );
    });
}

/** Says where numbers that are not finite stand as `null` in the files. */
function warnOfNonFinite(members: readonly Member[], reporter: CompareReporter): void {
  for (const { run: { epochs }, place } of members) {
    const bad = epochs.filter((record) =>
      !isMeasured(record) ||
      Object.values(record.metrics ?? {}).some((value) => !Number.isFinite(value))
    );
    if (bad.length === 0) continue;
    const never = bad.every(isMeasured)
      ? ""
      : "; an epoch with such a loss or accuracy is never the best";
    reporter.warn(
      `${
        runLabel(place)
      }: ${bad.length} of ${epochs.length} epochs have losses, accuracies or metrics that are NaN or ` +
        `infinite (epoch ${
          bad.map(({ epoch }) => epoch).join(", ")
        }): they stand as null in ${COMPARISON_FILE}${never}`,
    );
  }
}

/** Accuracies can be compared only on the same images. */
function warnOfOtherData({ variants }: Comparison, reporter: CompareReporter): void {
  const counts = variants.flatMap(({ label, runs }) => {
    const count = runs[0].epochs[0]?.validation.count;
    return count === undefined ? [] : [{ label, count }];
  });
  const other = counts.find(({ count }) => count !== counts[0].count);
  if (!other) return;
  reporter.warn(
    `${counts[0].label} was validated on ${
      counts[0].count
    } images, ${other.label} on ${other.count}: ` +
      "their accuracies are not of the same images",
  );
}
