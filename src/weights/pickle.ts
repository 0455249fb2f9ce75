/**
 * A restricted reader of Python's pickles (protocols 1 to 5).
 *
 * A pickle is a program for a stack machine that may name and call any Python function. This machine builds
 * plain values and calls only the globals that it is given. Everything else becomes a placeholder that runs nothing,
 * where the environment allows it, or is refused by its name. The machine works without recursion, so that deeply nested values cost no more than flat ones, and within a budget.
 *
 * Opcodes: Python's `pickletools` module documents them.
 *
 * @module
 */

import {
  Budget,
  describe,
  PickleError,
  PickleFunction,
  PickleObject,
  PickleTuple,
  type PickleValue,
  setItem,
  UnknownGlobal,
  UnknownObject,
} from "./pickle_values.ts";

/** The globals and storages that a pickle may refer to. */
export interface PickleEnvironment {
  /** Values by `module.name`. */
  readonly globals: ReadonlyMap<string, PickleValue>;
  /** Other globals: placeholders that run nothing, or (with `refuse`) an error. Default: `refuse`. */
  readonly unknown?: "placeholder" | "refuse";
  /** Resolves a persistent id: how torch.save refers to a storage. */
  readonly persistent: (id: PickleValue) => PickleValue;
}

/** Opcodes, and the stack with its marks, that a pickle may take; torch.save of 10,000 tensors takes 300,000. */
const MAX_OPERATIONS = 4_000_000;
/** Bytes of an integer; torch's magic number takes 10. */
const MAX_INTEGER_BYTES = 64;
const HIGHEST_PROTOCOL = 5;

/**
 * Reads one pickle.
 *
 * @param bytes Holds the pickle from `start`; may go on after it
 * @returns The value and the index after the pickle
 * @throws {PickleError} when it is cut short, malformed, too large, or names what `environment` doesn't have
 */
export function readPickle(
  bytes: Uint8Array,
  environment: PickleEnvironment,
  start = 0,
): { value: PickleValue; end: number } {
  const machine = new Machine(bytes, environment, start);
  for (;;) {
    machine.budget.take(1);
    const code = machine.byte();
    if (code === STOP) return { value: machine.pop(), end: machine.position };
    const run = OPERATIONS.get(code);
    if (!run) throw new PickleError(refusalOf(code));
    run(machine);
  }
}

/** The stack machine: where it stands in the pickle, its stack, marks and memo. */
class Machine {
  position: number;
  readonly budget = new Budget(MAX_OPERATIONS);
  readonly memo = new Map<number, PickleValue>();
  readonly stack: PickleValue[] = [];
  /** Heights of the stack at which a mark lies. */
  readonly marks: number[] = [];
  readonly #view: DataView;

  constructor(
    readonly bytes: Uint8Array,
    readonly environment: PickleEnvironment,
    start: number,
  ) {
    this.position = start;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Goes on by `count` bytes; returns where they start. */
  advance(count: number): number {
    const from = this.position;
    if (count > this.bytes.length - from) {
      throw new PickleError(
        `its pickle is cut short: ${count} bytes are needed at byte ${from}, and ` +
          `${this.bytes.length - from} are there`,
      );
    }
    this.position = from + count;
    return from;
  }

  byte(): number {
    return this.#view.getUint8(this.advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.advance(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.advance(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.advance(4), true);
  }

  /** Inexact beyond 2^53, where no length is valid anyway. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.advance(8), true));
  }

  float64(): number {
    return this.#view.getFloat64(this.advance(8), false);
  }

  take(count: number): Uint8Array {
    const from = this.advance(count);
    return this.bytes.subarray(from, from + count);
  }

  text(count: number): string {
    return decodeUtf8(this.take(count));
  }

  /** A line without its end. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new PickleError("its pickle ends inside a name");
    const text = this.text(end - this.position);
    this.position++;
    return text;
  }

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  /** Takes the top off the stack, down to the last mark at most. */
  pop(): PickleValue {
    this.#needAboveMark();
    return this.stack.pop()!;
  }

  top(): PickleValue {
    this.#needAboveMark();
    return this.stack.at(-1)!;
  }

  popMark(): PickleValue[] {
    const height = this.marks.pop();
    if (height === undefined) throw new PickleError("its pickle closes a mark that it didn't open");
    return this.stack.splice(height);
  }

  #needAboveMark(): void {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) {
      throw new PickleError("its pickle takes a value from an empty stack");
    }
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) {
      throw new PickleError(`its pickle recalls ${index}, which it never kept`);
    }
    this.push(value);
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new PickleError("its pickle has a text that is not UTF-8");
  }
}

