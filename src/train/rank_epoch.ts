/**
 * One rank's part of an epoch: its share of each batch, gradients, and the update of its part of the parameters.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { FloatRange } from "../base/float_range.ts";
import { randomSeed } from "../base/random.ts";
import type { RankInfo } from "../base/rank_info.ts";
import type { Config } from "../config/schema.ts";
import type { Batch, Loader } from "../data/loading/loader.ts";
import type { EpochStep } from "../data/loading/sampler.ts";
import type {
  GradientExchange,
  StepContribution,
  StepResult,
} from "../exchange/gradient_exchange.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { MomentMeeting } from "./moment_exchange.ts";
import { preparedAhead } from "./prepared_batches.ts";
import type { EarlyGradients, Replica } from "./replica.ts";
import type { ReplicaState } from "./replica_state.ts";
import type { RunPlan } from "./run_plan.ts";
import { type LocalTotals, NO_TOTALS } from "./step_sums.ts";
import { type EpochLossScale, StepJudge, type StepVerdict } from "./step_judge.ts";
import { type StepObserver, StepWatch } from "./step_watch.ts";
import { type EpochOutcome, type EpochWork, trainEpoch } from "./train_epoch.ts";

/** The span of an epoch's steps to train. */
export interface EpochSpan {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of it that are already done. */
  readonly startStep: number;
  /** Optimizer steps of the run before this epoch's first one here. */
  readonly optimizerSteps: number;
  /** The loss scale after the steps of the run before, where losses are scaled. */
  readonly lossScale?: EpochLossScale | undefined;
}

/** The subset of `Replica` that an epoch uses. */
export interface TrainableReplica extends Pick<Replica, "forwardBackward" | "update" | "commit"> {
  readonly state: Pick<ReplicaState, "sumSquares"> & {
    readonly optimizer: Pick<Optimizer, "baseRates">;
  };
  /** As of `Replica`; missing where nothing is prepared. */
  readonly preparation?: Replica["preparation"];
}

/** The subset of `Loader` that an epoch uses. */
export type BatchSource = Pick<Loader, "batches">;

/** The parts of an epoch; `bench scaling` puts others in their place. */
export interface EpochParts {
  readonly config: Config;
  readonly plan: RunPlan;
  readonly place: RankInfo;
  readonly replica: TrainableReplica;
  readonly loader: BatchSource;
  readonly exchange: GradientExchange;
}

/** The parts with which a worker trains. */
export interface TrainingParts extends EpochParts {
  readonly replica: Replica;
  readonly loader: Loader;
}

/**
 * Trains an epoch, or the rest of it, on one rank.
 *
 * @throws The signal's reason when it fires
 */
export async function runEpoch(
  parts: EpochParts,
  span: EpochSpan,
  observer: StepObserver,
  signal?: AbortSignal,
): Promise<EpochOutcome> {
  const work = new RankEpoch(parts, span, observer);
  return await trainEpoch(work, work.watch, signal);
}

/** The training of one rank in one epoch. */
class RankEpoch implements EpochWork {
  readonly exchange: GradientExchange;
  readonly watch: StepWatch;
  readonly #parts: EpochParts;
  readonly #span: EpochSpan;
  readonly #steps: readonly EpochStep[];
  readonly #judge: StepJudge;
  /** Factor of the loss of the present step. */
  #scale = 1;

  constructor(parts: EpochParts, span: EpochSpan, observer: StepObserver) {
    const { epoch, startStep } = span;
    this.exchange = parts.exchange;
    this.#parts = parts;
    this.#span = span;
    this.#judge = new StepJudge(span.lossScale);
    this.#steps = parts.plan.training.steps(epoch, parts.place, startStep);
    const first = this.#steps[0]?.step ?? startStep;
    const last = this.#steps.at(-1)?.step ?? startStep;
    this.watch = new StepWatch({ first, last }, observer);
  }

