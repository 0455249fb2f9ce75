/**
 * The architectures by name. Nothing here loads TensorFlow: a declaration is given the building blocks when it builds.
 *
 * @module
 */
import type { Architecture } from "./architecture.ts";
import * as declarations from "./architectures.ts";

/** Name of an architecture. */
export type ModelName = keyof typeof declarations;

/** Name of an architecture whose weights somebody has published. */
export type PretrainedModel = {
  [Name in ModelName]: (typeof declarations)[Name] extends { weights: unknown } ? Name : never;
}[ModelName];

/** All architectures by name, in the order of their names. */
export const ARCHITECTURES: Readonly<Record<ModelName, Architecture>> = declarations;

/** Architectures that `model.name` accepts: those of papers first. */
export const MODEL_NAMES: readonly ModelName[] = namesOf((name) => !!ARCHITECTURES[name].paper)
  .concat(namesOf((name) => !ARCHITECTURES[name].paper));

/** Tells whether there are pretrained weights for an architecture. */
export function isPretrainedModel(name: string): name is PretrainedModel {
  return Object.hasOwn(ARCHITECTURES, name) &&
    ARCHITECTURES[name as ModelName].weights !== undefined;
}

function namesOf(test: (name: ModelName) => boolean): ModelName[] {
  return (Object.keys(ARCHITECTURES) as ModelName[]).filter(test);
}
