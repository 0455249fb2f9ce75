/**
 * Everything that an evaluation needs before a worker starts: the trained model, the images, the programs.
 *
 * @module
 */
import { countNames, deviceName } from "../base/compute_device.ts";
import { counted } from "../base/format.ts";
import { listed } from "../base/listing.ts";
import { basename } from "node:path";
import { requireFileLimit } from "../base/file_limit.ts";
import { UsageError } from "../base/errors.ts";
import { globalBatchSize } from "../config/checks.ts";
import { modulesOf } from "../config/consent.ts";
import { validateKeys } from "../config/load.ts";
import { type Config, configSchema } from "../config/schema.ts";
import { checkFiles } from "../data/datasets/check_files.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { openEngineOnCpu } from "../engine/engine.ts";
import { scoringPrecision } from "../engine/precision.ts";
import { soleProcessThreads } from "../engine/threads.ts";
import { claimDevices } from "../gpus/claim_devices.ts";
import { cpuDevices, type FoundDevices } from "../gpus/find_devices.ts";
import { endsInLogSoftmax } from "../models/head_specs.ts";
import { takeCredentials } from "../protocol/address.ts";
import { serverAddress } from "../protocol/server_address.ts";
import { ensureDataRoot } from "../provision/data_root.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import { ensureNatsServer } from "../provision/nats_server.ts";
import { progressUntil } from "../provision/progress.ts";
import type { Reporter } from "../events/reporter.ts";
import type { z } from "../deps/zod.ts";
import type { ServerOptions } from "../hosts/run_server.ts";
import type { ClassWeights } from "../optim/loss_config.ts";
import { buildScorer } from "../train/build_scorer.ts";
import {
  type EvaluationJob,
  namedModules,
  scanEvaluation,
  scoringConfigSchema,
} from "../train/evaluation_job.ts";
import type { ModelScorer } from "../train/model_scorer.ts";
import { largestMicroBatch } from "../train/micro_batches.ts";
import { validationBatch } from "../train/run_plan.ts";
import { missingClasses } from "../data/datasets/class_folders.ts";
import { imagesToEvaluate } from "../inference/evaluation_images.ts";
import { scanData } from "../train/job.ts";
import { checkModelModule } from "../inference/load_checkpoint.ts";
import { setState } from "../train/load_weights.ts";
import { hashModules } from "../train/modules.ts";
import {
  findTrainedModel,
  type ModelSource,
  type TrainedModel,
} from "../inference/trained_model.ts";
import { checkServer } from "../protocol/check_server.ts";
import type { RunDevices } from "../coordinator/preparation/cluster_settings.ts";
import { resolveClassWeights } from "../coordinator/preparation/prepare.ts";

/** The model to evaluate, and the data to evaluate it on. */
export interface EvaluationRequest extends ModelSource {
  /** Another folder than the run's, with the same classes. */
  readonly data?: string | undefined;
  /** The set to evaluate on (default `val`). */
  readonly split?: "train" | "val";
  /** Worker processes; one per free GPU unless given, and on the CPU as many as the run had. */
  readonly workers?: number;
  /** The device to compute on (default `auto`, whatever the run was trained on). */
  readonly device?: Config["device"];
  /** GPUs to compute on, by their indices or UUIDs; those that are free unless given. */
  readonly devices?: readonly string[];
  /** URL of a running nats-server; one is started unless given. The run's own is never used. */
  readonly nats?: string;
}

/** An evaluation that is ready to start. */
export interface PreparedEvaluation {
  readonly trained: TrainedModel;
  readonly config: EvaluationConfig;
  readonly job: EvaluationJob;
  /** The images to evaluate are those that validate. */
  readonly dataset: ImageSet;
  readonly split: "train" | "val";
  /** The model with its trained weights. */
  readonly scorer: ModelScorer;
  /** The server that the workers are reached through. */
  readonly server: ServerOptions;
  /** The devices of the workers, the names of those that are GPUs, and the library that the workers open. */
  readonly compute: RunDevices & { readonly gpus: readonly string[] };
}

