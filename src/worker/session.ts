/**
 * A worker's work: it carries out the coordinator's commands.
 *
 * @module
 */
import type { OpenedDevice } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import { enterFaultEpoch, enterFaultStep, faultPoint } from "../base/fault_point.ts";
import type { RankInfo } from "../base/rank_info.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { shareOf } from "../data/loading/sampler.ts";
import { SharedImages } from "../data/loading/shared_images.ts";
import type { CommandOutcome, WorkerCommand } from "../protocol/command_channel.ts";
import type { Json } from "../protocol/large_json.ts";
import type { Link } from "../protocol/link.ts";
import { featureCacheBytes } from "../config/schema.ts";
import { buildReplica } from "../train/build_replica.ts";
import { sendNonFiniteReport } from "../protocol/non_finite_reports.ts";
import { SkippedSender } from "../protocol/skipped_samples.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import {
  loadStateSchema,
  openExchangeSchema,
  readStateSchema,
} from "../protocol/generation_commands.ts";
import { epochSpanSchema, validateSchema } from "../train/command_schemas.ts";
import { FeatureCaches } from "../train/feature_cache.ts";
import { findImages, type Job, makeLoaders, startLoaderThreads } from "../train/job.ts";
import { checkModules } from "../train/modules.ts";
import { largestMicroBatch, validationBatching } from "../train/micro_batches.ts";
import { runEpoch, type TrainingParts } from "../train/rank_epoch.ts";
import { RunPlan } from "../train/run_plan.ts";
import type { StepObserver } from "../train/step_watch.ts";
import { validateShard } from "../train/validate.ts";
import { verifyFeatures } from "../train/verify_features.ts";
import type { SharedMemory } from "../protocol/worker_settings.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { type DeviceWork, explainingDeviceErrors } from "./device_errors.ts";
import { type EngineSettings, openDevice } from "./open_device.ts";
import { openImages } from "./open_images.ts";
import { RankGeneration, type WorkerPlace } from "./rank_generation.ts";
import { scoreReply } from "./score_reply.ts";

/** The parts of a session. */
export interface SessionOptions {
  readonly job: Job;
  /** The memory that the workers share. */
  readonly memory: SharedMemory;
  /** This worker's rank; it may change where a generation of ranks begins. */
  readonly place: WorkerPlace;
  readonly link: Link;
  readonly heartbeat: Heartbeat;
  /** The device, the library and the threads that TensorFlow may use. */
  readonly engine: EngineSettings;
  /** Ends whatever is going on. */
  readonly signal: AbortSignal;
}

/** The options of a session, and what is open. */
type OpenSession = SessionOptions & {
  readonly device: OpenedDevice;
};

type ValidationParts = Omit<Parameters<typeof validateShard>[0], "place" | "batching">;

/** The memory that workers share for decoded images, when they do. */
function sharedImages(
  { cache }: SharedMemory,
  { rank, worldSize }: RankInfo,
  { train, val }: ImageSet,
): SharedImages | undefined {
  if (!cache) return undefined;
  const shape = { bytes: cache.bytes, worldSize, samples: train.length + val.length };
  return new SharedImages(cache.path, shape, rank);
}

