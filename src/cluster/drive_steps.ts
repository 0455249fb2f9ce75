/**
 * The coordinator's side of steps that the ranks take in one command: it decides on each of them, and goes on after the
 * loss of workers.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import type { StepKey } from "../base/step_key.ts";
import type { Reducer, StepTotals } from "../exchange/gradient_exchange.ts";
import type { Reply } from "../protocol/command_channel.ts";
import type { BookedSteps } from "./recover.ts";
import type { Json } from "../protocol/large_json.ts";

/** The part of a coordinator's end of the exchange that drives steps. */
export type StepReducer = Pick<Reducer, "reduce" | "settled" | "places" | "reported">;

/** The subset of a `Cluster` that drives steps. */
export interface SteppingCluster {
  /** Fires with the error to report when a worker or the server is lost. */
  readonly lost: AbortSignal;
  /** The coordinator's end of the exchange, of the present generation of ranks. */
  readonly exchange: { readonly reducer: StepReducer };
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
  /** As of `Cluster`. */
  recover(
    cause: unknown,
    options: { booked?: () => Promise<BookedSteps>; signal?: AbortSignal | undefined },
  ): Promise<number | undefined>;
}

/** Steps of an epoch in one command. */
export interface StepSpan {
  /** Name of the command in which the ranks run the steps. */
  readonly command: string;
  /** Makes the command's arguments for a span that begins with a step: the first one, or one after a loss. */
  readonly args: (startStep: number) => Json;
  readonly epoch: number;
  /** The first step, counted from 0. */
  readonly startStep: number;
  /** The step before which the span ends, unless an earlier step becomes the last one. */
  readonly endStep: number;
}

/** Decides on steps, and listens to them. */
export interface StepRuler {
  /**
   * Called for each step, in order; `stop` makes the step the last one. Unless {@linkcode mayDecideAhead}, it is
   * called when all contributions to the step are there, after `onStep` of the step before. A step that is taken again
   * after a loss is decided on again.
   */
  decide(step: StepKey): "continue" | "stop";
  /** True when short steps may be decided on some milliseconds ahead. */
  readonly mayDecideAhead?: boolean;
  /** Called with each step's totals as soon as they are known; an error from it ends the span. */
  check?(step: StepKey, totals: StepTotals): void | Promise<void>;
  /**
   * Called once for each step, in order. Where steps are decided on ahead, all ranks hold the step then, so that it is
   * never taken again. An error from this callback ends the span.
   */
  onStep?(step: StepKey, totals: StepTotals): void | Promise<void>;
}

/**
 * Runs the steps of a span on all ranks, from the first to the last.
 *
 * @returns The replies in the order of the ranks; none where ranks were lost after the last step
 * @throws {LockstepError} when a worker fails or is lost, and nobody takes its place
 */
export async function driveSteps(
  cluster: SteppingCluster,
  span: StepSpan,
  ruler: StepRuler,
  signal?: AbortSignal,
): Promise<Reply[]> {
  const books = new StepBooks(span.startStep, ruler);
  for (let startStep = span.startStep;;) {
    try {
      return await runSpan(cluster, { ...span, startStep }, ruler, books, signal);
    } catch (cause) {
      const { exchange: { reducer } } = cluster;
      const beginning = startStep;
      const held = await cluster.recover(cause, {
        booked: async () => {
          const steps = await books.takeSettled(reducer, span);
          return { epoch: span.epoch, startStep: beginning, steps };
        },
        signal,
      });
      startStep = await books.settle(held ?? books.booked);
      if (books.isOver || startStep >= span.endStep) return [];
    }
  }
}

/** Takes the steps of a span until one of them is the last, or a worker is lost. */
async function runSpan(
  cluster: SteppingCluster,
  { command, args, epoch, startStep, endStep }: StepSpan,
  ruler: StepRuler,
  books: StepBooks,
  signal: AbortSignal | undefined,
): Promise<Reply[]> {
  const { exchange: { reducer } } = cluster;
  using _watch = cluster.watchSteps(reducer);
  const over = new AbortController();
  const replies = cluster.callAll(command, args(startStep), {
    signal: anySignal(over.signal, signal),
  });
  replies.catch((error) => over.abort(error));
  const ended = anySignal(cluster.lost, over.signal, signal);
  try {
    for (let step = startStep; step < endStep && !books.isOver; step++) {
      const key = { epoch, step };
      cluster.inStep(key);
      const ahead = ruler.mayDecideAhead ? endStep - step : 0;
      const totals = await reducer.reduce(key, (step) => ruler.decide(step), {
        signal: ended,
        ahead,
      });
      await books.add(key, totals);
      if (!ruler.mayDecideAhead) await books.report();
    }
    const answers = await replies;
    await books.report();
    return answers;
  } catch (error) {
    over.abort(error); // nobody waits for the replies any more
    throw error;
  }
}

/** The results of steps: of those that were reported, and of those that may have to be taken again. */
class StepBooks {
  readonly #ruler: StepRuler;
  #waiting: { readonly key: StepKey; readonly totals: StepTotals }[] = [];
  /** The first step that was not reported. */
  #reported: number;
  /** Steps whose results are known. */
  #booked: number;
  #isOver = false;

  constructor(startStep: number, ruler: StepRuler) {
    this.#reported = this.#booked = startStep;
    this.#ruler = ruler;
  }

  /** Number of steps of the epoch whose results are known. */
  get booked(): number {
    return this.#booked;
  }

  /** True when the last step was the last of the span. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Adds the results of a step that all ranks have contributed to, so that they hold the one before. */
  async add(key: StepKey, totals: StepTotals): Promise<void> {
    await this.report();
    this.#booked = key.step + 1;
    this.#isOver = totals.action === "stop";
    if (key.step < this.#reported) return; // taken again
    await this.#ruler.check?.(key, totals);
    this.#waiting.push({ key, totals });
  }

  /** Reports all results. */
  async report(): Promise<void> {
    for (let due = this.#waiting.shift(); due; due = this.#waiting.shift()) {
      await this.#ruler.onStep?.(due.key, due.totals);
      this.#reported = due.key.step + 1;
    }
  }

  /** Takes the results that the exchange has, and that nobody has asked for yet; returns {@linkcode booked}. */
  async takeSettled(reducer: StepReducer, { epoch, endStep }: StepSpan): Promise<number> {
    while (!this.#isOver && this.#booked < endStep) {
      const key = { epoch, step: this.#booked };
      const totals = reducer.settled?.(key);
      if (!totals) break;
      await this.add(key, totals);
    }
    return this.#booked;
  }

  /**
   * Reports the results of the steps that all ranks hold, and forgets those of others.
   *
   * @param held Number of steps of the epoch that they hold
   * @returns the step with which they go on
   */
  async settle(held: number): Promise<number> {
    const isDropped = this.#booked > held;
    this.#waiting = this.#waiting.filter(({ key }) => key.step < held);
    await this.report();
    this.#booked = held;
    if (isDropped) this.#isOver = false;
    return held;
  }
}
