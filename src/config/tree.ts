/**
 * JSON-like trees: a config before it is validated.
 *
 * @module
 */

/** A mapping of a config, before validation. */
export type Tree = Record<string, unknown>;

/** Tells whether a value is a mapping. */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sets a property of the object itself, whatever its name (`__proto__` too), and returns the value. */
export function setOwn(tree: Tree, name: string, value: unknown): unknown {
  Object.defineProperty(tree, name, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  });
  return value;
}
