/**
 * The description of an optimizer: its keys with their defaults, and its update rule.
 *
 * @module
 */
import type { z } from "../deps/zod.ts";
import type { ElementOps } from "../engine/elementwise.ts";

/** One element of a parameter, its gradient, and the optimizer's state for it. */
export interface UpdateElement<Value> {
  readonly parameter: Value;
  readonly gradient: Value;
  /** In the order of {@linkcode UpdateRule.slots}. */
  readonly slots: readonly Value[];
}

/** The settings on which a step depends beside the gradients. */
export interface StepSettings {
  /** Learning rate. */
  readonly rate: number;
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  readonly weightDecay: number;
}

/** An optimizer, for parameters of one group. */
export interface UpdateRule {
  /** Names of the state's tensors, as in PyTorch's `state_dict()`. */
  readonly slots: readonly string[];
  /** The numbers of a step, as many in every step; the computation has them in float32. */
  numbers(settings: StepSettings): readonly number[];
  /** Computes an element's parameter and state after the step. */
  compute<Value>(
    ops: ElementOps<Value>,
    before: UpdateElement<Value>,
    numbers: readonly Value[],
  ): Omit<UpdateElement<Value>, "gradient">;
}

/** The description of an optimizer; names are those of `torch.optim`, keys in camelCase. */
export interface OptimizerDeclaration<Keys extends z.ZodRawShape> {
  /** Keys of `train` that it has, beside `lr` and `weightDecay`. An optimizer that has a key too shares the schema. */
  readonly keys: Keys;
  /** Their values unless set. */
  readonly defaults: { readonly [Key in keyof Keys]: z.output<Keys[Key]> };
  /** `train.weightDecay` unless set. */
  readonly weightDecay: number;
  /**
   * Makes the rule.
   *
   * @param decays False when no group has a weight decay: then nothing needs to be computed for it
   */
  rule(
    settings: { readonly [Key in keyof Keys]: z.output<Keys[Key]> },
    decays: boolean,
  ): UpdateRule;
}

/** Types a declaration by its keys. */
export function declareOptimizer<Keys extends z.ZodRawShape>(
  declaration: OptimizerDeclaration<Keys>,
): OptimizerDeclaration<Keys> {
  return declaration;
}
