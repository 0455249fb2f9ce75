/**
 * Everything that an evaluation needs before a worker starts: the trained model, the images, the programs.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { basename } from "node:path";
import { requireFileLimit } from "../base/file_limit.ts";
import { UsageError } from "../base/errors.ts";
import { globalBatchSize } from "../config/checks.ts";
import { modulesOf } from "../config/consent.ts";
import { validateConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { checkFiles } from "../data/datasets/check_files.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { openEngine } from "../engine/engine.ts";
import { soleProcessThreads } from "../engine/threads.ts";
import { endsInLogSoftmax } from "../models/head_specs.ts";
import { takeCredentials } from "../protocol/address.ts";
import { serverAddress } from "../protocol/server_address.ts";
import { ensureDataRoot } from "../provision/data_root.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import { ensureNatsServer } from "../provision/nats_server.ts";
import { progressUntil } from "../provision/progress.ts";
import type { Reporter } from "../events/reporter.ts";
import { buildReplica } from "../train/build_replica.ts";
import { missingClasses } from "../data/datasets/class_folders.ts";
import { imagesToEvaluate } from "../inference/evaluation_images.ts";
import { type Job, scanData, scanJob } from "../train/job.ts";
import { checkModelModule } from "../inference/load_checkpoint.ts";
import { setState } from "../train/load_weights.ts";
import { hashModules } from "../train/modules.ts";
import type { Replica } from "../train/replica.ts";
import {
  findTrainedModel,
  type ModelSource,
  type TrainedModel,
} from "../inference/trained_model.ts";
import { checkServer } from "../protocol/check_server.ts";
import { resolveClassWeights } from "../coordinator/preparation/prepare.ts";

/** The model to evaluate, and the data to evaluate it on. */
export interface EvaluationRequest extends ModelSource {
  /** Another folder than the run's, with the same classes. */
  readonly data?: string | undefined;
  /** The set to evaluate on (default `val`). */
  readonly split?: "train" | "val";
  /** Worker processes; as many as the run had unless given. */
  readonly workers?: number;
  /** The device to compute on (default `auto`, whatever the run was trained on). */
  readonly device?: Config["device"];
  /** URL of a running nats-server; one is started unless given. The run's own is never used. */
  readonly nats?: string;
}

/** An evaluation that is ready to start. */
export interface PreparedEvaluation {
  readonly trained: TrainedModel;
  readonly config: Config;
  readonly job: Job;
  /** The images to evaluate are those that validate. */
  readonly dataset: ImageSet;
  readonly split: "train" | "val";
  readonly replica: Replica;
  /** The nats-server program, unless another server is used. */
  readonly natsServer?: string;
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
  { reporter, verbose = false, signal }: {
    reporter: Reporter;
    verbose?: boolean | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<PreparedEvaluation> {
  requireFileLimit(request.workers ?? 1);
  const trained = await findTrainedModel(
    request,
    ({ data, ...config }) =>
      modulesOf({ ...config, data: request.data === undefined ? data : { ...data, module: null } }),
  );
  for (const note of trained.notes) reporter.info(note);
  const { split = "val" } = request;
  const config = evaluationConfig(trained, request);
  const progress = progressUntil(signal, (event) => reporter.download(event));
  const root = await ensureDataRoot(config.data, progress);
  signal?.throwIfAborted();
  const { classes } = trained.info;
  const evaluation = await imagesToEvaluate(root, config.data, { ...request, classes });
  const natsServer = config.nats.url ? undefined : await ensureNatsServer(progress);
  const { url, ca } = config.nats;
  if (url) await checkServer(await serverAddress({ url, ca }));
  const libraryPath = await ensureLibtensorflow(progress);
  signal?.throwIfAborted();

  const classWeights = await weightsOf(root, config, request, classes, reporter);
  const draft: Job = {
    config,
    root,
    fingerprint: "",
    numClasses: classes.length,
    modules: await hashModules(config),
    ...(classWeights ? { classWeights } : {}),
    verbose,
    evaluation,
  };
  const dataset = await scanJob(draft);
  const leftOut = await checkFiles(dataset, { onError: config.data.onError, signal });
  if (leftOut) reporter.warn(leftOut);
  reportMissing(dataset, reporter);
  await openEngine({
    device: config.device,
    libraryPath,
    threads: soleProcessThreads(),
    verbose,
  });
  checkModelModule(trained.checkpoint, trained.info, draft.modules?.["model.module"]);
  const replica = await buildReplica(config, draft);
  setState(replica.model, trained.tensors, trained.checkpoint);
  const job = { ...draft, fingerprint: dataset.fingerprint };
  const server = natsServer ? { natsServer } : {};
  return { trained, config, job, dataset, split, replica, ...server };
}

/**
 * The run's config, or one for a bare checkpoint, in the form that evaluating needs: other images, other workers
 * with as many rows each as before, no optimizer state, nothing kept from one pass to the next.
 */
function evaluationConfig(trained: TrainedModel, request: EvaluationRequest): Config {
  const base = trained.config ?? bareConfig(trained, request.data);
  const workers = request.workers ?? base.workers;
  const rows = Math.ceil(globalBatchSize(base) / base.workers);
  const { train, data } = base;
  const own = {
    dataset: null,
    root: request.data,
    module: null,
    format: undefined,
    valFraction: null,
  } as const;
  return {
    ...base,
    workers,
    device: request.device ?? "auto",
    // Neither the run's server, which its folder's author chose, nor its port: the run may be going on.
    nats: {
      ...base.nats,
      url: request.nats === undefined ? undefined : takeCredentials(request.nats),
      ca: undefined,
      port: undefined,
    },
    data: {
      ...data,
      ...(request.data === undefined ? {} : { ...own, format: data.format }),
      cache: null,
    },
    train: {
      ...train,
      batchSize: undefined,
      batchSizePerWorker: rows,
      featureCache: false,
      ema: undefined,
    },
  };
}

function bareConfig({ checkpoint, info, transforms }: TrainedModel, data?: string): Config {
  if (data === undefined) {
    throw new UsageError(
      `Checkpoint ${checkpoint} lies in no run folder, so its images are unknown: name a folder of them with --data`,
    );
  }
  const { name, numClasses: _, ...shape } = info.model;
  const preset = [...transforms] as never[];
  return validateConfig({
    name: basename(checkpoint).replaceAll(/[^\w.-]/g, "-").slice(0, 80),
    workers: WORKERS,
    model: { name: name as Config["model"]["name"], ...shape, weights: "none" },
    data: { root: data, train: preset, val: preset },
    train: {
      epochs: 1,
      batchSizePerWorker: BATCH_PER_WORKER,
      loss: endsInLogSoftmax(shape.head) ? "nll" : "crossEntropy",
    },
  });
}

/** The loss weighs the classes as in the run, where their weights are known. */
async function weightsOf(
  root: string,
  config: Config,
  { data }: EvaluationRequest,
  classes: readonly string[],
  reporter: Reporter,
): Promise<number[] | undefined> {
  const { classWeights } = config.train;
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
