/**
 * The values that follow from a run's config and the number of its samples, derived once per process. They stand beside
 * the config, never in it: `config.yaml` is what a resumed run is compared with.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import { globalBatchSize } from "../config/checks.ts";
import type { Config } from "../config/schema.ts";
import { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { newShareAt } from "../optim/averages.ts";
import { LearningRates } from "../optim/learning_rates.ts";
import type { RunLength } from "../optim/schedule.ts";

/** The facts about a data set on which a run's plan depends; an `ImageSet` has them. */
export interface PlannedSamples {
  readonly train: { readonly length: number };
  readonly val: { readonly length: number };
  /** The training samples keep their order instead of being shuffled. */
  readonly inOrder?: boolean;
}

/** Global training batches per validation batch: without gradients there is room for more. */
export const VALIDATION_FACTOR = 4;

/** Samples per validation step over all ranks. */
export function validationBatch(globalBatch: number): number {
  return VALIDATION_FACTOR * globalBatch;
}

/** The plan of a run: its batches, its length and its rates. */
export class RunPlan implements RunLength {
  /** Samples per training step over all ranks. */
  readonly globalBatch: number;
  readonly epochs: number;
  /** Training steps per epoch. */
  readonly stepsPerEpoch: number;
  /** Training samples per epoch. */
  readonly samplesPerEpoch: number;
  /** Steps of training, for each epoch. */
  readonly training: EpochPlanner;
  /** Steps of validation, the same for each epoch. */
  readonly validation: EpochPlanner;
  readonly rates: LearningRates;
  readonly #train: Pick<Config["train"], "ema" | "schedule">;

  /**
   * @param globalBatch Samples per step over all ranks, where they aren't those of the config
   * @throws {UsageError} when the config's batch size is missing or given twice
   */
  constructor(config: Config, samples: PlannedSamples, globalBatch = globalBatchSize(config)) {
    const { seed, train } = config;
    this.#train = train;
    this.globalBatch = globalBatch;
    this.training = new EpochPlanner({
      length: samples.train.length,
      globalBatch,
      dropLast: train.dropLast,
      ...(samples.inOrder ? {} : { shuffle: { seed } }),
    });
    this.validation = new EpochPlanner({
      length: samples.val.length,
      globalBatch: validationBatch(globalBatch),
    });
    this.epochs = train.epochs;
    this.stepsPerEpoch = this.training.stepsPerEpoch;
    this.samplesPerEpoch = this.training.samplesPerEpoch;
    this.rates = new LearningRates(train, this.stepsPerEpoch);
  }

  /**
   * The share of the new values in the averages of a step; `undefined` where the run keeps no averages.
   *
   * @param optimizerStep The step's number in the run, counted from 1
   */
  newShareAt(at: StepKey, optimizerStep: number): number | undefined {
    const { ema, schedule } = this.#train;
    if (!ema) return undefined;
    const { globalBatch, epochs, stepsPerEpoch } = this;
    return newShareAt({ ema, schedule, globalBatch, epochs, stepsPerEpoch }, at, optimizerStep);
  }
}
