/**
 * The optimizer of a run: the step on a part of the flat vector of parameters, and the state for that part.
 *
 * Sharding the state over the ranks is ZeRO's first stage (Rajbhandari et al. 2019, arXiv:1910.02054).
 *
 * @module
 */
import { bytesIn, type FloatRange, floatsOf, overlap } from "../base/float_range.ts";
import { type RangeJob, VectorPass } from "../engine/capture/vector_pass.ts";
import type { DeviceMemory } from "../engine/device_memory.ts";
import type { Elementwise } from "../engine/elementwise.ts";
import type { VersionedMemory } from "../engine/versioned_memory.ts";
import { type ClipConfig, clipFactor, sumOfSquares } from "./clip.ts";
import type { GroupConfig, OptimizerConfig } from "./config.ts";
import { DeviceClip } from "./device_clip.ts";
import { type Group, groupsOf, runsOf } from "./groups.ts";
import type { UpdateRule } from "./optimizer_declaration.ts";
import { updateRule } from "./rules.ts";

/** Settings of {@linkcode Optimizer}. */
export interface OptimizerOptions extends ClipConfig {
  readonly settings: OptimizerConfig;
  /** True where gradients are those of a scaled loss (default false): each step divides them by its scale. */
  readonly isScaled?: boolean;
  /** Learning rate of the parameters that no group names. */
  readonly lr: number;
  readonly groups?: readonly GroupConfig[];
}

/** A parameter that is trained, with its range in the flat vector. */
export interface PlacedParameter {
  readonly name: string;
  readonly place: FloatRange;
}

/** The memory in which the optimizer works: float32 vectors of one layout. */
export interface OptimizerMemory {
  /** The parameters. */
  readonly values: VersionedMemory;
  /** The optimizer's state, in the order of {@linkcode Optimizer.slots}. */
  readonly slots: readonly VersionedMemory[];
  /** The gradients. */
  readonly gradients: DeviceMemory;
  /** The range of the vectors that this optimizer updates. */
  readonly range: FloatRange;
}

/** The time of a step, and the size of the gradients. */
export interface OptimizerStep {
  /** Learning rates, one per group. */
  readonly rates: readonly number[];
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  /** Sum over all parts of the values that {@linkcode Optimizer.sumSquares} returned. */
  readonly squares: number;
  /** Factor of the loss whose gradients these are (default 1). */
  readonly scale?: number;
}

/** A run of parameters of one group, within the optimizer's part. */
interface GroupedRange {
  readonly range: FloatRange;
  readonly group: number;
}

/** Update of a part of all parameters that learn. */
export class Optimizer implements Disposable {
  readonly #rule: UpdateRule;
  readonly #clip: ClipConfig;
  readonly #isScaled: boolean;
  readonly #groups: readonly Group[];
  readonly #parameters: readonly PlacedParameter[];
  /** All that learns, padding included. */
  readonly #learning: FloatRange;
  readonly #pass: VectorPass;
  #deviceClip: DeviceClip | undefined;
  #memory: OptimizerMemory | undefined;
  #ranges: readonly GroupedRange[] = [];

  /** @throws {UsageError} when a pattern of a group matches no parameter */
  constructor(
    parameters: readonly PlacedParameter[],
    { settings, lr, groups = [], isScaled = false, ...clip }: OptimizerOptions,
    floats: number,
  ) {
    this.#clip = clip;
    this.#isScaled = isScaled;
    this.#parameters = parameters;
    this.#learning = { begin: 0, end: floats };
    const names = parameters.map(({ name }) => name);
    this.#groups = groupsOf(names, { lr, weightDecay: settings.weightDecay }, groups);
    this.#rule = updateRule(settings, this.#groups.some(({ weightDecay }) => weightDecay !== 0));
    this.#pass = new VectorPass("update", clippedUpdate(this.#rule, clip, isScaled));
  }

  /** Names of the state's tensors, as in PyTorch's `state_dict()`. */
  get slots(): readonly string[] {
    return this.#rule.slots;
  }

  /** The learning rates before the schedule, group by group: the parameters that no group names come first. */
  get baseRates(): number[] {
    return this.#groups.map(({ lr }) => lr);
  }

