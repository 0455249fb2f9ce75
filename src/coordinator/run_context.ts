/**
 * The parts of a running training, and its position on the axes of its records.
 *
 * @module
 */
import { recorded, type RecordedPoint } from "../base/step_key.ts";
import type { BestEffort } from "../events/best_effort.ts";
import type { RunEvents } from "../events/run_events.ts";
import type { History } from "../records/history.ts";
import type { HistoryWriter } from "../records/history_writer.ts";
import type { CallbackRunner } from "./callbacks.ts";
import type { EpochContext } from "./epoch_context.ts";
import type { PreparedRun } from "./preparation/prepare.ts";
import type { Position } from "./state/run_state.ts";
import type { RunWatch } from "./listeners/run_watch.ts";
import type { SavedState } from "./state/saved_state.ts";
import type { DivergenceWatch } from "./epochs/divergence.ts";
import type { SkippedImages } from "./epochs/skipped_images.ts";
import type { SkippedSteps } from "./epochs/skipped_steps.ts";

/** A run with its folder: the state, which the run writes, and the stream of its events. */
export interface RunParts {
  readonly run: PreparedRun;
  readonly folder: string;
  readonly history: History;
  readonly record: Pick<HistoryWriter, "save" | "finish">;
  readonly saved: SavedState;
  readonly events: RunEvents;
  readonly watch: RunWatch;
  readonly effort: BestEffort;
}

/** A run whose workers train. */
export interface RunContext extends EpochContext, RunParts {
  readonly run: PreparedRun;
  readonly callbacks: CallbackRunner;
  readonly skipped: Pick<SkippedImages, "report">;
  readonly divergence: DivergenceWatch;
  readonly skippedSteps: Pick<SkippedSteps, "report" | "isFirst">;
  readonly signal: AbortSignal | undefined;
}

/** Returns the coordinate of a position on the axis of images seen. */
export function pointAt(
  point: Pick<Position, "epoch" | "stepsDone" | "totals">,
  { plan }: Pick<PreparedRun, "plan">,
): RecordedPoint & { examples: number } {
  const examples = (point.epoch - 1) * plan.samplesPerEpoch + point.totals.count;
  return { examples, ...recorded(point) };
}

/** Tells whether an action that is repeated every given number of steps or epochs is due. */
export function isMultiple(count: number, every: number | undefined): boolean {
  return every !== undefined && count % every === 0;
}
