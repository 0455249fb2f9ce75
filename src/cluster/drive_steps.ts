/**
 * Drives the steps of a command: the ranks run them, and the coordinator decides on each one at its end of the
 * exchange.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import type { Reducer, StepTotals } from "../exchange/gradient_exchange.ts";
import type { Reply } from "../protocol/command_channel.ts";
import type { Json } from "../protocol/large_json.ts";

/** The subset of a cluster that a span of steps needs. */
export interface SteppingCluster {
  /** Fires with the error to report when a worker or the server is lost. */
  readonly lost: AbortSignal;
  /** Has every worker run a command; returns the replies in the order of the ranks. */
  callAll(
    name: string,
    args: Json,
    options: { signal?: AbortSignal | undefined },
  ): Promise<Reply[]>;
  /** Records the step that all ranks are in, for messages. */
  inStep(step: StepKey): void;
  /** Reports when no rank gets on, until the watch is disposed of. */
  watchSteps(reducer: Pick<Reducer, "places" | "reported">): Disposable;
}

/** The steps of a command. */
export interface StepSpan {
  /** Name of the command in which the ranks run the steps. */
  readonly command: string;
  readonly args: Json;
  readonly epoch: number;
  /** The first step, counted from 0. */
  readonly startStep: number;
  /** The step before which the span ends, unless an earlier step becomes the last one. */
  readonly endStep: number;
}

/** Decides on the steps and observes them. */
export interface StepRuler {
  /**
   * Called once for each step, in order; `stop` makes the step the last one. Unless {@linkcode mayDecideAhead}, it is
   * called when all contributions to the step are there, after `onStep` of the step before.
   */
  decide(step: StepKey): "continue" | "stop";
  /** True when short steps may be decided on some milliseconds ahead. */
  readonly mayDecideAhead?: boolean;
  /** Called with each step's totals, before the next step; an error from this callback ends the span. */
  onStep?(step: StepKey, totals: StepTotals): void | Promise<void>;
}

/**
 * Has all workers run a command with steps, and decides on each step until the span or its last step ends.
 *
 * The loss of a worker, a worker's failure and the signal each end the current step at once.
 *
 * @param reducer The coordinator's end of the exchange between the workers
 * @returns The replies to the command, in the order of the ranks
 * @throws {LockstepError} when a worker is lost or fails
 * @throws The signal's reason when it fires, and any error of `ruler`
 */
export async function driveSteps(
  cluster: SteppingCluster,
  reducer: Pick<Reducer, "reduce" | "places" | "reported">,
  { command, args, epoch, startStep, endStep }: StepSpan,
  ruler: StepRuler,
  signal?: AbortSignal,
): Promise<Reply[]> {
  using _watch = cluster.watchSteps(reducer);
  const failed = new AbortController();
  const replies = cluster.callAll(command, args, { signal });
  replies.catch((error) => failed.abort(error));
  const ends = [cluster.lost, failed.signal, ...(signal ? [signal] : [])];
  const ended = AbortSignal.any(ends);
  let action: "continue" | "stop" = "continue";
  for (let step = startStep; step < endStep && action === "continue"; step++) {
    const key = { epoch, step };
    cluster.inStep(key);
    const ahead = ruler.mayDecideAhead ? endStep - step : 0;
    const totals = await reducer.reduce(key, (step) => ruler.decide(step), {
      signal: ended,
      ahead,
    });
    action = totals.action;
    await ruler.onStep?.(key, totals);
  }
  return await replies;
}
