/**
 * The differences between several configs.
 *
 * @module
 */

/** A setting with its value in each config. */
export interface Difference {
  /** Dotted, such as `train.lr`. */
  readonly key: string;
  /** As JSON; a dash where a config hasn't got it. */
  readonly values: readonly string[];
}

/** Keys that aren't compared: the folder, the dashboard, the broker and the loggers don't change what is trained. */
const LEFT_OUT = /^(out|dashboard|nats|loggers)(\.|$)/;

/** The settings that aren't the same in all configs, in the order of their keys. */
export function configDifferences(
  configs: readonly Readonly<Record<string, unknown>>[],
): Difference[] {
  const flat = configs.map((config) => new Map(entriesOf(config)));
  const keys = [...new Set(flat.flatMap((entries) => [...entries.keys()]))].sort();
  return keys.filter((key) => !LEFT_OUT.test(key)).flatMap((key) => {
    const values = flat.map((entries) => entries.get(key) ?? "–");
    return new Set(values).size > 1 ? [{ key, values }] : [];
  });
}

/** Dotted keys with their values as JSON; lists are values. */
function* entriesOf(tree: unknown, prefix = ""): Generator<[string, string]> {
  const isSection = typeof tree === "object" && tree !== null && !Array.isArray(tree);
  if (!isSection) {
    yield [prefix, JSON.stringify(tree) ?? "–"];
    return;
  }
  for (const [key, value] of Object.entries(tree)) {
    yield* entriesOf(value, prefix === "" ? key : `${prefix}.${key}`);
  }
}
