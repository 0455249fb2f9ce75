/**
 * Elementwise computations as fused WebAssembly SIMD loops: one pass over the memory, whatever the number of operations.
 *
 * @module
 */
import { floatsOf } from "../base/float_range.ts";
import type { ElementOps, Elementwise } from "./elementwise.ts";

/** Floats that are worked on at a time: all vectors' blocks stay in the second cache. */
const BLOCK = 8192;
const FLOAT_BYTES = 4;
const PAGE_BYTES = 65536;
/** Bytes of the numbers, at the start of the memory; as many floats fit. */
const NUMBER_BYTES = 1024;
/**
 * Bytes from one block to the next. Copies between places of about the same offset in their pages take up to ten times
 * as long on many CPUs ("4K aliasing"), and vectors begin at pages.
 */
const STRIDE = BLOCK * FLOAT_BYTES + 576;
/** Bytes of a round of the loop: two registers of four floats. */
const ROUND_BYTES = 32;
const REGISTER_BYTES = 16;

/** A computation in a form that goes to other threads. */
export interface KernelCode extends Pick<Elementwise, "inputs" | "outputs" | "numbers"> {
  readonly module: WebAssembly.Module;
}

/** Compiles a computation. */
export function compileKernel(computation: Elementwise): KernelCode {
  const { inputs, outputs, numbers } = computation;
  if (numbers * FLOAT_BYTES > NUMBER_BYTES) throw new RangeError(`${numbers} numbers`);
  return { inputs, outputs, numbers, module: new WebAssembly.Module(encodeKernel(computation)) };
}

/** A computation that is ready to run in this thread. */
export class WasmKernel {
  readonly #inputs: readonly Float32Array[];
  readonly #outputs: readonly Float32Array[];
  readonly #numbers: Float32Array;
  readonly #loop: (bytes: number) => void;

  constructor({ inputs, outputs, numbers, module }: KernelCode) {
    const { memory, loop } = new WebAssembly.Instance(module).exports as unknown as {
      memory: WebAssembly.Memory;
      loop(bytes: number): void;
    };
    const block = (index: number) => new Float32Array(memory.buffer, blockAt(index), BLOCK);
    this.#inputs = Array.from({ length: inputs }, (_, index) => block(index));
    this.#outputs = Array.from({ length: outputs }, (_, index) => block(inputs + index));
    this.#numbers = new Float32Array(memory.buffer, 0, numbers);
    this.#loop = loop;
  }

  /**
   * Runs it. An output may be the memory of an input.
   *
   * @param outputs As long as the inputs, which are of one length
   */
  run(
    outputs: readonly Uint8Array[],
    inputs: readonly Uint8Array[],
    numbers: readonly number[],
  ): void {
    const [to, from] = [outputs.map(floatsOf), inputs.map(floatsOf)];
    const { length } = to[0];
    const isWrong = [...to, ...from].some((vector) => vector.length !== length) ||
      to.length !== this.#outputs.length || from.length !== this.#inputs.length ||
      numbers.length !== this.#numbers.length;
    if (isWrong) throw new RangeError("Vectors or numbers that the computation doesn't have");
    this.#numbers.set(numbers);
    for (let begin = 0; begin < length; begin += BLOCK) {
      const end = Math.min(begin + BLOCK, length);
      this.#inputs.forEach((block, index) => block.set(from[index].subarray(begin, end)));
      // What a round has too much are floats of an earlier block, which go nowhere.
      this.#loop(Math.ceil((end - begin) * FLOAT_BYTES / ROUND_BYTES) * ROUND_BYTES);
      this.#outputs.forEach((block, index) =>
        to[index].set(end - begin < BLOCK ? block.subarray(0, end - begin) : block, begin)
      );
    }
  }
}

function blockAt(index: number): number {
  return NUMBER_BYTES + index * STRIDE;
}

/** Codes of WebAssembly (https://webassembly.github.io/spec/core/binary). */
const TYPE = { i32: 0x7f, v128: 0x7b, function: 0x60, empty: 0x40 };
const SECTION = { type: 1, function: 3, memory: 5, export: 7, code: 10 };
const EXPORT = { function: 0, memory: 2 };
const OP = { end: 0x0b, loop: 0x03, branchIf: 0x0d, get: 0x20, set: 0x21, tee: 0x22 };
const I32 = { constant: 0x41, add: 0x6a, lessUnsigned: 0x49 };
const SIMD = 0xfd;
const V128 = { load: 0, load32Splat: 9, store: 11 };
const F32X4 = { sqrt: 227, add: 228, sub: 229, mul: 230, div: 231, min: 232, max: 233 };

