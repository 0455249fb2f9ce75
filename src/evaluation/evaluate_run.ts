/**
 * Runs an evaluation: workers score each image once, and the results are written to a folder.
 *
 * @module
 */
import { basename, join } from "node:path";
import { calledPath } from "../base/called_paths.ts";
import { CPU_DEVICE, numberedDevice } from "../base/compute_device.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { lockFolder } from "../base/folder_lock.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { classificationReport } from "../metrics/report.ts";
import { BestEffort } from "../events/best_effort.ts";
import {
  completeRecord,
  EVALUATION_FOLDER,
  type EvaluationRecord,
  type ScoredImage,
} from "../records/evaluation_file.ts";
import { type LiveRegistration, registerLive } from "../records/live_runs.ts";
import { type Reporter, silentReporter } from "../events/reporter.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { exportParameters } from "../train/build_scorer.ts";
import { evaluationJobJson } from "../train/evaluation_job.ts";
import { rankedOf } from "../train/scores.ts";
import { compileKernels } from "../coordinator/preparation/compile_kernels.ts";
import { clusterSettings } from "../coordinator/preparation/cluster_settings.ts";
import { Cluster, failedRank } from "../cluster/cluster.ts";
import { driveValidation, type Validated } from "../coordinator/epochs/drive_validation.ts";
import { shareSamples } from "../coordinator/preparation/share_samples.ts";
import { SkippedImages } from "../coordinator/epochs/skipped_images.ts";
import { writeEvaluationFolder } from "./evaluation_folder.ts";
import {
  type EvaluationRequest,
  type PreparedEvaluation,
  prepareEvaluation,
} from "./prepare_evaluation.ts";

/** Options of an evaluation. */
export interface EvaluateRunOptions {
  /** Folder to write to; `evaluation` in the run's folder unless given, or here for a bare checkpoint. */
  readonly out?: string | undefined;
  /** Listens; silent unless given. */
  readonly reporter?: Reporter;
  /** Let TensorFlow write its notices. */
  readonly verbose?: boolean | undefined;
  /** Ends the evaluation; nothing is written then. */
  readonly signal?: AbortSignal | undefined;
}

/** Result of an evaluation. */
export interface EvaluatedRun {
  /** The folder with the files. */
  readonly folder: string;
  /** As in `evaluation.json`. */
  readonly record: EvaluationRecord;
}

/** Wrong predictions that are kept and shown. */
const MAX_MISTAKES = 16;
/** Milliseconds between two updates of the register. */
const REGISTER_MS = 1_000;

/**
 * Evaluates a checkpoint on all images of a set, over workers as a run's validation does, and writes what came out.
 *
 * @throws {UsageError} for what is wrong before the start: the run, the checkpoint, the images
 * @throws {LockstepError} for failures on the way
 */
export async function evaluateRun(
  request: EvaluationRequest,
  options: EvaluateRunOptions = {},
): Promise<EvaluatedRun> {
  const { reporter = silentReporter(), verbose, signal } = options;
  using live = await registerLive({ kind: "evaluate", name: nameOf(request) }, {
    signal,
    onProblem: (problem) => reporter.warn(problem),
  });
  using held = new DisposableStack();
  const prepared = await prepareEvaluation(request, { reporter, verbose, signal, held });
  using _scorer = prepared.scorer;
  using _images = prepared.dataset.source;
  const folder = options.out ?? join(prepared.trained.run ?? ".", EVALUATION_FOLDER);
  await Deno.mkdir(folder, { recursive: true }).catch((error) => {
    throw new UsageError(`${folder} can't be made: ${reasonOf(error)}; name another with --out`);
  });
  using _lock = await lockFolder(folder, {
    what: "The evaluation folder",
    cure: "name another folder with --out",
    onWarning: (message) => reporter.warn(message),
  });
  live.update({ folder: await Deno.realPath(folder) });
  const start = performance.now();
  const validated = await scoreOverWorkers(prepared, { reporter, signal, live });
  const seconds = (performance.now() - start) / 1000;
  new SkippedImages(reporter).report(validated.skipped);
  const images = imagesOf(prepared, validated);
  const run = prepared.trained.run && basename(await Deno.realPath(prepared.trained.run));
  const record = recordOf(prepared, validated, images, { run, seconds });
  const effort = new BestEffort((line) => reporter.warn(line));
  await writeEvaluationFolder(folder, record, images, prepared, effort);
  return { folder, record };
}