const STOP = 0x2e;

type Operation = (machine: Machine) => void;

const numbers: [number, Operation][] = [
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.int32())], // BININT
  [0x4b, (m) => m.push(m.byte())], // BININT1
  [0x4d, (m) => m.push(m.uint16())], // BININT2
  [0x8a, (m) => m.push(integer(m, m.byte()))], // LONG1
  [0x8b, (m) => m.push(integer(m, m.uint32()))], // LONG4
  [0x47, (m) => m.push(m.float64())], // BINFLOAT
  [0x49, (m) => m.push(decimal(m.line()))], // INT (protocol 1, also its booleans)
  [0x4c, (m) => m.push(decimal(m.line()))], // LONG (protocol 1)
];

const texts: [number, Operation][] = [
  [0x58, (m) => m.push(m.text(m.uint32()))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(m.byte()))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.uint64()))], // BINUNICODE8
  [0x54, (m) => m.push(m.text(m.uint32()))], // BINSTRING (Python 2)
  [0x55, (m) => m.push(m.text(m.byte()))], // SHORT_BINSTRING (Python 2)
  [0x42, (m) => m.push(m.take(m.uint32()))], // BINBYTES
  [0x43, (m) => m.push(m.take(m.byte()))], // SHORT_BINBYTES
  [0x8e, (m) => m.push(m.take(m.uint64()))], // BINBYTES8
  [0x96, (m) => m.push(m.take(m.uint64()))], // BYTEARRAY8
];

const containers: [number, Operation][] = [
  [0x28, (m) => m.marks.push(m.stack.length)], // MARK
  [0x29, (m) => m.push(new PickleTuple([]))], // EMPTY_TUPLE
  [0x74, (m) => m.push(new PickleTuple(m.popMark()))], // TUPLE
  [0x85, (m) => m.push(new PickleTuple(popSeveral(m, 1)))], // TUPLE1
  [0x86, (m) => m.push(new PickleTuple(popSeveral(m, 2)))], // TUPLE2
  [0x87, (m) => m.push(new PickleTuple(popSeveral(m, 3)))], // TUPLE3
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x61, (m) => append(m, [m.pop()])], // APPEND
  [0x65, (m) => append(m, m.popMark())], // APPENDS
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x73, (m) => setItems(m, popSeveral(m, 2))], // SETITEM
  [0x75, (m) => setItems(m, m.popMark())], // SETITEMS
  [0x6c, (m) => m.push(m.popMark())], // LIST
  [0x8f, (m) => m.push([])], // EMPTY_SET: as the list of its items
  [0x90, (m) => append(m, m.popMark())], // ADDITEMS
  [0x91, (m) => m.push(new PickleTuple(m.popMark()))], // FROZENSET
];