/** Local variables of the function before the values. */
const LOCAL = { bytes: 0, at: 1, values: 2 };

/** A module with `memory` and `loop(bytes)`, which computes so many bytes of each block. */
function encodeKernel(computation: Elementwise): Uint8Array<ArrayBuffer> {
  const { inputs, outputs, numbers } = computation;
  const pages = Math.ceil(blockAt(inputs + outputs) / PAGE_BYTES);
  const code = new Instructions();
  const scalars = Array.from({ length: numbers }, (_, index) => code.loadNumber(index));
  code.push(OP.loop, TYPE.empty);
  for (let offset = 0; offset < ROUND_BYTES; offset += REGISTER_BYTES) {
    const values = Array.from({ length: inputs }, (_, index) => code.load(blockAt(index) + offset));
    computation.compute(code, values, scalars)
      .forEach((value, index) => code.store(value, blockAt(inputs + index) + offset));
  }
  code.push(OP.get, LOCAL.at, I32.constant, ROUND_BYTES, I32.add, OP.tee, LOCAL.at);
  code.push(OP.get, LOCAL.bytes, I32.lessUnsigned, OP.branchIf, 0, OP.end, OP.end);
  const locals = [2, 1, TYPE.i32, ...unsigned(code.valueCount), TYPE.v128];
  const body = [...locals, ...code.bytes];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(SECTION.type, [1, TYPE.function, 1, TYPE.i32, 0]),
    ...section(SECTION.function, [1, 0]),
    ...section(SECTION.memory, [1, 0, ...unsigned(pages)]),
    ...section(SECTION.export, [
      2,
      ...[...named("memory"), EXPORT.memory, 0],
      ...[...named("loop"), EXPORT.function, 0],
    ]),
    ...section(SECTION.code, [1, ...sized(body)]),
  ]);
}

/** Writes the instructions of a computation; a value is the number of a local variable. */
class Instructions implements ElementOps<number> {
  readonly bytes: number[] = [];
  valueCount = 0;

  push(...bytes: number[]): void {
    for (const byte of bytes) this.bytes.push(byte);
  }

  loadNumber(index: number): number {
    this.push(I32.constant, 0);
    return this.#keep(...simd(V128.load32Splat), 2, ...unsigned(index * FLOAT_BYTES));
  }

  load(offset: number): number {
    this.push(OP.get, LOCAL.at);
    return this.#keep(...simd(V128.load), 4, ...unsigned(offset));
  }

  store(value: number, offset: number): void {
    this.push(OP.get, LOCAL.at);
    this.#get(value);
    this.push(...simd(V128.store), 4, ...unsigned(offset));
  }

  add(a: number, b: number): number {
    return this.#compute(F32X4.add, a, b);
  }

  sub(a: number, b: number): number {
    return this.#compute(F32X4.sub, a, b);
  }

  mul(a: number, b: number): number {
    return this.#compute(F32X4.mul, a, b);
  }

  div(a: number, b: number): number {
    return this.#compute(F32X4.div, a, b);
  }

  min(a: number, b: number): number {
    return this.#compute(F32X4.min, a, b);
  }

  max(a: number, b: number): number {
    return this.#compute(F32X4.max, a, b);
  }

  sqrt(a: number): number {
    return this.#compute(F32X4.sqrt, a);
  }

  #compute(op: number, ...values: number[]): number {
    for (const value of values) this.#get(value);
    return this.#keep(...simd(op));
  }

  #get(value: number): void {
    this.push(OP.get, ...unsigned(LOCAL.values + value));
  }

  #keep(...instruction: number[]): number {
    this.push(...instruction, OP.set, ...unsigned(LOCAL.values + this.valueCount));
    return this.valueCount++;
  }
}

function simd(op: number): number[] {
  return [SIMD, ...unsigned(op)];
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [value % 128 + 128, ...unsigned(Math.floor(value / 128))];
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function section(id: number, bytes: readonly number[]): number[] {
  return [id, ...sized(bytes)];
}

function named(name: string): number[] {
  return sized([...new TextEncoder().encode(name)]);
}
