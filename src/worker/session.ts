/**
 * A worker's work: it carries out the coordinator's commands.
 *
 * @module
 */
import type { OpenedDevice } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import type { RankInfo } from "../base/rank_info.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { shareOf } from "../data/loading/sampler.ts";
import { SharedImages } from "../data/loading/shared_images.ts";
import { type ChosenExchange, openExchange } from "../exchange/open_exchange.ts";
import type { CommandOutcome, WorkerCommand } from "../protocol/command_channel.ts";
import type { Json } from "../protocol/large_json.ts";
import type { Link } from "../protocol/link.ts";
import { featureCacheBytes } from "../config/schema.ts";
import { buildReplica } from "../train/build_replica.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
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
import { ncclWish } from "./nccl_wish.ts";
import { openImages } from "./open_images.ts";
import { scoreReply } from "./score_reply.ts";

/** The parts of a session. */
export interface SessionOptions {
  readonly job: Job;
  /** The memory that the workers share. */
  readonly memory: SharedMemory;
  readonly place: RankInfo;
  readonly link: Link;
  readonly heartbeat: Heartbeat;
  /** The device, the library and the threads that TensorFlow may use. */
  readonly engine: EngineSettings;
  /** Ends whatever is going on. */
  readonly signal: AbortSignal;
}

/** The options of a session, and what is open. */
type OpenSession = SessionOptions & {
  readonly opened: {
    readonly device: OpenedDevice;
    readonly exchange: Pick<ChosenExchange, "name" | "fallback">;
  };
};

type ValidationParts = Omit<Parameters<typeof validateShard>[0], "place">;

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
  readonly #parts: TrainingParts;
  readonly #validation: ValidationParts;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    options: OpenSession,
    parts: TrainingParts,
    validation: ValidationParts,
    resources: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#validation = validation;
    this.#resources = resources;
  }

  /**
   * Opens the engine, finds the images and builds the model.
   *
   * @throws {LockstepError} when the images are not those that the coordinator found
   */
  static async open(options: SessionOptions): Promise<Session> {
    const { job, memory, place, link, engine } = options;
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
    const { vectorBytes, regions, gradientBytes } = replica.state;
    const wire = { dtype: config.nats.gradientDtype, gradientBytes };
    const shape = { ...place, vectorBytes, regions, wire };
    const hangs = {
      afterMs: 1000 * config.liveness.reportAfter,
      onReport: (message: string) => console.error(message),
    };
    const { buffers, ...exchange } = await openExchange(
      link,
      { ...shape, hangs },
      memory.segment,
      ncclWish(config, engine.device, options.signal),
    );
    replica.state.attach(buffers);
    const plan = new RunPlan(config, dataset);
    return new Session(
      { ...options, opened: { device, exchange } },
      { config, plan, place, replica, loader: loaders.train, exchange: exchange.exchange },
      {
        ...{ scorer: replica, loader: loaders.val, planner: plan.validation },
        batching: validationBatching(config.train),
      },
      opened.move(),
    );
  }

  /** Carries out one command. */
  async run({ name, args, payload }: WorkerCommand): Promise<CommandOutcome> {
    const { heartbeat } = this.#options;
    heartbeat.doing(name);
    try {
      switch (name) {
        case WORKER_COMMANDS.loadState:
          await this.#loadState(payload!);
          return { result: this.#opened() };
        case WORKER_COMMANDS.trainEpoch:
          return await this.#onDevice("training", async () => ({
            result: await this.#trainEpoch(args),
          }));
        case WORKER_COMMANDS.validate:
          return await this.#onDevice("validation", () => this.#validate(args));
        case WORKER_COMMANDS.readState:
          return await this.#readState();
        default:
          throw new LockstepError(`Unknown command "${name}"`);
      }
    } finally {
      heartbeat.doing("waiting");
    }
  }

  /** The answer to `loadState`. */
  #opened(): Json {
    const { device, exchange: { name, fallback } } = this.#options.opened;
    return {
      device: device as unknown as Json,
      exchange: { name, ...(fallback === undefined ? {} : { fallback }) },
    };
  }

  /** Runs work on the device, whose errors are explained. */
  async #onDevice<T>(kind: DeviceWork["kind"], work: () => Promise<T>): Promise<T> {
    const { engine: { device }, job: { config } } = this.#options;
    const { place: { rank, worldSize }, plan } = this.#parts;
    const { train, engine: { gpuMemory } } = config;
    const isTraining = kind === "training";
    const { globalBatch } = plan[isTraining ? "training" : "validation"];
    const { rows: share } = shareOf(globalBatch, rank, worldSize);
    const rows = largestMicroBatch(share, isTraining ? train : validationBatching(train));
    const { accumulationSteps } = train;
    return await explainingDeviceErrors({ kind, device, rows, accumulationSteps, gpuMemory }, work);
  }

  /** Gives up the images, the loader's threads and the exchange. */
  async close(): Promise<void> {
    await this.#resources.disposeAsync();
    await this.#parts.exchange.close();
  }

  async #trainEpoch(args: Json): Promise<Json> {
    const { heartbeat, signal } = this.#options;
    const span = epochSpanSchema.parse(args);
    const { epoch } = span;
    const { exchange } = this.#parts;
    const observer: StepObserver = {
      onPhase: (step, phase) => {
        heartbeat.at(epoch, step, phase);
        exchange.enter?.({ epoch, step }, phase);
      },
    };
    const { steps, skipped, notFinite } = await runEpoch(this.#parts, span, observer, signal);
    return {
      steps,
      skipped: skipped.map((sample) => ({ ...sample })),
      ...(notFinite === undefined ? {} : { notFinite }),
    };
  }

  async #validate(args: Json): Promise<CommandOutcome> {
    const { epoch } = validateSchema.parse(args);
    const { place, signal, heartbeat } = this.#options;
    const onPhase = (step: number, phase: StepPhase) => heartbeat.at(epoch, step, phase);
    const scores = await this.#parts.replica.state.withAverages(() =>
      validateShard({ ...this.#validation, place }, onPhase, signal)
    );
    const caches = this.#parts.replica.features?.caches;
    return scoreReply(scores, caches?.kept);
  }

  /** Takes over a state, of which features that are kept would know nothing. */
  async #loadState(state: Uint8Array<ArrayBuffer>): Promise<void> {
    const { config, plan, replica, place } = this.#parts;
    await replica.state.importState(state);
    const { features } = replica;
    if (!features?.caches) return;
    features.caches.clear();
    await verifyFeatures(features, config, plan, place);
  }

  /** All ranks hold the same state, which one of them sends. */
  async #readState(): Promise<CommandOutcome> {
    if (this.#options.place.rank !== 0) return {};
    return { payload: await this.#parts.replica.state.exportState() };
  }
}
