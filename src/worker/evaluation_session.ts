/**
 * A worker's work in an evaluation: it takes over the weights, and scores its share of the images. It opens no exchange.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { shareOf } from "../data/loading/sampler.ts";
import type { CommandOutcome, WorkerCommand } from "../protocol/command_channel.ts";
import type { Json } from "../protocol/large_json.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { buildScorer, importParameters } from "../train/build_scorer.ts";
import { validateSchema } from "../train/command_schemas.ts";
import { type EvaluationJob, namedModules, scanEvaluation } from "../train/evaluation_job.ts";
import { makeLoaders, startLoaderThreads } from "../train/job.ts";
import type { ModelScorer } from "../train/model_scorer.ts";
import { checkModules } from "../train/modules.ts";
import { validateShard } from "../train/validate.ts";
import { explainingDeviceErrors } from "./device_errors.ts";
import { openDevice } from "./open_device.ts";
import { openImages } from "./open_images.ts";
import { scoreReply } from "./score_reply.ts";
import type { SessionOptions } from "./session.ts";

/** The parts of an evaluation's session. */
export type EvaluationOptions = Omit<SessionOptions, "job" | "memory" | "link"> & {
  readonly job: EvaluationJob;
};

/** Model and images of one worker that evaluates. */
export class EvaluationSession {
  readonly #options: EvaluationOptions;
  readonly #scorer: ModelScorer;
  readonly #validation: Omit<Parameters<typeof validateShard>[0], "place">;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    options: EvaluationOptions,
    scorer: ModelScorer,
    validation: Omit<Parameters<typeof validateShard>[0], "place">,
    resources: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#scorer = scorer;
    this.#validation = validation;
    this.#resources = resources;
  }

  /**
   * Opens the engine, finds the images and builds the model.
   *
   * @throws {LockstepError} when the images are not those that the coordinator found
   */
  static async open(options: EvaluationOptions): Promise<EvaluationSession> {
    const { job, engine, heartbeat } = options;
    const { config, modules } = job;
    await using opened = new AsyncDisposableStack();
    const loaderThreads = opened.use(startLoaderThreads(config));
    await openDevice(engine, job);
    await checkModules({ config: namedModules(job), ...(modules ? { modules } : {}) });
    const dataset = await openImages(job, heartbeat, (hooks) => scanEvaluation(job, hooks));
    opened.use(dataset.source);
    const scorer = await buildScorer(job);
    const loader = makeLoaders(dataset, config, { threads: loaderThreads }).val;
    const planner = new EpochPlanner({ length: dataset.val.length, globalBatch: job.batchSize });
    const validation = { scorer, loader, planner };
    return new EvaluationSession(options, scorer, validation, opened.move());
  }

  /** Carries out one command. */
  async run({ name, args, payload }: WorkerCommand): Promise<CommandOutcome> {
    const { heartbeat } = this.#options;
    heartbeat.doing(name);
    try {
      switch (name) {
        case WORKER_COMMANDS.loadState:
          importParameters(this.#scorer, payload!);
          return {};
        case WORKER_COMMANDS.validate:
          return await this.#onDevice(() => this.#validate(args));
        default:
          throw new LockstepError(`Unknown command "${name}"`);
      }
    } finally {
      heartbeat.doing("waiting");
    }
  }

  /** Runs work on the device, whose errors are explained. */
  async #onDevice<T>(work: () => Promise<T>): Promise<T> {
    const { engine: { device }, job: { config, batchSize }, place } = this.#options;
    const { rows } = shareOf(batchSize, place.rank, place.worldSize);
    const { gpuMemory } = config.engine;
    return await explainingDeviceErrors({ kind: "evaluation", device, rows, gpuMemory }, work);
  }

  /** Gives up the images and the loader's threads. */
  async close(): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async #validate(args: Json): Promise<CommandOutcome> {
    const { epoch } = validateSchema.parse(args);
    const { place, signal, heartbeat } = this.#options;
    const onPhase = (step: number, phase: StepPhase) => heartbeat.at(epoch, step, phase);
    return scoreReply(await validateShard({ ...this.#validation, place }, onPhase, signal));
  }
}
