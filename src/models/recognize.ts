/**
 * Recognizes the architecture of a state dict, for the cure where the architecture isn't the expected one.
 *
 * @module
 */
import { isPartOf } from "./heads.ts";
import { ARCHITECTURES, MODEL_NAMES, type ModelName } from "./registry.ts";

/** BatchNorm's count of batches, which old files don't have. */
const BATCH_COUNT = /\.num_batches_tracked$/;

/** Returns the architecture whose body a state dict has, whatever its last layers are; `undefined` for others. */
export function recognizeArchitecture(
  shapes: ReadonlyMap<string, readonly number[]>,
): ModelName | undefined {
  return MODEL_NAMES.find((model) => {
    const { heads, fingerprint, renameState = (name: string) => name } = ARCHITECTURES[model];
    const own = new Map([...shapes].map(([name, value]) => [renameState(name), value]));
    if (own.get(fingerprint.name)?.join() !== fingerprint.shape.join()) return false;
    const body = [...own.keys()].filter((name) =>
      !isPartOf(name, heads) && !BATCH_COUNT.test(name)
    );
    return body.length === fingerprint.tensors;
  });
}
