/**
 * Messages about a training step whose loss or gradients are NaN or infinite.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { counted } from "../../base/format.ts";
import type { List } from "../../base/lazy_list.ts";
import { listed } from "../../base/listing.ts";
import type { StepKey } from "../../base/step_key.ts";
import type { Config } from "../../config/schema.ts";
import type { EpochPlanner } from "../../data/loading/epoch_planner.ts";
import type { StepTotals } from "../../exchange/gradient_exchange.ts";
import { type NarrowDtype, ROUNDING } from "../../exchange/narrow.ts";
import { MIN_LOSS_SCALE } from "../../optim/loss_scaler.ts";
import { lossCure } from "../../optim/loss.ts";
import type { NonFiniteReport } from "../../train/non_finite_origin.ts";
import type { NonFiniteCounts } from "../../train/step_judge.ts";
import { describeOrigin } from "./non_finite_origin.ts";

/** The facts about a run that the messages name. */
export interface StepFacts {
  readonly config: {
    readonly workers: number;
    readonly train: Pick<Config["train"], "lr" | "classWeights">;
  };
  readonly dataset: { readonly train: Pick<List<{ readonly path: string }>, "at"> };
  readonly plan: { readonly training: Pick<EpochPlanner, "steps"> };
}

/** A step that isn't finite. */
export interface NonFiniteStep
  extends Pick<StepTotals, "worstRank" | "tooLargeFor">, Partial<Pick<StepTotals, "lossSum">> {
  /** Factor of the loss (default 1). */
  readonly scale?: number;
  /** The steps that were skipped so far, where such as are not finite may be. */
  readonly skipped?: NonFiniteCounts;
  /** The report of the first rank that is to blame, where it has made one. */
  readonly report?: NonFiniteReport | undefined;
}

/** Files that a message names. */
const MAX_NAMED_FILES = 20;

/**
 * Returns the error of a step that ends the run. It names the images of the first rank with a non-finite value, since
 * one of them may be the cause.
 */
export function nonFiniteStepError(
  facts: StepFacts,
  key: StepKey,
  step: NonFiniteStep,
): LockstepError {
  const { what, cure, files } = describe(facts, key, step);
  const { inARow = 0 } = step.skipped ?? {};
  const before = inARow > 0
    ? `, and ${counted(inARow, "step")} before it ${
      inARow === 1 ? "was" : "were"
    } skipped, as many as train.maxNonFiniteSteps allows in a row`
    : "";
  const where = `in epoch ${key.epoch}, step ${key.step}`;
  const images = files === undefined ? "" : `; its images were ${files}`;
  return new LockstepError(
    `${what(where)}, no update was made${before}${originOf(facts, step)}: ${cure}${images}`,
  );
}

/** Returns the warning about a step that is skipped. */
export function skippedStepWarning(facts: StepFacts, key: StepKey, step: NonFiniteStep): string {
  const { what, files } = describe(facts, key, step);
  const { inARow = 1 } = step.skipped ?? {};
  const run = inARow > 1 ? `, the ${ordinal(inARow)} in a row` : "";
  const images = files === undefined ? "" : `; its images were ${files}`;
  return `${what(`in epoch ${key.epoch}, step ${key.step}`)}: the step is skipped${run}` +
    `${originOf(facts, step)}${images}`;
}

function originOf({ dataset }: StepFacts, { report }: NonFiniteStep): string {
  return report ? `; ${describeOrigin(report, dataset.train)}` : "";
}

/** The parts of a message. */
interface Described {
  /** Returns the first clause, with the step's place in it. */
  readonly what: (where: string) => string;
  readonly cure: string;
  /** The images of the rank, where one is to blame. */
  readonly files?: string;
}

function describe(
  { config, dataset, plan }: StepFacts,
  { epoch, step }: StepKey,
  { worstRank: rank, tooLargeFor, lossSum = NaN, scale = 1 }: NonFiniteStep,
): Described {
  const cure = lossCure(config.train, "the data");
  if (scale <= MIN_LOSS_SCALE && Number.isFinite(lossSum)) {
    const whose = rank === undefined ? "The gradients" : `The gradients of rank ${rank}`;
    return {
      what: (where) =>
        `${whose} overflow float16 ${where}, however small the loss scale (${scale})`,
      cure: `set engine.precision to float32 or bfloat16, or ${cure}`,
    };
  }
  if (tooLargeFor) return formatOverflow(tooLargeFor, rank, config);
  if (rank === undefined) {
    return { what: (where) => `The sum of the gradients became infinite ${where}`, cure };
  }
  const [{ indices }] = plan.training.steps(epoch, { rank, worldSize: config.workers }, step);
  const files = listed(Array.from(indices, (index) => dataset.train.at(index)!.path), {
    max: MAX_NAMED_FILES,
  });
  return {
    what: (where) => `Loss or gradients became NaN or infinite on rank ${rank} ${where}`,
    cure,
    files,
  };
}

/** A gradient that is finite, but overflows the dtype of the exchange. */
function formatOverflow(
  dtype: NarrowDtype,
  rank: number | undefined,
  { train }: StepFacts["config"],
): Described {
  const whose = rank === undefined
    ? "The sum of the gradients has"
    : `Gradients of rank ${rank} have`;
  const wider = dtype === "float16" ? "bfloat16 or float32" : "float32";
  const { largest } = ROUNDING[dtype];
  return {
    what: (where) => `${whose} values too large for ${dtype} (at most ${largest}) ${where}`,
    cure: `set nats.gradientDtype to ${wider}, or ${lossCure(train)}`,
  };
}

function ordinal(count: number): string {
  const suffixes: Record<string, string> = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${count}${suffixes[new Intl.PluralRules("en", { type: "ordinal" }).select(count)]}`;
}
