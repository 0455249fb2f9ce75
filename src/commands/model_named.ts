/**
 * The architecture that an argument names.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import { MODEL_NAMES, type ModelName } from "../models/registry.ts";

/**
 * Returns the architecture of a name.
 *
 * @throws {UsageError} naming the nearest one, or all
 */
export function modelNamed(name: string): ModelName {
  const known = MODEL_NAMES.find((model) => model === name);
  if (known) return known;
  const nearest = nearestName(name, MODEL_NAMES);
  throw new UsageError(
    `Unknown model "${name}": ${
      nearest ? `did you mean ${nearest}?` : `known are ${MODEL_NAMES.join(", ")}`
    }`,
  );
}
