/**
 * Memory in two versions: a step reads version t and writes version t + 1, and a commit makes that the current one.
 *
 * @module
 */
import type { DeviceMemory } from "./device_memory.ts";

/** Two memories of one length, one of which is current. Whoever stops before a commit leaves version t whole. */
export class VersionedMemory implements Disposable {
  #current: DeviceMemory;
  #next: DeviceMemory | (() => DeviceMemory);

  /** @param next The other memory, or its maker: what is never changed needs one version only */
  constructor(current: DeviceMemory, next: DeviceMemory | (() => DeviceMemory)) {
    this.#current = current;
    this.#next = next;
  }

  get byteLength(): number {
    return this.#current.byteLength;
  }

  /** Version t. */
  get current(): DeviceMemory {
    return this.#current;
  }

  /** Version t + 1, which is being made. */
  get next(): DeviceMemory {
    if (typeof this.#next === "function") this.#next = this.#next();
    return this.#next;
  }

  /** Makes version t + 1 the current one. */
  commit(): void {
    const { current, next } = this;
    this.#current = next;
    this.#next = current;
  }

  /** Frees both memories, where they are a GPU's. */
  [Symbol.dispose](): void {
    this.#current[Symbol.dispose]();
    if (typeof this.#next !== "function") this.#next[Symbol.dispose]();
  }
}
