/**
 * The update rule of a configured optimizer.
 *
 * @module
 */
import type { OptimizerConfig } from "./config.ts";
import type { UpdateRule } from "./optimizer_declaration.ts";
import * as declarations from "./optimizers.ts";

/** A declaration, given the settings of its own keys. */
interface AnyOptimizer {
  rule(settings: OptimizerConfig, decays: boolean): UpdateRule;
}

/**
 * The rule of a configured optimizer.
 *
 * @param decays False when no parameter has a weight decay
 */
export function updateRule(config: OptimizerConfig, decays: boolean): UpdateRule {
  const optimizer = declarations[config.optimizer] as unknown as AnyOptimizer;
  return optimizer.rule(config, decays);
}