/** Model, data and exchange of one worker. */
export class Session {
  readonly #options: OpenSession;
  readonly #parts: Omit<TrainingParts, "exchange">;
  readonly #validation: ValidationParts;
  readonly #generation: RankGeneration;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    options: OpenSession,
    parts: Omit<TrainingParts, "exchange">,
    validation: ValidationParts,
    resources: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#validation = validation;
    this.#generation = new RankGeneration({
      ...options,
      config: parts.config,
      state: parts.replica.state,
    });
    this.#resources = resources;
  }

  /**
   * Opens the engine, finds the images and builds the model.
   *
   * @throws {LockstepError} when the images are not those that the coordinator found
   */
  static async open(options: SessionOptions): Promise<Session> {
    const { job, memory, place, engine } = options;
    const { config } = job;
    await using opened = new AsyncDisposableStack();
    const loaderThreads = opened.use(startLoaderThreads(config));
    const device = await openDevice(engine, job);
    await checkModules(job);
    const dataset = await openImages(
      job,
      options.heartbeat,
      (hooks) => findImages(job, hooks),
    );
    opened.use(dataset.source);
    const replica = await buildReplica(config, job);
    const maxBytes = featureCacheBytes(config);
    const caches = maxBytes > 0 ? new FeatureCaches(maxBytes) : undefined;
    if (replica.features) replica.features.caches = caches;
    const loaders = makeLoaders(dataset, config, {
      threads: loaderThreads,
      shared: sharedImages(memory, place, dataset),
      disk: job.cacheFolder,
      known: caches,
    });
    const plan = new RunPlan(config, dataset);
    return new Session(
      { ...options, device },
      {
        ...{ config, plan, place, replica, loader: loaders.train },
        skipped: new SkippedSender(options.link, place),
        diagnosis: {
          replica,
          skipped: 0,
          report: (key, report) =>
            sendNonFiniteReport(options.link, place.rank, key, report as Json),
        },
      },
      {
        ...{ scorer: replica, loader: loaders.val, planner: plan.validation },
      },
      opened.move(),
    );
  }

  /** Carries out one command. */
  async run({ name, args, payload, signal }: WorkerCommand): Promise<CommandOutcome> {
    const { heartbeat } = this.#options;
    heartbeat.doing(name);
    const ended = AbortSignal.any([this.#options.signal, signal]);
    try {
      switch (name) {
        case WORKER_COMMANDS.openExchange:
          return { result: await this.#openExchange(args, signal) };
        case WORKER_COMMANDS.pause:
          return { result: { ...await this.#generation.pause() } };
        case WORKER_COMMANDS.loadState:
          await this.#loadState(args, payload!);
          return {};
        case WORKER_COMMANDS.trainEpoch:
          return await this.#onDevice("training", () => this.#trainEpoch(args, ended));
        case WORKER_COMMANDS.validate:
          return await this.#onDevice("validation", () => this.#validate(args, ended));
        case WORKER_COMMANDS.readState:
          return await this.#readState(args);
        default:
          throw new LockstepError(`Unknown command "${name}"`);
      }
    } finally {
      heartbeat.doing("waiting");
    }
  }

  async #openExchange(args: Json, superseded: AbortSignal): Promise<Json> {
    const { mostRows, ...generation } = openExchangeSchema.parse(args);
    const exchange = await this.#generation.open(generation, superseded);
    if (mostRows !== undefined) this.#parts.replica.batching = { microBatchSize: mostRows };
    return { device: this.#options.device as unknown as Json, exchange: { ...exchange } };
  }

  /** Runs work on the device, whose errors are explained. */
  async #onDevice<T>(kind: DeviceWork["kind"], work: () => Promise<T>): Promise<T> {
    const { engine: { device }, job: { config } } = this.#options;
    const { place: { rank, worldSize }, plan, replica: { batching } } = this.#parts;
    const { engine: { gpuMemory } } = config;
    const isTraining = kind === "training";
    const { globalBatch } = plan[isTraining ? "training" : "validation"];
    const { rows: share } = shareOf(globalBatch, rank, worldSize);
    const rows = largestMicroBatch(share, isTraining ? batching : validationBatching(batching));
    const { accumulationSteps } = batching;
    return await explainingDeviceErrors({ kind, device, rows, accumulationSteps, gpuMemory }, work);
  }

  /** Gives up the images, the loader's threads and the exchange. */
  async close(): Promise<void> {
    await this.#resources.disposeAsync();
    await this.#generation.close();
  }

  /** Trains a span; the coordinator has all of its facts from the exchange. */
  async #trainEpoch(args: Json, signal: AbortSignal): Promise<CommandOutcome> {
    const { heartbeat } = this.#options;
    const span = epochSpanSchema.parse(args);
    const { epoch, startStep } = span;
    enterFaultEpoch(epoch);
    const { exchange } = this.#generation;
    const observer: StepObserver = {
      ...this.#generation.counting({ epoch, steps: startStep }),
      onPhase: (step, phase) => {
        heartbeat.at(epoch, step, phase);
        exchange.enter?.({ epoch, step }, phase);
      },
    };
    const parts = { ...this.#parts, exchange };
    await runEpoch(parts, span, observer, signal);
    return {};
  }

  async #validate(args: Json, signal: AbortSignal): Promise<CommandOutcome> {
    const { epoch } = validateSchema.parse(args);
    const { place, heartbeat } = this.#options;
    enterFaultEpoch(epoch);
    const onPhase = (step: number, phase: StepPhase) => {
      heartbeat.at(epoch, step, phase);
      enterFaultStep(step);
      faultPoint("validation");
    };
    const batching = validationBatching(this.#parts.replica.batching);
    const scores = await this.#parts.replica.state.withAverages(() =>
      validateShard({ ...this.#validation, batching, place }, onPhase, signal)
    );
    const caches = this.#parts.replica.features?.caches;
    return scoreReply(scores, caches?.kept);
  }

  /** Takes over a state, of which features that are kept would know nothing. */
  async #loadState(args: Json, state: Uint8Array<ArrayBuffer>): Promise<void> {
    const held = loadStateSchema.parse(args);
    const { config, plan, replica, place } = this.#parts;
    faultPoint("load-state");
    await replica.state.importState(state);
    this.#generation.loaded(held);
    const { features } = replica;
    if (!features?.caches) return;
    features.caches.clear();
    await verifyFeatures(features, config, plan, place);
  }

  async #readState(args: Json): Promise<CommandOutcome> {
    faultPoint("read-state");
    this.#generation.hold(readStateSchema.parse(args).hold);
    return { payload: await this.#parts.replica.state.exportState() };
  }
}
