/**
 * The description of an optimizer: its keys with their defaults, and its update rule.
 *
 * @module
 */
import type { z } from "../deps/zod.ts";
import type { NativeVector, VectorView } from "../engine/native_vector.ts";

/** The operations on vectors. A declaration takes them as an argument, so that its keys are read without TensorFlow. */
export type Vectors = typeof import("../engine/native_vector.ts");

/** Adjacent parameters, their gradients, and the optimizer's state for them. */
export interface UpdateSpan {
  /** Changed in place. */
  readonly parameter: NativeVector;
  /** The same values before the step. */
  readonly before: VectorView;
  readonly gradient: VectorView;
  /** In the order of {@linkcode UpdateRule.slots}; changed in place. */
  readonly slots: readonly NativeVector[];
}

/** The settings on which a step depends beside the gradients. */
export interface StepSettings {
  /** Learning rate. */
  readonly rate: number;
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  readonly weightDecay: number;
}

/** An optimizer, for one run of parameters. */
export interface UpdateRule {
  /** Names of the state's tensors, as in PyTorch's `state_dict()`. */
  readonly slots: readonly string[];
  /** Takes the step in place. */
  apply(state: UpdateSpan, settings: StepSettings): Promise<void>;
}

/** The description of an optimizer; names are those of `torch.optim`, keys in camelCase. */
export interface OptimizerDeclaration<Keys extends z.ZodRawShape> {
  /** Keys of `train` that it has, beside `lr` and `weightDecay`. An optimizer that has a key too shares the schema. */
  readonly keys: Keys;
  /** Their values unless set. */
  readonly defaults: { readonly [Key in keyof Keys]: z.output<Keys[Key]> };
  /** `train.weightDecay` unless set. */
  readonly weightDecay: number;
  /** Makes the rule for one run of parameters. */
  rule(
    vectors: Vectors,
    settings: { readonly [Key in keyof Keys]: z.output<Keys[Key]> },
  ): UpdateRule;
}

/** Types a declaration by its keys. */
export function declareOptimizer<Keys extends z.ZodRawShape>(
  declaration: OptimizerDeclaration<Keys>,
): OptimizerDeclaration<Keys> {
  return declaration;
}
