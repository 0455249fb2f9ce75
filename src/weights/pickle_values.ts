/**
 * What a pickle may hold, and the budget for making it.
 *
 * @module
 */

/** A value of Python. Numbers beyond 2^53 are bigints; dicts (OrderedDict too) are Maps. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | PickleDict
  | PickleObject;

/** A dict with plain keys. */
export type PickleDict = Map<PickleKey, PickleValue>;
/** What a dict may have for a key. */
export type PickleKey = null | boolean | number | bigint | string;

/** A tuple, apart from a list. */
export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** Base class of what the given globals stand for and make. */
export abstract class PickleObject {}

/** A global that may be called. */
export class PickleFunction extends PickleObject {
  /** @param call Makes the value, and may take from the budget of `machine` */
  constructor(readonly call: (args: readonly PickleValue[], budget: Budget) => PickleValue) {
    super();
  }
}

/** Why a pickle is refused; becomes a part of a message. */
export class PickleError extends Error {}

/** Limits what a pickle may build: each opcode and each copied element takes one. */
export class Budget {
  #left: number;

  constructor(readonly limit: number) {
    this.#left = limit;
  }

  take(count: number): void {
    this.#left -= count;
    if (this.#left < 0) {
      throw new PickleError(`its pickle builds more than ${this.limit} values`);
    }
  }
}

/**
 * A value as the key of a dict.
 *
 * @throws {PickleError} when it is none of the plain ones
 */
export function checkKey(key: PickleValue): PickleKey {
  if (typeof key === "object" && key !== null) {
    throw new PickleError(`its pickle has a dict whose key is ${describe(key)}`);
  }
  return key;
}

/** A value's kind, for messages. */
export function describe(value: PickleValue): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a dict";
  if (value instanceof PickleTuple) return "a tuple";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof PickleFunction) return "a function";
  if (value instanceof PickleObject) return "a tensor or storage";
  return `a ${typeof value}`;
}
