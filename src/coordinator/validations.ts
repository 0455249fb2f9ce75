/**
 * Validations of a run: at the end of an epoch, within one, and before the first step.
 *
 * @module
 */
import { featureCacheBytes } from "../config/schema.ts";
import type { History, ValidationPoint } from "../records/history.ts";
import type { KeptFeatures } from "../train/feature_cache.ts";
import { driveValidation, type Validated } from "./epochs/drive_validation.ts";
import { validationDriver } from "./epoch_context.ts";
import { pointAt, type RunContext } from "./run_context.ts";
import type { Position } from "./state/run_state.ts";

/** Validates at the end of an epoch; adds the point to the history and sends it to the listeners. */
export async function validateEpoch(context: RunContext, position: Position): Promise<Validated> {
  const { validated, point } = await validateAt(context, position, `epoch ${position.epoch}`);
  context.events.emit({ type: "validation", point });
  return validated;
}

/** Validates before the first step or within an epoch. */
export async function validateWithin(
  context: RunContext,
  position: Position,
  secondsPerStep?: number,
): Promise<void> {
  const { epoch, stepsDone, totals } = position;
  const { point } = await validateAt(context, position, `epoch ${epoch}, step ${stepsDone}`);
  context.events.emit({
    type: "validation",
    point,
    within: {
      steps: context.run.plan.stepsPerEpoch,
      ...(totals.weight > 0 ? { trainLoss: totals.lossSum / totals.weight } : {}),
      ...(secondsPerStep === undefined ? {} : { secondsPerStep }),
    },
  });
}

/** Tells whether the validation at a place in an epoch is recorded; before the first step there is none. */
export function isValidated({ validations }: History, { epoch, stepsDone }: Position): boolean {
  return stepsDone === 0 ||
    validations.some(({ epoch: own, step }) => own === epoch && step === stepsDone);
}

async function validateAt(
  context: RunContext,
  position: Position,
  where: string,
): Promise<{ validated: Validated; point: ValidationPoint }> {
  const { run, history, signal, skipped } = context;
  const validated = await driveValidation(validationDriver(context), position.epoch, signal);
  skipped.report(validated.skipped);
  warnOfMetrics(context, where, validated.metrics);
  const { loss, accuracy, metrics } = validated;
  const point = { ...pointAt(position, run), loss, accuracy, ...(metrics ? { metrics } : {}) };
  history.validations.push(point);
  return { validated, point };
}

/** Warns of metrics that are NaN or infinite: records show them as `null`, and they never count as best. */
function warnOfMetrics(
  { events, run: { config: { validate } } }: RunContext,
  where: string,
  metrics: Readonly<Record<string, number>> = {},
): void {
  const names = Object.keys(metrics).filter((name) => !Number.isFinite(metrics[name]));
  if (names.length === 0) return;
  events.warn(
    `${names.join(", ")} of ${validate.metricsModule} ${names.length === 1 ? "is" : "are"} ` +
      `NaN or infinite in ${where}: null in the records, and never best`,
  );
}

/** Reports the amount of cached features of the workers, when the amount has changed. */
export function reportFeatures(
  { run: { config }, events }: RunContext,
  epoch: number,
  kept: KeptFeatures | undefined,
  before: KeptFeatures | undefined,
): void {
  if (!kept || kept.bytes === before?.bytes) return;
  events.emit({
    type: "features",
    epoch,
    kept,
    workers: config.workers,
    limit: featureCacheBytes(config),
  });
}