async function scoreOverWorkers(
  { config, job, dataset, split, scorer, server, compute }: PreparedEvaluation,
  { reporter, signal, live }: {
    readonly reporter: Reporter;
    readonly signal?: AbortSignal | undefined;
    readonly live: LiveRegistration;
  },
): Promise<Validated> {
  try {
    const { devices, libraryPath } = compute;
    if (devices && libraryPath !== undefined) {
      const needs = { devices, libraryPath, job, batches: { val: job.batchSize } };
      await compileKernels(needs, { reporter, signal });
    }
    using samples = shareSamples(dataset, reporter);
    await using cluster = await Cluster.assemble({
      ...clusterSettings(config, server, compute),
      job: evaluationJobJson({ ...job, ...(samples ? { samples: samples.place } : {}) }),
      reporter,
      signal,
    });
    live.update({
      workers: cluster.workers.map(({ rank, pid }) => ({
        ...{ rank, pid },
        device: numberedDevice(devices?.[rank] ?? CPU_DEVICE),
      })),
    });
    await cluster.callAll(WORKER_COMMANDS.loadState, null, {
      payload: exportParameters(scorer),
      signal,
    });
    return await driveValidation(
      {
        ...{ cluster, reporter: registeringReporter(reporter, live), dataset, metrics: [] },
        rowsPerStep: job.batchSize / config.workers,
        purpose: {
          ...{ phase: "evaluate", epochs: 1 },
          images: split === "train" ? "training" : "validation",
          cure: "nothing was written; evaluate another checkpoint",
        },
      },
      1,
      signal,
    );
  } catch (error) {
    const rank = failedRank(error);
    if (rank !== undefined) reporter.workerFailed(rank);
    throw error;
  }
}

/** Name of an evaluation: that of the run's folder, or of the checkpoint. */
function nameOf({ run, checkpoint }: EvaluationRequest): string {
  return basename(run ?? checkpoint ?? "") || "evaluation";
}

/** A reporter whose progress also stands in the register. */
function registeringReporter(
  reporter: Reporter,
  live: Pick<LiveRegistration, "update">,
): Pick<Reporter, "warn" | "phase" | "progress"> {
  let total = 0;
  let last = 0;
  return {
    warn: (line) => reporter.warn(line),
    phase: (phase) => {
      total = phase.total;
      reporter.phase(phase);
    },
    progress: (progress) => {
      reporter.progress(progress);
      if (performance.now() - last < REGISTER_MS) return;
      last = performance.now();
      const { done, imagesPerSecond } = progress;
      live.update({
        progress: { phase: "evaluate", done, total, ...given("imagesPerSecond", imagesPerSecond) },
      });
    },
  };
}

/** The images that were scored, in the order of the set. */
function imagesOf({ dataset: { val, classes } }: PreparedEvaluation, { samples }: Validated) {
  return val.flatMap(({ index, path, label }): (ScoredImage & { index: number })[] => {
    const scores = samples[index];
    if (!scores) return [];
    const { loss, ranked, probabilities } = scores;
    const names = ranked.map((own) => classes[own]);
    return [{ index, path, trueClass: classes[label], loss, ranked: names, probabilities }];
  });
}

function recordOf(
  { trained, config, job, dataset, split, compute }: PreparedEvaluation,
  { samples, loss, skipped }: Validated,
  images: readonly ScoredImage[],
  { run, seconds }: { run: string | undefined; seconds: number },
): EvaluationRecord {
  const { classes, val } = dataset;
  const scored = val.flatMap(({ index, label }) => {
    const scores = samples[index];
    return scores ? [{ label, ...scores }] : [];
  });
  const report = classificationReport({
    labels: scored.map(({ label }) => label),
    width: rankedOf(classes.length),
    ranked: scored.flatMap(({ ranked }) => ranked),
    probabilities: scored.flatMap(({ probabilities }) => probabilities),
  }, classes);
  const { count, ...measures } = report;
  const { epoch } = trained.info;
  return completeRecord({
    model: {
      name: trained.info.model.name,
      ...(run === undefined ? {} : { run }),
      ...(trained.config ? { runName: trained.config.name } : {}),
      checkpoint: trained.checkpoint,
      ...(epoch === undefined ? {} : { epoch }),
    },
    data: { root: calledPath(job.root), split, pictures: val.length, fingerprint: job.fingerprint },
    workers: config.workers,
    ...(compute.gpus.length > 0 ? { devices: [...compute.gpus] } : {}),
    seconds,
    classes,
    count,
    loss,
    ...measures,
    mistakes: mistakesOf(images),
    skipped: skipped.map(({ path, reason }) => ({ path, reason })),
  }, LOCKSTEP_VERSION);
}

/** The wrong predictions that the model was surest of; of equally sure ones the greater loss first. */
function mistakesOf(images: readonly ScoredImage[]): EvaluationRecord["mistakes"] {
  return images
    .filter(({ trueClass, ranked }) => ranked[0] !== trueClass)
    .sort((a, b) => b.probabilities[0] - a.probabilities[0] || b.loss - a.loss)
    .slice(0, MAX_MISTAKES)
    .map(({ path, trueClass, ranked, probabilities, loss }) => ({
      path,
      trueClass,
      predictedClass: ranked[0],
      probability: probabilities[0],
      loss,
    }));
}
