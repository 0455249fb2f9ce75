/**
 * The update rule of a configured optimizer.
 *
 * @module
 */
import * as vectors from "../engine/native_vector.ts";
import type { OptimizerConfig } from "./config.ts";
import type { UpdateRule, Vectors } from "./optimizer_declaration.ts";
import * as declarations from "./optimizers.ts";

/** A declaration, given the settings of its own keys. */
interface AnyOptimizer {
  rule(vectors: Vectors, settings: OptimizerConfig): UpdateRule;
}

/** The rule of a configured optimizer. */
export function updateRule(config: OptimizerConfig): UpdateRule {
  const optimizer = declarations[config.optimizer] as unknown as AnyOptimizer;
  return optimizer.rule(vectors, config);
}
