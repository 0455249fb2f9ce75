/**
 * Learning-rate schedules, with the semantics of `torch.optim.lr_scheduler`: functions of the place in the run
 * alone, so that a resumed run needs no scheduler state.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { float32Problem } from "../base/float32.ts";
import type { StepKey } from "../base/step_key.ts";
import type { ScheduleConfig } from "./config.ts";
import type { ScheduleDeclaration, ScheduleEnd, ScheduleTime } from "./schedule_declaration.ts";
import * as declarations from "./schedules.ts";

/** A declaration, given the config that names it. */
type AnySchedule = Omit<ScheduleDeclaration<Record<never, never>>, "rateAt" | "problem"> & {
  rateAt(config: ScheduleConfig, rate: number, at: ScheduleTime): number;
  problem?(config: ScheduleConfig, end: ScheduleEnd): string | undefined;
};

/** The length of a run. */
export interface RunLength {
  readonly epochs: number;
  readonly stepsPerEpoch: number;
}

/** The keys of a schedule on which its warm-up depends. */
export type WarmupConfig = Pick<ScheduleConfig, "per" | "warmup">;

/** Tells whether the learning rate is still rising to its first value. */
export function isWarmingUp(
  config: WarmupConfig,
  place: StepKey,
  length: RunLength,
): boolean {
  return config.warmup !== undefined && timeAt(config, place, length) < config.warmup.length;
}

/** Epochs or steps before a step, as the schedule counts. */
function timeAt(
  { per }: WarmupConfig,
  { epoch, step }: StepKey,
  { stepsPerEpoch }: RunLength,
): number {
  return per === "epoch" ? epoch - 1 : (epoch - 1) * stepsPerEpoch + step;
}

/**
 * The learning rate of a step.
 *
 * @param config The schedule
 * @param baseRate Learning rate before the schedule, of the run or of a group
 */
export function learningRateAt(
  config: ScheduleConfig,
  baseRate: number,
  place: StepKey,
  length: RunLength,
): number {
  const time = timeAt(config, place, length);
  const { warmup } = config;
  if (warmup && isWarmingUp(config, place, length)) {
    const { startFactor } = warmup;
    return baseRate * (startFactor + (1 - startFactor) * time / warmup.length);
  }
  return declarationOf(config).rateAt(config, baseRate, {
    time: time - (warmup?.length ?? 0),
    whole: timeLeft(config, length),
  });
}

/** The declaration of a schedule, given the config that names it. */
function declarationOf(config: ScheduleConfig): AnySchedule {
  return declarations[config.name] as unknown as AnySchedule;
}

/** Epochs or steps of the run, as the schedule counts. */
function timeOf({ per }: ScheduleConfig, { epochs, stepsPerEpoch }: RunLength): number {
  return per === "epoch" ? epochs : epochs * stepsPerEpoch;
}

/** Epochs or steps after the warm-up. */
function timeLeft(config: ScheduleConfig, length: RunLength): number {
  return Math.max(1, timeOf(config, length) - (config.warmup?.length ?? 0));
}

/** Learning rates of a run that are looked at: all of them, unless a run has more steps than this. */
const MAX_CHECKED_RATES = 1_000_000;

/**
 * Refuses a schedule that makes a learning rate of the run NaN or, in float32, infinite.
 *
 * @param baseRates Learning rates before the schedule, of the run and of its groups
 * @throws {UsageError} naming the first epoch and step with such a rate
 */
export function checkRates(
  config: ScheduleConfig,
  baseRates: readonly number[],
  length: RunLength,
): void {
  const { epochs, stepsPerEpoch } = length;
  const steps = config.per === "epoch" ? 1 : stepsPerEpoch;
  const count = epochs * steps;
  const problemAt = (baseRate: number, at: number) => {
    const place = { epoch: Math.floor(at / steps) + 1, step: at % steps };
    const rate = learningRateAt(config, baseRate, place, length);
    return Number.isFinite(Math.fround(rate)) ? undefined : { rate, place };
  };
  const stride = Math.ceil(count / MAX_CHECKED_RATES);
  for (const baseRate of new Set(baseRates)) {
    for (let next = 0; next < count + stride - 1; next += stride) {
      const last = Math.min(next, count - 1); // the last rate is looked at, whatever the stride
      if (!problemAt(baseRate, last)) continue;
      let first = last;
      while (first > 0 && problemAt(baseRate, first - 1)) first--;
      const { rate, place: { epoch, step } } = problemAt(baseRate, first)!;
      const where = config.per === "epoch" ? `epoch ${epoch}` : `epoch ${epoch}, step ${step}`;
      const problem = float32Problem(rate)!.replace(/:.*/, "");
      throw new UsageError(
        `train.schedule (${config.name}) brings the learning rate ${baseRate} to ${rate} in ${where}, which is ` +
          `${problem}: ${declarationOf(config).cure}, a smaller train.lr or fewer epochs`,
      );
    }
  }
}

/**
 * Refuses a schedule that doesn't fit into the run.
 *
 * @throws {UsageError} when a milestone, or the warm-up's end, lies past the last epoch or step
 */
export function checkSchedule(config: ScheduleConfig, length: RunLength): void {
  const whole = timeOf(config, length);
  const warmup = config.warmup?.length ?? 0;
  const unit = `${config.per}s`;
  if (warmup >= whole) {
    throw new UsageError(
      `train.schedule.warmup.length is ${warmup}, but the run has ${whole} ${unit}: ` +
        "give a smaller one, or more epochs",
    );
  }
  const problem = declarationOf(config).problem?.(config, { whole, warmup, unit });
  if (problem !== undefined) throw new UsageError(`train.schedule.${problem}`);
}
