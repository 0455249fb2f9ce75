/**
 * One rank's part of an epoch: its share of each batch, gradients, and the update of its part of the parameters.
 *
 * @module
 */
import { LockstepError, messageOf } from "../base/errors.ts";
import { takeFaultPoint } from "../base/fault_point.ts";
import type { FloatRange } from "../base/float_range.ts";
import { given } from "../base/given.ts";
import { randomSeed } from "../base/random.ts";
import type { RankInfo } from "../base/rank_info.ts";
import type { StepKey } from "../base/step_key.ts";
import type { Config } from "../config/schema.ts";
import type { Batch, Loader } from "../data/loading/loader.ts";
import type { EpochStep } from "../data/loading/sampler.ts";
import type {
  GradientExchange,
  StepContribution,
  StepResult,
} from "../exchange/gradient_exchange.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { SkippedSender } from "../protocol/skipped_samples.ts";
import type { MomentMeeting } from "./moment_exchange.ts";
import { preparedAhead } from "./prepared_batches.ts";
import type { NonFiniteReport } from "./non_finite_origin.ts";
import type { EarlyGradients, RankShare, Replica } from "./replica.ts";
import type { ReplicaState } from "./replica_state.ts";
import type { RunPlan } from "./run_plan.ts";
import { type LocalTotals, NO_TOTALS } from "./step_sums.ts";
import { type JudgeState, StepJudge, type StepVerdict } from "./step_judge.ts";
import { type StepObserver, StepWatch } from "./step_watch.ts";
import { type EpochOutcome, type EpochWork, trainEpoch } from "./train_epoch.ts";

/** Characters of the reason why a step couldn't be computed again. */
const MAX_REASON = 500;

/** The span of an epoch's steps to train. */
export interface EpochSpan extends JudgeState {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of it that are already done. */
  readonly startStep: number;
  /** Optimizer steps of the run before this epoch's first one here. */
  readonly optimizerSteps: number;
}

/** The subset of `Replica` that an epoch uses. */
export interface TrainableReplica extends Pick<Replica, "forwardBackward" | "update" | "commit"> {
  readonly state: Pick<ReplicaState, "sumSquares"> & {
    readonly optimizer: Pick<Optimizer, "baseRates">;
  };
  /** As of `Replica`; missing where nothing is prepared. */
  readonly preparation?: Replica["preparation"];
  /** As of `Replica`; missing where replicas are not compared. */
  digest?(): Promise<number>;
  /** Changes a bit: see `ReplicaState`. */
  flipBit?(): Promise<void>;
  /** As of `Replica`; missing where no batch is kept. */
  finish?(batch: Batch): void;
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
  /** Reports the samples that a batch lacks to the coordinator; missing where no batch lacks any. */
  readonly skipped?: Pick<SkippedSender, "send">;
  /** Takes the reports about steps that are not finite; unless given, none is made. */
  readonly diagnosis?: Diagnosis;
}

/** The reports of a rank about steps that are not finite. */
export interface Diagnosis {
  readonly replica: Pick<Replica, "findNonFinite"> & {
    readonly state: Pick<ReplicaState, "hasNonFiniteVector">;
  };
  /** Steps that were skipped so far in this process, because they were not finite. */
  skipped: number;
  report(key: StepKey, report: NonFiniteReport): void;
}

/** The parts with which a worker trains. */
export interface TrainingParts extends EpochParts {
  readonly replica: Replica;
  readonly loader: Loader;
  readonly skipped: Pick<SkippedSender, "send">;
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
  readonly #observer: StepObserver;
  /** Factor of the loss of the present step. */
  #scale = 1;
  /** The digest of the replica before the present step, where replicas are compared in it. */
  #digest: number | undefined;

  constructor(parts: EpochParts, span: EpochSpan, observer: StepObserver) {
    const { epoch, startStep } = span;
    this.exchange = parts.exchange;
    this.#parts = parts;
    this.#span = span;
    this.#observer = observer;
    this.#judge = new StepJudge(span);
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

  async reportSkipped({ step, skipped }: Batch, signal?: AbortSignal): Promise<void> {
    if (!this.#parts.skipped) throw new TypeError("A batch without all of its samples");
    await this.#parts.skipped.send({ epoch: this.#span.epoch, step }, skipped, signal);
  }

  async forwardBackward(batch: Batch, signal?: AbortSignal): Promise<StepContribution> {
    const { replica, config: { nats, nccl } } = this.#parts;
    const { exchange } = this;
    const { bucketSize } = exchange.sumsOnDevice ? nccl : nats;
    this.#scale = this.#judge.scale;
    this.#digest = await this.#digestBefore(batch.step);
    const meeting = this.#meeting(signal);
    // A rank without rows brings nothing to a step but its presence.
    if (batch.labels.length === 0 && !meeting) return this.#contribution(batch, NO_TOTALS);
    const early: EarlyGradients | undefined = bucketSize > 0 && exchange.offer
      ? {
        bucketBytes: bucketSize,
        onReady: (totals, begin) => {
          const { times } = this.watch;
          exchange.offer!({ ...this.#contribution(batch, totals), times }, begin);
        },
      }
      : undefined;
    const place = { ...this.#shareOf(batch), keepsBatch: true };
    const totals = await replica.forwardBackward(batch, place, early, meeting);
    return this.#contribution(batch, totals);
  }

  async #digestBefore(step: number): Promise<number | undefined> {
    const { config: { train }, plan, place, replica } = this.#parts;
    if (takeFaultPoint("flip-bit")) await replica.flipBit?.();
    const every = train.detectDivergence;
    if (every === 0 || place.worldSize === 1) return undefined;
    const steps = (this.#span.epoch - 1) * plan.stepsPerEpoch + step;
    return steps % every === 0 ? await replica.digest?.() : undefined;
  }

  #shareOf({ step }: Batch): RankShare {
    const { config: { seed } } = this.#parts;
    const { epoch } = this.#span;
    const { globalRows, rowOffset } = this.#steps[step - this.#steps[0].step];
    const seeds = [
      randomSeed(seed, "step", epoch, step),
      randomSeed(seed, "step", step, epoch),
    ] as const;
    return { seed: seeds, globalRows, rowOffset, lossScale: this.#scale };
  }

  async diagnose(batch: Batch, own: StepContribution, verdict: "fail" | "skip"): Promise<void> {
    const { diagnosis, config: { train }, place: { worldSize } } = this.#parts;
    if (!diagnosis) return;
    const { replica } = diagnosis;
    if (verdict === "skip" && diagnosis.skipped++ > 0) return;
    const isOwn = !Number.isFinite(own.lossSum) || own.finite === false ||
      replica.state.hasNonFiniteVector();
    if (!isOwn) return;
    // Whatever goes wrong here must not hide that the step isn't finite.
    const origin = await replica.findNonFinite(batch, this.#shareOf(batch)).catch((error) =>
      ({ at: "unknown", reason: messageOf(error).slice(0, MAX_REASON) }) as const
    );
    const alone = train.syncBatchNorm && worldSize > 1;
    diagnosis.report({ epoch: this.#span.epoch, step: batch.step }, { origin, alone });
  }

  finish(batch: Batch): void {
    this.#parts.replica.finish?.(batch);
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
    this.#observer.onCommit?.();
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
    const digest = given("digest", this.#digest);
    return { epoch: this.#span.epoch, step, samples: labels.length, ...totals, ...digest };
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