  batches(signal?: AbortSignal): AsyncIterable<Batch> {
    const { loader, replica, config: { seed } } = this.#parts;
    const batches = loader.batches(this.#steps, this.#span.epoch, { seed, signal, reuse: true });
    return replica.preparation ? preparedAhead<Batch>(batches, replica.preparation) : batches;
  }

  async forwardBackward(batch: Batch, signal?: AbortSignal): Promise<StepContribution> {
    const { replica, config: { seed, nats, nccl } } = this.#parts;
    const { exchange } = this;
    const { bucketSize } = exchange.sumsOnDevice ? nccl : nats;
    this.#scale = this.#judge.scale;
    const meeting = this.#meeting(signal);
    // A rank without rows brings nothing to a step but its presence.
    if (batch.labels.length === 0 && !meeting) return this.#contribution(batch, NO_TOTALS);
    const { epoch } = this.#span;
    const { step } = batch;
    const { globalRows, rowOffset } = this.#steps[step - this.#steps[0].step];
    const seeds = [
      randomSeed(seed, "step", epoch, step),
      randomSeed(seed, "step", step, epoch),
    ] as const;
    const early: EarlyGradients | undefined = bucketSize > 0 && exchange.offer
      ? {
        bucketBytes: bucketSize,
        onReady: (totals, begin) => {
          const { times } = this.watch;
          exchange.offer!({ ...this.#contribution(batch, totals), times }, begin);
        },
      }
      : undefined;
    const totals = await replica.forwardBackward(
      batch,
      { seed: seeds, globalRows, rowOffset, lossScale: this.#scale },
      early,
      meeting,
    );
    return this.#contribution(batch, totals);
  }

  /** Lets BatchNorm's moments meet over the ranks, where they are to. */
  #meeting(signal: AbortSignal | undefined): MomentMeeting | undefined {
    const { config: { train }, place: { rank, worldSize } } = this.#parts;
    if (!train.syncBatchNorm || worldSize === 1) return undefined;
    const allReduce = async (values: Float64Array) => {
      this.watch.enter("waiting for the other ranks");
      await this.exchange.allReduce(values, signal);
      this.watch.enter("computing");
    };
    return { rank, worldSize, allReduce };
  }

  sumSquares(ranges: readonly FloatRange[]): number {
    return this.#parts.replica.state.sumSquares(ranges, this.#scale);
  }

  judge(reduced: StepResult): StepVerdict {
    return this.#judge.judge(reduced);
  }

  commit(): void {
    this.#parts.replica.commit();
  }

  async update(step: number, reduced: StepResult, done: number): Promise<void> {
    const { plan, replica } = this.#parts;
    const at = { epoch: this.#span.epoch, step };
    const optimizerStep = this.#span.optimizerSteps + done + 1;
    const newShare = plan.newShareAt(at, optimizerStep);
    await replica.update({
      rates: replica.state.optimizer.baseRates.map((rate) => plan.rates.at(at, rate)),
      step: optimizerStep,
      squares: reduced.squares,
      scale: this.#scale,
      learns: reduced.weight > 0,
      hasStatistics: reduced.statisticsRows > 0,
      ...(newShare === undefined ? {} : { newShare }),
    });
  }

  #contribution({ step, labels }: Batch, totals: LocalTotals): StepContribution {
    requireCount(totals.correct, labels.length, step);
    return { epoch: this.#span.epoch, step, samples: labels.length, ...totals };
  }
}

/**
 * Refuses a number of right answers that no batch can have: a device that computes wrongly.
 *
 * @throws {LockstepError} naming the number
 */
export function requireCount(correct: number, samples: number, step: number): void {
  if (Number.isInteger(correct) && correct >= 0 && correct <= samples) return;
  throw new LockstepError(
    `Step ${step} counts ${correct} right answers among ${samples} samples, which can't be: what this worker's device ` +
      "computed is not to be trusted; check the device, or compute on another one (device cpu)",
  );
}
