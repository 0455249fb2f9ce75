/**
 * Changes of valid files: flipped bits, cuts, splices, and numbers that lie.
 *
 * Positions are taken modulo the length of what they point into, so that any drawn change fits any file.
 *
 * @module
 */
import fc from "fast-check";

/** A number within a file, such as a length. */
export interface Field {
  readonly at: number;
  readonly bytes: 1 | 2 | 3 | 4 | 8;
  readonly isBig?: boolean;
}

/** A valid file. */
export interface Sample {
  readonly bytes: Uint8Array;
  /** Its numbers that are worth a lie. */
  readonly fields?: readonly Field[];
}

/** A change of a file. */
export type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "byte"; readonly at: number; readonly value: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "remove" | "repeat"; readonly at: number; readonly count: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "splice"; readonly at: number; readonly from: number; readonly other: number }
  | {
    readonly kind: "number";
    readonly at: number;
    readonly width: Width;
    readonly isBig: boolean;
    readonly lie: number;
  }
  | { readonly kind: "field"; readonly field: number; readonly lie: number };

type Width = 1 | 2 | 3 | 4 | 8;

/** Values in the place of a number: of its greatest value, its own value, and the length of the file. */
const LIES: readonly ((most: bigint, own: bigint, length: bigint) => bigint)[] = [
  () => 0n,
  () => 1n,
  () => 2n,
  (most) => most,
  (most) => most - 1n,
  (most) => most >> 1n,
  (most) => (most >> 1n) + 1n,
  (_, own) => own + 1n,
  (_, own) => own - 1n,
  (_, own) => own * 2n,
  (_, own) => own + 256n,
  (_, _own, length) => length,
  (_, _own, length) => length - 1n,
  (_, own, length) => own + length,
  (most) => most / 3n,
  () => 2n ** 31n,
  () => 2n ** 53n,
];

/** Bytes that mean something in many formats. */
const TELLING = [0, 1, 2, 0x0a, 0x20, 0x22, 0x2e, 0x30, 0x7b, 0x7f, 0x80, 0xfe, 0xff];

// Headers are at the beginning, and directories at the end: half of all changes go there.
const position = fc.oneof(
  fc.nat(63),
  fc.nat(511),
  fc.nat(2 ** 24),
  fc.integer({ min: -64, max: -1 }),
);
const lie = fc.nat(LIES.length - 1);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("flip" as const), at: position, bit: fc.nat(7) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("byte" as const),
      at: position,
      value: fc.oneof(fc.constantFrom(...TELLING), fc.nat(255)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut" as const), at: position }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("remove" as const, "repeat" as const),
      at: position,
      count: fc.integer({ min: 1, max: 200 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("insert" as const),
      at: position,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("splice" as const),
      at: position,
      from: position,
      other: fc.nat(255),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("number" as const),
      at: position,
      width: fc.constantFrom<Width>(1, 2, 3, 4, 8),
      isBig: fc.boolean(),
      lie,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("field" as const), field: fc.nat(255), lie }),
  },
);

/** A few changes; none in a small share of all cases, which must be read as if nothing had happened. */
export const mutations: fc.Arbitrary<Mutation[]> = fc.oneof(
  { weight: 8, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(mutation, { minLength: 4, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constant<Mutation[]>([]) },
);

/**
 * A changed file.
 *
 * @param others Files whose ends are spliced to it
 */
export function mutate(
  sample: Sample,
  changes: readonly Mutation[],
  others: readonly Sample[] = [],
): Uint8Array<ArrayBuffer> {
  let bytes = sample.bytes.slice() as Uint8Array<ArrayBuffer>;
  for (const change of changes) bytes = changed(bytes, change, sample.fields ?? [], others);
  return bytes;
}

function changed(
  bytes: Uint8Array<ArrayBuffer>,
  change: Mutation,
  fields: readonly Field[],
  others: readonly Sample[],
): Uint8Array<ArrayBuffer> {
  const { length } = bytes;
  const place = (at: number) => length === 0 ? 0 : ((at % length) + length) % length;
  switch (change.kind) {
    case "flip":
      if (length > 0) bytes[place(change.at)]! ^= 1 << change.bit;
      return bytes;
    case "byte":
      if (length > 0) bytes[place(change.at)] = change.value;
      return bytes;
    case "cut":
      return bytes.slice(0, place(change.at));
    case "remove": {
      const at = place(change.at);
      return joined(bytes.subarray(0, at), bytes.subarray(at + change.count));
    }
    case "repeat": {
      const at = place(change.at);
      return joined(bytes.subarray(0, at + change.count), bytes.subarray(at));
    }
    case "insert": {
      const at = place(change.at);
      return joined(bytes.subarray(0, at), change.bytes, bytes.subarray(at));
    }
    case "splice": {
      const other = others[change.other % Math.max(others.length, 1)]?.bytes ?? bytes;
      const from = other.length === 0
        ? 0
        : ((change.from % other.length) + other.length) % other.length;
      return joined(bytes.subarray(0, place(change.at)), other.subarray(from));
    }
    case "number":
      return withNumber(
        bytes,
        { at: place(change.at), bytes: change.width, isBig: change.isBig },
        change.lie,
      );
    case "field": {
      const field = fields[change.field % Math.max(fields.length, 1)];
      return field ? withNumber(bytes, field, change.lie) : bytes;
    }
  }
}

function withNumber(
  bytes: Uint8Array<ArrayBuffer>,
  { at, bytes: width, isBig = false }: Field,
  lie: number,
): Uint8Array<ArrayBuffer> {
  if (at + width > bytes.length) return bytes;
  const order = Array.from({ length: width }, (_, i) => isBig ? at + width - 1 - i : at + i);
  const own = order.reduceRight((sum, place) => sum * 256n + BigInt(bytes[place]!), 0n);
  const most = 256n ** BigInt(width) - 1n;
  let value = BigInt.asUintN(8 * width, LIES[lie]!(most, own, BigInt(bytes.length)));
  for (const place of order) {
    bytes[place] = Number(value & 255n);
    value >>= 8n;
  }
  return bytes;
}

/** Bytes one after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