const machinery: [number, Operation][] = [
  [0x80, checkProtocol], // PROTO
  [0x95, (m) => void m.uint64()], // FRAME
  [0x30, (m) => void (endsAtMark(m) ? m.marks.pop() : m.pop())], // POP
  [0x31, (m) => void m.popMark()], // POP_MARK
  [0x32, (m) => m.push(m.top())], // DUP
  [0x71, (m) => m.memo.set(m.byte(), m.top())], // BINPUT
  [0x72, (m) => m.memo.set(m.uint32(), m.top())], // LONG_BINPUT
  [0x94, (m) => m.memo.set(m.memo.size, m.top())], // MEMOIZE
  [0x68, (m) => m.recall(m.byte())], // BINGET
  [0x6a, (m) => m.recall(m.uint32())], // LONG_BINGET
  [0x63, (m) => m.push(lookUp(m, m.line(), m.line()))], // GLOBAL
  [0x93, lookUpFromStack], // STACK_GLOBAL
  [0x51, (m) => m.push(m.environment.persistent(m.pop()))], // BINPERSID
  [0x52, reduce], // REDUCE
  [0x62, build], // BUILD
  [0x81, (m) => makeObject(m, 1)], // NEWOBJ
  [0x92, (m) => makeObject(m, 2)], // NEWOBJ_EX
];

const OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  ...numbers,
  ...texts,
  ...containers,
  ...machinery,
]);

/** Opcodes that pickles may have and torch.save has no use for, for the refusal. */
const REFUSED: ReadonlyMap<number, string> = new Map([
  [0x46, "FLOAT"],
  [0x50, "PERSID"],
  [0x53, "STRING"],
  [0x56, "UNICODE"],
  [0x64, "DICT"],
  [0x67, "GET"],
  [0x69, "INST"],
  [0x6f, "OBJ"],
  [0x70, "PUT"],
  [0x82, "EXT1"],
  [0x83, "EXT2"],
  [0x84, "EXT4"],
  [0x97, "NEXT_BUFFER"],
  [0x98, "READONLY_BUFFER"],
]);

function refusalOf(code: number): string {
  const name = REFUSED.get(code);
  return name === undefined
    ? `its pickle has the byte 0x${code.toString(16).padStart(2, "0")}, which is no opcode`
    : `its pickle uses the opcode ${name}, which Lockstep never runs: tensors, numbers, texts and ` +
      "plain containers don't need it";
}

