/**
 * Changes of JSON values: another value at a place, a key more or less, and depth.
 *
 * @module
 */
import fc from "fast-check";

/** A change; the place is chosen modulo the number of places. */
export interface JsonChange {
  readonly kind: "replace" | "remove" | "add" | "rename";
  readonly place: number;
  readonly value: unknown;
  readonly key: string;
}

/** An array within an array, and so on. */
export function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = level % 2 ? [value] : { a: value };
  return value;
}

/** Any character, also half of a surrogate pair; fast-check's own unit for that builds a map of a million of them. */
export const anyCharacter: fc.Arbitrary<string> = fc.oneof(
  fc.nat(0x2ff),
  fc.nat(0x10ffff),
).map((code) => String.fromCodePoint(code));

/** Values that readers have trouble with. */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    ...[
      null,
      true,
      false,
      0,
      -0,
      1,
      -1,
      0.5,
      1e308,
      -1e308,
      5e-324,
      2 ** 31,
      2 ** 32,
      2 ** 53,
      2 ** 63,
    ],
    ...[
      "",
      "0",
      "NaN",
      "Infinity",
      "null",
      "__proto__",
      "a\u0000b",
      "\u001b[2J",
      "\ud800",
      "é".repeat(200),
    ],
    ...[[], {}, [null], [[]], { a: {} }],
  ),
  fc.nat(300).map((number) => number - 20),
  fc.jsonValue({ maxDepth: 2 }),
);
const keys = fc.oneof(
  fc.constantFrom(
    "__proto__",
    "constructor",
    "toString",
    "",
    "a",
    "length",
    "kind",
    "epoch",
    "rank",
  ),
  fc.string({ maxLength: 5 }),
);

/** A few changes, or none. */
export const jsonChanges: fc.Arbitrary<JsonChange[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(
      "replace" as const,
      "replace" as const,
      "remove" as const,
      "add" as const,
      "rename" as const,
    ),
    place: fc.nat(1000),
    value: oddValue,
    key: keys,
  }),
  { maxLength: 3 },
);

/** A container and the key or index of one of its values. */
interface Place {
  readonly holder: Record<string, unknown> | unknown[];
  readonly key: string;
}

/** A changed copy. */
export function changeJson(value: unknown, changes: readonly JsonChange[]): unknown {
  const root = { root: structuredClone(value) };
  for (const change of changes) {
    const places = placesIn(root);
    const { holder, key } = places[change.place % places.length]!;
    const own = (holder as Record<string, unknown>)[key];
    const value = structuredClone(change.value); // a drawn value may be drawn again
    if (change.kind === "replace") put(holder, key, value);
    else if (change.kind === "add") {
      if (Array.isArray(own)) own.push(value);
      else if (typeof own === "object" && own !== null) {
        put(own as Record<string, unknown>, change.key, value);
      } else put(holder, key, value);
    } else if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else if (holder !== root) {
      delete holder[key];
      if (change.kind === "rename") put(holder, change.key, own);
    }
  }
  return root.root;
}

function put(holder: Place["holder"], key: string, value: unknown): void {
  Object.defineProperty(holder, key, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  });
}

function placesIn(root: Record<string, unknown>): Place[] {
  const places: Place[] = [];
  const queue: Place["holder"][] = [root];
  for (let holder = queue.pop(); holder; holder = queue.pop()) {
    for (const [key, value] of Object.entries(holder)) {
      places.push({ holder, key });
      if (typeof value === "object" && value !== null) queue.push(value as Place["holder"]);
    }
  }
  return places;
}
