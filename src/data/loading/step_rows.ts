/**
 * The rows of one step, as whoever makes them is asked for them and gives them.
 *
 * @module
 */
import type { Mix } from "../transforms/mix.ts";

/** The samples of one step of one rank. */
export interface StepOrder {
  readonly step: number;
  /** Samples of the rows; when mixed maybe one more: that of the row before the first one. */
  readonly wanted: readonly number[];
  /** Rows of the step. */
  readonly planned: number;
  readonly mix: Mix | undefined;
}

/** The outcome of a row: its image is in its place, its sample was known and not read, or an error. */
export type RowOutcome = "image" | "unread" | { readonly error: unknown };

/** Rows that are made: mixed, and without gaps. */
export interface MadeRows {
  /** The bytes of the rows that have an image or are unread, one after the other. */
  readonly rows: Uint8Array;
  /** [wanted]. */
  readonly outcomes: readonly RowOutcome[];
  /** The floats of wanted rows whose images have floats of their own, where rows are bytes. */
  readonly floats?: ReadonlyMap<number, Float32Array>;
}

/** Settings of an iteration. */
export interface RowsOptions {
  readonly epoch: number;
  readonly seed: number;
  /** Ends the making of rows, with its reason. */
  readonly signal: AbortSignal;
  /** True if {@linkcode RowFactory.recycle} gives the memory of all rows back. */
  readonly reuse: boolean;
}

/** Makes the rows of one iteration's steps. */
export interface RowFactory {
  /**
   * Makes the rows of a step.
   *
   * @throws The signal's reason when it has fired
   */
  make(order: StepOrder): Promise<MadeRows>;
  /** Takes the memory of rows back that are done with. */
  recycle(rows: Uint8Array): void;
  /** Ends the iteration, when nothing is being made any more. */
  close(): void;
}

/** Tells whether there is something in a row's place. */
export function isUsable(outcome: RowOutcome): boolean {
  return typeof outcome === "string";
}

/** The bytes of memory that a step's rows take while they are made. */
export function bytesToMake({ planned, mix }: StepOrder, rowBytes: number): number {
  return (planned + (mix ? 1 : 0)) * rowBytes;
}
