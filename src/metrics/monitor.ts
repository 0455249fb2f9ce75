/**
 * The number of an epoch that decides what is the best, and when training has gone on for long enough.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { z } from "../deps/zod.ts";
import { UsageError } from "../base/errors.ts";
import { float32 } from "../base/float32.ts";

const metric = z.string().min(1, "give accuracy, loss or the name of a metric of your own");

const mode = z.enum(["max", "min"]).optional().describe(
  "The direction that is better: `min` for the loss, `max` for everything else, unless set.",
);

/** `train.earlyStopping`: ends training when an epoch's validation gets no better any more. */
export const earlyStoppingSchema = z.strictObject({
  metric: metric.default("accuracy").describe("`accuracy`, `loss`, or a metric of your own."),
  mode,
  patience: z.int().positive().describe("Epochs without improvement after which training ends."),
  minDelta: float32().nonnegative().default(0).describe(
    "The change that a value must exceed to count as an improvement.",
  ),
});

/** `checkpoint`: the checkpoints of a run that are kept beside `last`. */
export const checkpointPolicySchema = z.strictObject({
  monitor: metric.default("accuracy").describe(
    "The metric that decides what `best` is: `accuracy`, `loss`, or one of your own.",
  ),
  mode,
  everySteps: z.int().positive().optional().describe(
    "Save `last` within an epoch too, each time this number of its steps is done.",
  ),
  everyEpochs: z.int().positive().optional().describe(
    "Keep the model each time this number of epochs is done, as `checkpoints/epoch-5`; none unless set.",
  ),
  keep: z.int().positive().optional().describe(
    "The number of those that stay, the newest; all unless set.",
  ),
});

/** `train.earlyStopping` of a validated config. */
export type EarlyStopping = z.output<typeof earlyStoppingSchema>;

/** A metric and which way it is better. */
export interface Monitor {
  readonly metric: string;
  readonly mode?: "max" | "min" | undefined;
}

/** The numbers of an epoch that can be monitored. */
export interface MonitoredEpoch {
  readonly epoch: number;
  readonly validation: { readonly loss: number; readonly accuracy: number };
  /** Metrics of the user's own by name. */
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

/**
 * Makes sure that there is a metric of that name.
 *
 * @param key The config key that names it
 * @param own Names of the user's own metrics
 * @throws {UsageError} naming those that there are
 */
export function checkMonitor({ metric }: Monitor, key: string, own: readonly string[]): void {
  const known = ["accuracy", "loss", ...own];
  if (known.includes(metric)) return;
  throw new UsageError(
    `${key} is ${JSON.stringify(metric)}, but there is no such metric: give ${
      known.join(", ")
    }, or write one ` +
      "in validate.metricsModule",
  );
}

/** The monitored number of an epoch. */
export function monitored({ metric }: Monitor, { validation, metrics }: MonitoredEpoch): number {
  if (metric === "accuracy" || metric === "loss") return validation[metric];
  return metrics?.[metric] ?? NaN;
}

/**
 * Tells whether a value is better than the best one before by more than `minDelta`; NaN and infinities never
 * are.
 */
export function isBetter(
  { metric, mode = metric === "loss" ? "min" : "max" }: Monitor,
  value: number,
  best: number,
  minDelta = 0,
): boolean {
  if (!Number.isFinite(value)) return false;
  if (!Number.isFinite(best)) return true;
  return mode === "max" ? value > best + minDelta : value < best - minDelta;
}

/**
 * Returns the reason why training is over: a function of the epochs on record and of nothing else, so that a
 * resumed run stops where it would have stopped.
 *
 * @returns Nothing as long as training goes on
 */
export function earlyStopReason(
  stopping: EarlyStopping,
  epochs: readonly MonitoredEpoch[],
): string | undefined {
  let best = { value: NaN, epoch: 0 };
  for (const each of epochs) {
    const value = monitored(stopping, each);
    if (isBetter(stopping, value, best.value, stopping.minDelta)) {
      best = { value, epoch: each.epoch };
    } else if (each.epoch - best.epoch >= stopping.patience) {
      return best.epoch === 0
        ? `the ${stopping.metric} was no number in ${stopping.patience} epochs`
        : `the ${stopping.metric} was no better in ${counted(stopping.patience, "epoch")} than ${
          format(best.value)
        } in epoch ${best.epoch}`;
    }
  }
}

function format(value: number): string {
  return String(Number(value.toPrecision(4)));
}