  /** Begins to work on memory. */
  attach(memory: OptimizerMemory): void {
    this.#memory = memory;
    const places = this.#parameters.map(({ place }) => place);
    this.#ranges = runsOf(this.#groups, places, this.#learning.end)
      .map(({ group, ...run }) => ({ group, range: overlap(run, memory.range) }))
      .filter(({ range }) => range.end > range.begin);
  }

  /**
   * The sum of the squares of the gradients in a range, clipped by their values, where the step needs it; else 0. A GPU
   * keeps the sum to itself.
   *
   * @param scale Factor of the loss whose gradients these are; the squares are those of the gradients without it
   */
  sumSquares(range: FloatRange, scale = 1): number {
    const { clipGradNorm, clipGradValue } = this.#clip;
    const { host } = this.#memory!.gradients;
    if (clipGradNorm === undefined || !host) return 0;
    const values = floatsOf(bytesIn(host, overlap(range, this.#learning)));
    const limit = clipGradValue === undefined ? undefined : scale * clipGradValue;
    return sumOfSquares(values, limit) / scale ** 2;
  }

  /** Computes the next version of this optimizer's part of the parameters and of its state. */
  async step({ rates, step, squares, scale = 1 }: OptimizerStep): Promise<void> {
    const { values, slots, gradients } = this.#memory!;
    const { clipGradNorm, clipGradValue } = this.#clip;
    const isOnDevice = !gradients.host;
    const factor = clipGradNorm === undefined || isOnDevice
      ? []
      : [clipFactor(squares, clipGradNorm)];
    const limits = clipGradValue === undefined ? [] : [-clipGradValue, clipGradValue];
    const jobs = this.#ranges.map(({ range, group }): RangeJob => {
      const { weightDecay } = this.#groups[group];
      return {
        range,
        inputs: [values.current, gradients, ...slots.map(({ current }) => current)],
        outputs: [values.next, ...slots.map(({ next }) => next)],
        numbers: [
          ...this.#rule.numbers({ rate: rates[group], step, weightDecay }),
          ...(this.#isScaled ? [1 / scale] : []),
          ...limits,
          ...factor,
        ],
      };
    });
    if (clipGradNorm === undefined || !isOnDevice) return await this.#pass.run(jobs);
    this.#deviceClip ??= new DeviceClip({ clipGradNorm, clipGradValue });
    const onDevice = await this.#deviceClip.factor(gradients, this.#learning, scale);
    await this.#pass.run(jobs, onDevice);
    onDevice.dispose();
  }

  /** Releases what was compiled; the memory stays. */
  [Symbol.dispose](): void {
    this.#pass[Symbol.dispose]();
    this.#deviceClip?.[Symbol.dispose]();
  }
}

/**
 * The rule on clipped gradients: its numbers, then the inverse of the loss scale, then the limits of the values, then the
 * factor of the norm.
 */
function clippedUpdate(
  rule: UpdateRule,
  { clipGradNorm, clipGradValue }: ClipConfig,
  isScaled: boolean,
): Elementwise {
  const ruleNumbers = rule.numbers({ rate: 0, step: 1, weightDecay: 0 }).length;
  const limits = clipGradValue === undefined ? 0 : 2;
  return {
    inputs: 2 + rule.slots.length,
    outputs: 1 + rule.slots.length,
    numbers: ruleNumbers + (isScaled ? 1 : 0) + limits + (clipGradNorm === undefined ? 0 : 1),
    compute(ops, [parameter, rawGradient, ...slots], numbers) {
      let gradient = rawGradient;
      const own = numbers.slice(ruleNumbers);
      if (isScaled) gradient = ops.mul(gradient, own.shift()!);
      if (limits > 0) {
        const [low, high] = own;
        gradient = ops.min(ops.max(gradient, low), high);
      }
      if (clipGradNorm !== undefined) gradient = ops.mul(gradient, numbers.at(-1)!);
      const after = rule.compute(ops, { parameter, gradient, slots }, numbers);
      return [after.parameter, ...after.slots];
    },
  };
}
