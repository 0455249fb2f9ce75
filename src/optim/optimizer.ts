/**
 * The optimizer of a run: its state for every parameter, and the step that changes all of them.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { globTest, unmatchedPatterns } from "../base/glob.ts";
import { tf } from "../engine/tf.ts";
import { type ClipConfig, clipGradients } from "./clip.ts";
import type { GroupConfig, OptimizerConfig } from "./config.ts";
import { type ParameterState, type UpdateRule, updateRule } from "./rules.ts";

/** Settings of {@linkcode Optimizer}. */
export interface OptimizerOptions extends ClipConfig {
  readonly settings: OptimizerConfig;
  /** Learning rate of the parameters that no group names. */
  readonly lr: number;
  readonly groups?: readonly GroupConfig[];
}

/** A parameter that learns. */
export interface NamedVariable {
  readonly name: string;
  readonly variable: tf.Variable;
}

/** A group with its parameters. */
interface Group {
  readonly lr: number;
  readonly weightDecay: number;
  readonly members: readonly number[];
}

/** State and update of all parameters that learn. All float32. */
export class Optimizer implements Disposable {
  readonly #rule: UpdateRule;
  readonly #clip: ClipConfig;
  readonly #groups: readonly Group[];
  readonly #states: readonly ParameterState[];
  readonly #names: readonly string[];

  /**
   * Makes the state (zeros).
   *
   * @throws {UsageError} when a pattern of a group matches no parameter
   */
  constructor(
    parameters: readonly NamedVariable[],
    { settings, lr, groups = [], ...clip }: OptimizerOptions,
  ) {
    this.#rule = updateRule(settings);
    this.#clip = clip;
    this.#names = parameters.map(({ name }) => name);
    this.#groups = groupsOf(this.#names, { lr, weightDecay: settings.weightDecay }, groups);
    this.#states = parameters.map(({ variable }) => ({
      parameter: variable,
      slots: this.#rule.slots.map(() => tf.tidy(() => tf.variable(tf.zerosLike(variable), false))),
    }));
  }

  /** The parameters, in order. */
  get parameters(): tf.Variable[] {
    return this.#states.map(({ parameter }) => parameter);
  }

  /** All state tensors, in order. */
  get slots(): tf.Variable[] {
    return this.#states.flatMap(({ slots }) => slots);
  }

  /** The learning rates before the schedule, group by group: the parameters that no group names come first. */
  get baseRates(): number[] {
    return this.#groups.map(({ lr }) => lr);
  }

  /** State tensors by parameter and slot, such as `fc.weight` → `momentum_buffer`. */
  state(): Map<string, Map<string, tf.Variable>> {
    const slotsOf = ({ slots }: ParameterState) =>
      new Map(this.#rule.slots.map((slot, index) => [slot, slots[index]]));
    return new Map(this.#names.map((name, index) => [name, slotsOf(this.#states[index])]));
  }

  /**
   * The numbers that a step depends on, as arguments of {@linkcode update}.
   *
   * @param rates Learning rates, one per group
   * @param step Optimizer step of the run, counted from 1
   */
  scalars(rates: readonly number[], step: number): number[] {
    return rates.flatMap((rate) => this.#rule.scalars(rate, step));
  }

  /**
   * Clips the gradients and takes the step, in place.
   *
   * @param gradients In the order of {@linkcode parameters}, of their shapes
   * @param scalars What {@linkcode scalars} gave, each a scalar tensor
   */
  update(gradients: readonly tf.Tensor[], scalars: readonly tf.Tensor[]): void {
    const clipped = clipGradients(gradients, this.#clip);
    const perGroup = scalars.length / this.#groups.length;
    this.#groups.forEach(({ members, weightDecay }, group) => {
      const own = scalars.slice(group * perGroup, (group + 1) * perGroup);
      for (const index of members) {
        this.#rule.apply(this.#states[index], clipped[index], own, { weightDecay });
      }
    });
  }

  /** Releases the state; the parameters stay. */
  [Symbol.dispose](): void {
    tf.dispose(this.slots);
  }
}

/** Puts each parameter into the first group that fits, or into the one that stands first here. */
function groupsOf(
  names: readonly string[],
  defaults: { lr: number; weightDecay: number },
  configs: readonly GroupConfig[],
): Group[] {
  const tests = configs.map(({ match }) => match.map(globTest));
  const groupOf = names.map((name) => tests.findIndex((group) => group.some((test) => test(name))));
  const membersOf = (group: number) =>
    [...names.keys()].filter((index) => groupOf[index] === group);
  configs.forEach(({ match }, group) => {
    const [unmatched] = unmatchedPatterns(match, names);
    const taken = membersOf(group).length === 0;
    if (unmatched === undefined && !taken) return;
    const problem = unmatched === undefined
      ? "takes no parameter that an earlier group has left"
      : `has the pattern "${unmatched}", which matches no parameter that learns`;
    throw new UsageError(
      `train.groups[${group}] ${problem}: mend or remove it. Parameters that learn: ${
        shown(names)
      }`,
    );
  });
  return [{ ...defaults, members: membersOf(-1) }].concat(configs.map((config, group) => ({
    lr: config.lr ?? defaults.lr,
    weightDecay: config.weightDecay ?? defaults.weightDecay,
    members: membersOf(group),
  })));
}

const SHOWN = 6;

function shown(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return names.slice(0, SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
