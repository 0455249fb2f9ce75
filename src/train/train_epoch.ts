/**
 * The training loop of one worker: what a rank does in an epoch, step by step.
 *
 * @module
 */
import { randomSeed } from "../base/random.ts";
import type { FloatRange } from "../base/float_range.ts";
import type { Config } from "../config/schema.ts";
import type { Batch, Loader, SkippedSample } from "../data/loading/loader.ts";
import { planEpoch, stepsPerEpoch } from "../data/loading/sampler.ts";
import type {
  GradientExchange,
  RankTimes,
  StepContribution,
  StepResult,
} from "../exchange/gradient_exchange.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { newShareAt } from "../optim/averages.ts";
import { learningRateAt } from "../optim/schedule.ts";
import type { EarlyGradients, Replica } from "./replica.ts";
import { StepClock } from "./step_clock.ts";
import { type LocalTotals, NO_TOTALS } from "./step_sums.ts";

/** A worker's place among the workers of a run. */
export interface Place {
  readonly rank: number;
  readonly worldSize: number;
}

/** From where to where an epoch goes. */
export interface EpochSpan {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of it that are already done. */
  readonly startStep: number;
  /** Optimizer steps of the run before this epoch's first one here. */
  readonly optimizerSteps: number;
}

/** What of a replica the loop needs. */
export interface TrainableReplica extends Pick<Replica, "forwardBackward" | "update"> {
  readonly state: { readonly optimizer: Pick<Optimizer, "baseRates" | "measure"> };
}

/** What of a loader the loop needs. */
export type BatchSource = Pick<Loader, "batches">;

/** What the loop works with; `bench scaling` puts clocks around these. */
export interface EpochParts {
  readonly config: Config;
  /** Samples per step over all ranks. */
  readonly globalBatch: number;
  readonly place: Place;
  readonly replica: TrainableReplica;
  readonly loader: BatchSource;
  /** Samples of the loader. */
  readonly samples: number;
  /** The samples keep their order instead of being shuffled. */
  readonly inOrder?: boolean;
  readonly exchange: GradientExchange;
}

/** What a worker trains with. */
export interface TrainingParts extends EpochParts {
  readonly replica: Replica;
  readonly loader: Loader;
}

/** Who looks on while a rank trains. */
export interface StepObserver {
  /** A step begins: its batch is here. */
  onBegin?(step: number): void;
  /** A part of a step begins. */
  onPhase?(step: number, phase: StepPhase): void;
  /** A step has ended. */
  onEnd?(step: number, times: RankTimes, result: StepResult): void;
}

/** What a rank did in an epoch. */
export interface EpochOutcome {
  /** Optimizer steps taken. */
  readonly steps: number;
  /** Images that couldn't be read and were left out. */
  readonly skipped: readonly SkippedSample[];
  /** The step at which gradients or loss were not finite; no update was made. */
  readonly notFinite?: number;
}

/**
 * Trains an epoch, or what is left of it: for each step gradients of this rank's rows, their sum over the ranks, the
 * update of this rank's part of the parameters, and the others' parts.
 * All ranks end at the same step: when the plan does, when the coordinator says so, or before an update that
 * isn't finite.
 */
export async function trainEpoch(
  parts: EpochParts,
  { epoch, startStep, optimizerSteps }: EpochSpan,
  observer: StepObserver,
  signal?: AbortSignal,
): Promise<EpochOutcome> {
  const { config, globalBatch, place, replica, loader, samples: length, exchange } = parts;
  const { seed, train } = config;
  const { dropLast } = train;
  const runLength = {
    epochs: train.epochs,
    stepsPerEpoch: stepsPerEpoch(length, globalBatch, dropLast),
  };
  const order = { seed, epoch, shuffle: !parts.inOrder, startStep };
  const plan = planEpoch({ length, globalBatch, dropLast, ...place, ...order });
  const skipped: SkippedSample[] = [];
  let steps = 0;
  let position = 0;
  const { optimizer } = replica.state;
  const measure = (range: FloatRange) => optimizer.measure(range);
  const clock = new StepClock();
  const bucketBytes = config.nats.bucketSize;
  const enter = (phase: StepPhase) => {
    const at = Math.min(position, plan.length - 1);
    observer.onPhase?.(plan[at]?.step ?? startStep, phase);
  };

  enter("waiting for its batch");
  for await (const batch of loader.batches(plan, epoch, { seed, signal, reuse: true })) {
    const { step, globalRows, rowOffset } = plan[position];
    clock.lap("data");
    observer.onBegin?.(step);
    enter("computing");
    skipped.push(...batch.skipped);
    const samples = batch.labels.length;
    const { vector } = exchange;
    const contribution = (totals: LocalTotals): StepContribution => (
      { epoch, step, samples, vector, ...totals, measure, times: clock.known }
    );
    const early: EarlyGradients | undefined = bucketBytes > 0 && exchange.offer
      ? {
        bucketBytes,
        onReady: (totals, begin) => exchange.offer!(contribution(totals), begin),
      }
      : undefined;
    const seeds = [randomSeed(seed, "step", epoch, step), randomSeed(seed, "step", step, epoch)];
    const stepPlace = { seed: [seeds[0], seeds[1]] as const, globalRows, rowOffset };
    const totals = await gradientsOf(replica, batch, stepPlace, early);
    clock.lap("forwardBackward");
    enter("waiting for the other ranks");
    const reduced = await exchange.reduceScatter(contribution(totals), signal);
    clock.lap("exchange");
    if (!reduced.finite) return { steps, skipped, notFinite: step };
    // Nothing to learn from: all samples were unreadable, or their classes have weight 0. These have statistics.
    const learns = reduced.weight > 0;
    const hasStatistics = reduced.statisticsRows > 0;
    if (learns || hasStatistics) {
      const at = { epoch, step };
      const rates = optimizer.baseRates.map((rate) =>
        learningRateAt(train.schedule, rate, at, runLength)
      );
      const optimizerStep = optimizerSteps + steps + 1;
      const { ema, schedule } = train;
      const newShare = ema &&
        newShareAt({ ema, schedule, globalBatch, ...runLength }, at, optimizerStep);
      enter("updating its parameters");
      await replica.update({
        ...{ rates, step: optimizerStep, squares: reduced.measure, learns, hasStatistics },
        ...(newShare === undefined ? {} : { newShare }),
      });
      clock.lap("update");
      enter("waiting for the other ranks");
      await exchange.allGather(signal);
      clock.lap("exchange");
      if (learns) steps++;
    }
    clock.lap("update"); // what is left of the step where none was taken
    const times = clock.next(); // also when nobody asks for them: the clock must go on
    observer.onEnd?.(step, times, reduced);
    if (reduced.action === "stop") break;
    position++;
    enter("waiting for its batch");
  }
  return { steps, skipped };
}

/** A rank without rows brings nothing to a step. */
async function gradientsOf(
  replica: TrainableReplica,
  batch: Batch,
  place: Parameters<Replica["forwardBackward"]>[1],
  early: EarlyGradients | undefined,
): Promise<LocalTotals> {
  if (batch.labels.length === 0) return NO_TOTALS;
  return await replica.forwardBackward(batch, place, early);
}