/** The config of an evaluation: the keys by which images are scored, and those of its cluster. */
type EvaluationConfig = z.output<typeof evaluationConfigSchema>;

const evaluationConfigSchema = scoringConfigSchema.extend(
  configSchema.pick({ name: true, liveness: true }).shape,
);

/** An evaluation as the run, or its absence, makes it. */
interface Setup {
  readonly config: EvaluationConfig;
  readonly loss: EvaluationJob["loss"];
  /** Weights of the classes, as the run has them. */
  readonly classWeights: ClassWeights;
  /** Training images that a worker computes at once. */
  readonly rows: number;
}

/** Workers for a checkpoint without a run. */
const WORKERS = 2;
/** Images per worker and pass for a checkpoint without a run. */
const BATCH_PER_WORKER = 8;

/**
 * Prepares an evaluation.
 *
 * @throws {UsageError} naming what is wrong and the cure
 */
export async function prepareEvaluation(
  request: EvaluationRequest,
  { reporter, verbose = false, signal, held }: {
    reporter: Reporter;
    /** Gets the claims on GPUs, to be disposed of after the evaluation. */
    held: DisposableStack;
    verbose?: boolean | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<PreparedEvaluation> {
  const trained = await findTrainedModel(
    request,
    ({ data, ...config }) =>
      modulesOf({ ...config, data: request.data === undefined ? data : { ...data, module: null } }),
  );
  for (const note of trained.notes) reporter.info(note);
  const { split = "val" } = request;
  const setup = setUp(trained, request);
  const { loss, classWeights: wanted, rows } = setup;
  const { devices, build, warnings } = await devicesOf(setup, request, held);
  const { precision, note } = scoringPrecision(
    setup.config.engine.precision,
    devices.filter((device) => device.kind === "gpu"),
  );
  if (note !== undefined) reporter.warn(note);
  const engine = { ...setup.config.engine, precision };
  const config: EvaluationConfig = { ...setup.config, engine, workers: devices.length };
  requireFileLimit(config.workers);
  warnings.forEach((warning) => reporter.warn(warning));
  const gpus = devices.filter(({ kind }) => kind === "gpu").map(deviceName);
  if (gpus.length > 0) reporter.info(`${counted(gpus.length, "worker")} on ${countNames(gpus)}`);
  const progress = progressUntil(signal, (event) => reporter.download(event));
  const root = await ensureDataRoot(config.data, progress);
  signal?.throwIfAborted();
  const { classes } = trained.info;
  const evaluation = await imagesToEvaluate(root, config.data, { ...request, classes });
  // Neither the run's server, which its folder's author chose, nor its port: the run may be going on.
  const url = request.nats === undefined ? undefined : takeCredentials(request.nats);
  const foreign = url === undefined ? undefined : { url };
  const program = foreign ? undefined : await ensureNatsServer(progress);
  if (foreign) await checkServer(await serverAddress(foreign));
  const libraryPath = await ensureLibtensorflow(progress, build);
  signal?.throwIfAborted();

  const classWeights = await weightsOf(root, config, wanted, request, classes, reporter);
  const { name: _name, liveness: _liveness, ...scoring } = config;
  const draft: EvaluationJob = {
    config: scoring,
    loss,
    batchSize: validationBatch(rows * config.workers),
    root,
    fingerprint: "",
    numClasses: classes.length,
    modules: await hashModules(namedModules({ config, loss })),
    ...(classWeights ? { classWeights } : {}),
    verbose,
    evaluation,
  };
  const dataset = await scanEvaluation(draft);
  const leftOut = await checkFiles(dataset, { onError: config.data.onError, signal });
  if (leftOut) reporter.warn(leftOut);
  reportMissing(dataset, reporter);
  await openEngineOnCpu({ libraryPath, threads: soleProcessThreads(), verbose });
  checkModelModule(trained.checkpoint, trained.info, draft.modules?.["model.module"]);
  const scorer = await buildScorer(draft);
  setState(scorer.model, trained.tensors, trained.checkpoint);
  const job = { ...draft, fingerprint: dataset.fingerprint };
  const compute = { devices, gpus, libraryPath };
  return { trained, config, job, dataset, split, scorer, server: { foreign, program }, compute };
}

/**
 * The run's keys, or those for a bare checkpoint, in the form that evaluating needs: other images, other workers with as
 * many rows each as before, nothing kept from one pass to the next.
 */
function setUp(trained: TrainedModel, request: EvaluationRequest): Setup {
  const base = trained.config ? setupOfRun(trained.config) : bareSetup(trained, request.data);
  const { data } = base.config;
  const own = {
    dataset: null,
    root: request.data,
    module: null,
    format: undefined,
    valFraction: null,
  } as const;
  return {
    ...base,
    config: {
      ...base.config,
      data: {
        ...data,
        ...(request.data === undefined ? {} : { ...own, format: data.format }),
        cache: null,
        cacheDir: null, // the run's folder may be somebody else's, and name any folder to write into
      },
    },
  };
}

/** The devices of the workers: as wished, else free GPUs, else the CPU with as many workers as the run had. */
async function devicesOf(
  { config }: Setup,
  { device = "auto", devices, workers }: EvaluationRequest,
  held: DisposableStack,
): Promise<FoundDevices> {
  const found = held.use(
    await claimDevices({ device, devices, workers }, { run: `evaluation of ${config.name}` }),
  );
  return found.build === "cpu" ? cpuDevices(workers ?? config.workers) : found;
}

function setupOfRun(run: Config): Setup {
  const { name, liveness, seed, workers, model, data, validate, engine, train } = run;
  const { loss, lossModule, labelSmoothing, classWeights } = train;
  return {
    config: { name, liveness, seed, workers, model, data, validate, engine },
    loss: { loss, lossModule, labelSmoothing },
    classWeights,
    rows: largestMicroBatch(Math.ceil(globalBatchSize(run) / workers), train),
  };
}

function bareSetup({ checkpoint, info, transforms }: TrainedModel, data?: string): Setup {
  if (data === undefined) {
    throw new UsageError(
      `Checkpoint ${checkpoint} lies in no run folder, so its images are unknown: name a folder of them with --data`,
    );
  }
  const { name, numClasses: _, ...shape } = info.model;
  const preset = [...transforms] as never[];
  return {
    config: validateKeys(evaluationConfigSchema, {
      name: basename(checkpoint).replaceAll(/[^\w.-]/g, "-").slice(0, 80),
      workers: WORKERS,
      model: { name: name as Config["model"]["name"], ...shape, weights: "none" },
      data: { root: data, train: preset, val: preset },
    }),
    loss: { loss: endsInLogSoftmax(shape.head) ? "nll" : "crossEntropy", labelSmoothing: 0 },
    classWeights: undefined,
    rows: BATCH_PER_WORKER,
  };
}

/** The loss weighs the classes as in the run, where their weights are known. */
async function weightsOf(
  root: string,
  config: EvaluationConfig,
  classWeights: ClassWeights,
  { data }: EvaluationRequest,
  classes: readonly string[],
  reporter: Reporter,
): Promise<number[] | undefined> {
  if (classWeights !== "balanced") {
    return resolveClassWeights(classWeights, { classes: [...classes], train: [] });
  }
  if (data !== undefined) {
    reporter.warn(
      "train.classWeights is balanced, by the run's training images, which --data replaces: " +
        "the loss counts all classes alike",
    );
    return undefined;
  }
  const set = await scanData(root, config);
  using _source = set.source;
  return resolveClassWeights(classWeights, set);
}

/** Says which classes have no images: their scores will be missing. */
function reportMissing(set: ImageSet, reporter: Reporter): void {
  const { classes, learnLabel } = set;
  if (learnLabel) return; // labels are known when the images were read
  const missing = missingClasses(set);
  if (missing.length === 0) return;
  reporter.warn(
    `There are no images of ${missing.length} of the ${classes.length} classes: ${listed(missing)}`,
  );
}
