/**
 * The training loop: what a rank does in an epoch, step by step.
 *
 * Everything that this file names is behind an interface: images, gradients and updates in `rank_epoch.ts`, the sum
 * over the ranks in `src/exchange/`, clocks and heartbeats in `step_watch.ts`.
 *
 * @module
 */
import { faultPoint } from "../base/fault_point.ts";
import type { FloatRange } from "../base/float_range.ts";
import type { Batch } from "../data/loading/loader.ts";
import type {
  GradientExchange,
  StepContribution,
  StepResult,
} from "../exchange/gradient_exchange.ts";
import type { StepVerdict } from "./step_judge.ts";
import type { StepWatch } from "./step_watch.ts";

/** Result of an epoch on one rank. */
export interface EpochOutcome {
  /** Optimizer steps taken. */
  readonly steps: number;
  /** The step at which the verdict was to fail: gradients or loss were not finite. No update was made. */
  readonly notFinite?: number;
}

/** One rank's part of an epoch: its batches, its model, and the exchange with the other ranks. */
export interface EpochWork {
  readonly exchange: Pick<GradientExchange, "reduceScatter" | "agree" | "allGather">;
  /** This rank's rows of each step that is left, in the order of the steps; a step may have none. */
  batches(signal?: AbortSignal): AsyncIterable<Batch>;
  /** Puts on record which samples a batch lacks; called before anything of the step goes to the other ranks. */
  reportSkipped(batch: Batch, signal?: AbortSignal): Promise<void>;
  /** Runs forward and backward; returns the rank's gradients, and their weight among those of all ranks. */
  forwardBackward(batch: Batch, signal?: AbortSignal): Promise<StepContribution>;
  /** The sum of the squares of the summed gradients in some ranges, where it is needed. */
  sumSquares(ranges: readonly FloatRange[]): number;
  /** Judges a step by its result; all ranks come to the same verdict. */
  judge(reduced: StepResult): StepVerdict;
  /** Looks for the cause of a step that isn't finite, where the step failed or is the first one that is skipped. */
  diagnose(batch: Batch, own: StepContribution, verdict: "fail" | "skip"): Promise<void>;
  /** Ends the use of a batch. */
  finish(batch: Batch): void;
  /**
   * Makes the next version of this rank's part of the parameters and the running statistics.
   *
   * @param done Optimizer steps of this epoch that were taken before
   */
  update(step: number, reduced: StepResult, done: number): Promise<void>;
  /** Makes the next version the current one. */
  commit(): void;
}

/**
 * Trains an epoch, or the rest of it. All ranks end at the same step: when the batches do, when the coordinator
 * says so, or before an update that isn't finite.
 *
 * @throws The signal's reason when it fires
 */
export async function trainEpoch(
  work: EpochWork,
  watch: Pick<StepWatch, "begin" | "enter" | "end" | "times">,
  signal?: AbortSignal,
): Promise<EpochOutcome> {
  const { exchange } = work;
  let steps = 0;

  watch.enter("waiting for its batch");
  for await (const batch of work.batches(signal)) {
    const { step } = batch;
    watch.begin(step);
    if (batch.skipped.length > 0) {
      watch.enter("waiting for the coordinator");
      await work.reportSkipped(batch, signal);
    }

    let reduced: StepResult;
    let verdict: StepVerdict;
    try {
      watch.enter("computing");
      const gradients = await work.forwardBackward(batch, signal);

      watch.enter("waiting for the other ranks");
      const ranges = await exchange.reduceScatter({ ...gradients, times: watch.times }, signal);
      reduced = await exchange.agree(work.sumSquares(ranges), signal);
      verdict = work.judge(reduced);
      if (verdict === "fail" || verdict === "skip") {
        watch.enter("computing");
        await work.diagnose(batch, gradients, verdict);
      }
    } finally {
      work.finish(batch);
    }
    if (verdict === "fail") return { steps, notFinite: step };

    if (verdict === "apply" && changesAnything(reduced)) {
      watch.enter("updating its parameters");
      faultPoint("sum-to-update");
      await work.update(step, reduced, steps);

      watch.enter("waiting for the other ranks");
      await exchange.allGather(signal);
      work.commit();
      if (reduced.weight > 0) steps++;
    }

    watch.end(reduced);
    if (reduced.action === "stop") break;
    watch.enter("waiting for its batch");
  }
  return { steps };
}

/** Without weight (no image could be read, or all classes have weight 0) gradients are 0; statistics may still move. */
function changesAnything({ weight, statisticsRows }: StepResult): boolean {
  return weight > 0 || statisticsRows > 0;
}
