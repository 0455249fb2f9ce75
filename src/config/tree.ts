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

/** Levels of a config: the keys' own are ten at most, the rest are those of values of the user's. */
export const MAX_DEPTH = 100;

/** A place in a tree that no check of values could walk over, and the reason. */
export interface UnusablePlace {
  readonly path: (string | number)[];
  readonly reason: string;
}

/** Keys whose values zod compares with numbers, also where the mapping stands in the place of a text or a list … */
const COMPARED = ["length", "size"];
/** … and keys whose values JavaScript calls for that. */
const CALLED = ["toString", "valueOf"];

/** Finds the first place of a tree that is nested too deep, holds itself, or has a name that can't be a key. */
export function findUnusable(
  value: unknown,
  path: (string | number)[] = [],
  holders: readonly unknown[] = [],
): UnusablePlace | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (holders.includes(value)) return { path, reason: "it holds itself" };
  if (path.length >= MAX_DEPTH) {
    return { path: path.slice(0, 5), reason: `it is nested deeper than ${MAX_DEPTH} levels` };
  }
  for (const [key, inner] of Object.entries(value)) {
    const place = [...path, Array.isArray(value) ? Number(key) : key];
    if (CALLED.includes(key) && COMPARED.includes(String(path.at(-1)))) {
      return { path: place, reason: `no key below ${path.at(-1)} may be called ${key}` };
    }
    const found = findUnusable(inner, place, [...holders, value]);
    if (found) return found;
  }
  return undefined;
}

/** Most characters of a value in a message. */
const SHOWN_CHARACTERS = 300;

/** A value as JSON, where NaN and infinities keep their names; the beginning of a long one. */
export function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const json: string | undefined = JSON.stringify(
    value,
    (_, part) => typeof part === "number" && !Number.isFinite(part) ? String(part) : part,
  );
  return beginning(json ?? "nothing");
}

/** {@linkcode shown}, but a text without quotes. */
export function shownText(value: unknown): string {
  return typeof value === "string" ? beginning(value) : shown(value);
}

function beginning(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
