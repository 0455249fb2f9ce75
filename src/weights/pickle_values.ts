/**
 * The values that a pickle may hold, and the budget for making them.
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
/** A key of a dict. */
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

/** Longest name of a global in a message. */
const SHOWN_CHARACTERS = 100;

/** A global that the reader doesn't know, such as `argparse.Namespace`: a name, which stands for nothing. */
export class UnknownGlobal extends PickleObject {
  /** @param fullName As the file gives it: `module.name` */
  constructor(readonly fullName: string) {
    super();
  }

  /** The name for messages: it must not write to the terminal anything but itself. */
  get shown(): string {
    return this.fullName.slice(0, SHOWN_CHARACTERS).replaceAll(/[^\x21-\x7e]/g, "?");
  }
}

/** An object that the reader doesn't know: a placeholder for what Python would have made, which runs nothing. */
export class UnknownObject extends PickleObject {
  /** Entries with plain keys, of a class that is filled like a dict. */
  readonly entries: PickleDict = new Map();
  /** The value that its attributes are set from. */
  state: PickleValue = null;

  /** @param type The class or function that makes it */
  constructor(readonly type: UnknownGlobal) {
    super();
  }

  /** True if the object is a network: networks keep their layers in attributes that no other class has. */
  get isNetwork(): boolean {
    return this.state instanceof Map && this.state.has("_modules") && this.state.has("_parameters");
  }
}

/** The reason why a pickle is refused, as part of a message. */
export class PickleError extends Error {
  /** @param cure Replaces the usual one: a phrase for the end of the message */
  constructor(message: string, readonly cure?: string) {
    super(message);
  }
}

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
 * Sets an item of a dict. A key that is a tuple or an object is passed over: no state dict has such.
 *
 * @throws {PickleError} when Python itself would refuse the key
 */
export function setItem(dict: PickleDict, key: PickleValue, value: PickleValue): void {
  if (typeof key !== "object" || key === null) {
    dict.set(key, value);
  } else if (Array.isArray(key) || key instanceof Map) {
    throw new PickleError(`its pickle has a dict whose key is ${describe(key)}`);
  }
}

/** A value's kind, for messages. */
export function describe(value: PickleValue | undefined): string {
  if (value === undefined) return "missing";
  if (value === null) return "None";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a dict";
  if (value instanceof PickleTuple) return "a tuple";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof PickleFunction) return "a function";
  if (value instanceof UnknownGlobal) return `${value.shown}, a class or function`;
  if (value instanceof UnknownObject) return `an object of ${value.type.shown}`;
  if (value instanceof PickleObject) return "a tensor or storage";
  return typeof value === "bigint" ? "a number" : `a ${typeof value}`;
}
