/**
 * The optimizer of a run: the step on a part of the flat vector of parameters, and the state for that part.
 *
 * Sharding the state over the ranks is ZeRO's first stage (Rajbhandari et al. 2019, arXiv:1910.02054).
 *
 * @module
 */
import { bytesIn, type FloatRange, floatsOf, overlap } from "../base/float_range.ts";
import { NativeVector, VectorView } from "../engine/native_vector.ts";
import { type ClipConfig, clipFactor, clipValues, scaleValues, sumOfSquares } from "./clip.ts";
import type { GroupConfig, OptimizerConfig } from "./config.ts";
import { type Group, groupsOf, runsOf } from "./groups.ts";
import type { UpdateRule, UpdateSpan } from "./optimizer_declaration.ts";
import { updateRule } from "./rules.ts";

/** Settings of {@linkcode Optimizer}. */
export interface OptimizerOptions extends ClipConfig {
  readonly settings: OptimizerConfig;
  /** Learning rate of the parameters that no group names. */
  readonly lr: number;
  readonly groups?: readonly GroupConfig[];
}

/** A parameter that is trained, with its range in the flat vector. */
export interface PlacedParameter {
  readonly name: string;
  readonly place: FloatRange;
}

/** The memory in which the optimizer works: float32 vectors of one layout, aligned to 64 bytes. */
export interface OptimizerMemory {
  /** The parameters. */
  readonly values: Uint8Array<ArrayBuffer>;
  /** Their gradients; may be changed by a step. */
  readonly gradients: Uint8Array<ArrayBuffer>;
  /** The range of the vectors that this optimizer updates. */
  readonly range: FloatRange;
}

/** The time of a step, and the size of the gradients. */
export interface OptimizerStep {
  /** Learning rates, one per group. */
  readonly rates: readonly number[];
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  /** Sum over all parts of the values that {@linkcode Optimizer.clipAndSumSquares} returned. */
  readonly squares: number;
}

/** A run of parameters of one group, within the optimizer's part. */
interface GroupedSpan extends UpdateSpan {
  readonly range: FloatRange;
  readonly group: number;
}

/** Update of a part of all parameters that learn, and the state for it. */
export class Optimizer implements Disposable {
  readonly #rule: UpdateRule;
  readonly #clip: ClipConfig;
  readonly #groups: readonly Group[];
  readonly #parameters: readonly PlacedParameter[];
  /** All that learns, padding included. */
  readonly #learning: FloatRange;
  #memory: OptimizerMemory | undefined;
  #runs: GroupedSpan[] = [];

  /** @throws {UsageError} when a pattern of a group matches no parameter */
  constructor(
    parameters: readonly PlacedParameter[],
    { settings, lr, groups = [], ...clip }: OptimizerOptions,
    floats: number,
  ) {
    this.#rule = updateRule(settings);
    this.#clip = clip;
    this.#parameters = parameters;
    this.#learning = { begin: 0, end: floats };
    const names = parameters.map(({ name }) => name);
    this.#groups = groupsOf(names, { lr, weightDecay: settings.weightDecay }, groups);
  }

  /** Names of the state's tensors, as in PyTorch's `state_dict()`. */
  get slots(): readonly string[] {
    return this.#rule.slots;
  }

  /** The learning rates before the schedule, group by group: the parameters that no group names come first. */
  get baseRates(): number[] {
    return this.#groups.map(({ lr }) => lr);
  }

  /** Begins to work on memory, with a state of zeros. */
  attach(memory: OptimizerMemory): void {
    this.#release();
    this.#memory = memory;
    const places = this.#parameters.map(({ place }) => place);
    for (const { group, ...run } of runsOf(this.#groups, places, this.#learning.end)) {
      const range = overlap(run, memory.range);
      if (range.end === range.begin) continue;
      const values = bytesIn(memory.values, range);
      this.#runs.push({
        range,
        group,
        parameter: new NativeVector(values),
        before: new VectorView(values),
        gradient: new VectorView(bytesIn(memory.gradients, range)),
        slots: this.#rule.slots.map(() => new NativeVector(new Uint8Array(values.byteLength))),
      });
    }
  }

  /**
   * Clips the gradients of a range by their values, where that is set.
   *
   * @returns The sum of their squares, where the step needs it, else 0
   */
  clipAndSumSquares(range: FloatRange): number {
    const { clipGradNorm, clipGradValue } = this.#clip;
    if (clipGradNorm === undefined && clipGradValue === undefined) return 0;
    const own = overlap(range, this.#learning);
    const gradients = floatsOf(bytesIn(this.#memory!.gradients, own));
    if (clipGradValue !== undefined) clipValues(gradients, clipGradValue);
    return clipGradNorm === undefined ? 0 : sumOfSquares(gradients);
  }

  /** Takes the step on this optimizer's part, with gradients that were measured. */
  async step({ rates, step, squares }: OptimizerStep): Promise<void> {
    const { values, gradients } = this.#memory!;
    const { clipGradNorm } = this.#clip;
    const factor = clipGradNorm === undefined ? 1 : clipFactor(squares, clipGradNorm);
    for (const { range, group, ...state } of this.#runs) {
      if (factor < 1) scaleValues(floatsOf(bytesIn(gradients, range)), factor);
      const { weightDecay } = this.#groups[group];
      await this.#rule.apply(state, { rate: rates[group], step, weightDecay });
      state.parameter.readInto(bytesIn(values, range));
    }
  }

  /** The parameters were changed by somebody else. */
  reload(): void {
    const { values } = this.#memory!;
    for (const { range, parameter } of this.#runs) parameter.assign(bytesIn(values, range));
  }

  /**
   * Copies a slot's values of this optimizer's part to their places.
   *
   * @param slot Position in {@linkcode slots}
   * @param vector Of the whole layout
   */
  readSlot(slot: number, vector: Uint8Array): void {
    for (const { range, slots } of this.#runs) slots[slot].readInto(bytesIn(vector, range));
  }

  /** Sets a slot's values of this optimizer's part from those of the whole layout. */
  writeSlot(slot: number, vector: Uint8Array): void {
    for (const { range, slots } of this.#runs) slots[slot].assign(bytesIn(vector, range));
  }

  #release(): void {
    for (const { parameter, before, gradient, slots } of this.#runs) {
      for (const held of [parameter, before, gradient, ...slots]) held[Symbol.dispose]();
    }
    this.#runs = [];
  }

  /** Releases the state; the parameters stay. */
  [Symbol.dispose](): void {
    this.#release();
  }
}