/** Little-endian two's complement. */
function integer(machine: Machine, length: number): number | bigint {
  if (length > MAX_INTEGER_BYTES) {
    throw new PickleError(`its pickle has an integer of ${length} bytes`);
  }
  const bytes = machine.take(length);
  if (length === 0) return 0;
  const unsigned = BigInt(`0x${bytes.slice().reverse().toHex()}`);
  const value = BigInt.asIntN(8 * length, unsigned);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** An integer as protocol 1 writes it: `7`, `7L`, and `00` or `01` for a boolean. */
function decimal(line: string): number | bigint | boolean {
  if (line === "00" || line === "01") return line === "01";
  const [, digits] = /^(-?\d{1,150})L?$/.exec(line) ?? [];
  if (digits === undefined) throw new PickleError("its pickle has an integer that is none");
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}

function popSeveral(machine: Machine, count: number): PickleValue[] {
  return Array.from({ length: count }, () => machine.pop()).reverse();
}

function append(machine: Machine, items: readonly PickleValue[]): void {
  const list = machine.top();
  if (list instanceof UnknownObject) return; // the items are not needed
  if (!Array.isArray(list)) {
    throw new PickleError(`its pickle appends to ${describe(list)}, which is no list`);
  }
  for (const item of items) list.push(item);
}

function setItems(machine: Machine, items: readonly PickleValue[]): void {
  const top = machine.top();
  const dict = top instanceof UnknownObject ? top.entries : top;
  if (!(dict instanceof Map)) {
    throw new PickleError(`its pickle sets an item of ${describe(dict)}, which is no dict`);
  }
  if (items.length % 2 !== 0) throw new PickleError("its pickle sets a key without a value");
  for (let i = 0; i < items.length; i += 2) setItem(dict, items[i]!, items[i + 1]!); // an even number
}

function checkProtocol(machine: Machine): void {
  const protocol = machine.byte();
  if (protocol < 1 || protocol > HIGHEST_PROTOCOL) {
    throw new PickleError(
      `its pickle has protocol ${protocol}, and 1 to ${HIGHEST_PROTOCOL} can be read`,
    );
  }
}

function endsAtMark(machine: Machine): boolean {
  return machine.stack.length === machine.marks.at(-1);
}

function lookUpFromStack(machine: Machine): void {
  const [module, name] = popSeveral(machine, 2);
  if (typeof module !== "string" || typeof name !== "string") {
    throw new PickleError("its pickle refers to a global that isn't named by texts");
  }
  machine.push(lookUp(machine, module, name));
}

/**
 * Modules that run programs, reach other machines, or change Python itself. Nothing of them would be run here either,
 * but a file that names one is an attack on whoever opens it.
 */
const HARMFUL_MODULES =
  /^(os|nt|posix|pty|subprocess|sys|shutil|socket|runpy|importlib|imp|ctypes|commands|webbrowser|pdb|timeit|pip)(\.|$)/;
/** Built-in functions of that kind. */
const HARMFUL_FUNCTIONS =
  /^(builtins|__builtin__)\.(eval|exec|execfile|compile|open|__import__|input|globals|breakpoint|setattr|delattr)$/;

function lookUp(machine: Machine, module: string, name: string): PickleValue {
  const { globals, unknown = "refuse" } = machine.environment;
  const value = globals.get(`${module}.${name}`);
  if (value !== undefined) return value;
  const placeholder = new UnknownGlobal(`${module}.${name}`);
  const { fullName, shown } = placeholder;
  if (HARMFUL_MODULES.test(fullName) || HARMFUL_FUNCTIONS.test(fullName)) {
    throw new PickleError(
      `it refers to ${shown}, which Lockstep never runs, and which no weights need`,
      "get the weights from somebody you trust, and don't open this file in Python",
    );
  }
  if (unknown === "placeholder") return placeholder;
  throw new PickleError(
    `it refers to ${shown}, which Lockstep never runs: only tensors, numbers, texts and plain ` +
      "containers are read",
  );
}

function reduce(machine: Machine): void {
  const [callee, args] = popSeveral(machine, 2);
  if (args instanceof PickleTuple) {
    if (callee instanceof PickleFunction) {
      machine.push(callee.call(args.items, machine.budget));
      return;
    }
    // What an unknown object gives when called is as unknown.
    const type = callee instanceof UnknownObject ? callee.type : callee;
    if (type instanceof UnknownGlobal) {
      machine.push(new UnknownObject(classMadeBy(type, args.items)));
      return;
    }
  }
  throw new PickleError(`its pickle calls ${describe(callee)} with ${describe(args)}`);
}

/** Functions that make objects of protocol 1 and enums from the class that they are given. */
const MAKERS = ["copyreg._reconstructor", "copy_reg._reconstructor", "builtins.getattr"];

function classMadeBy(callee: UnknownGlobal, [first]: readonly PickleValue[]): UnknownGlobal {
  return MAKERS.includes(callee.fullName) && first instanceof UnknownGlobal ? first : callee;
}

/** `class.__new__(class, …)`, with `count` tuples or dicts of arguments, which nothing reads. */
function makeObject(machine: Machine, count: number): void {
  const [type] = popSeveral(machine, 1 + count);
  if (type instanceof PickleFunction) {
    // A dict of a known kind, such as an OrderedDict: its items follow.
    machine.push(type.call([], machine.budget));
  } else if (type instanceof UnknownGlobal) {
    machine.push(new UnknownObject(type));
  } else {
    throw new PickleError(`its pickle makes an object of ${describe(type)}`);
  }
}

/** Attributes of a dict (torch.save keeps a state dict's `_metadata`) and of known objects are dropped. */
function build(machine: Machine): void {
  const state = machine.pop();
  const target = machine.top();
  if (target instanceof UnknownObject) {
    target.state = state;
  } else if (!(target instanceof Map || target instanceof PickleObject)) {
    throw new PickleError(`its pickle sets attributes of ${describe(target)} (opcode BUILD)`);
  }
}
