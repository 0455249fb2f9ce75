/**
 * The bytes of buffers that code allocates: a size that lies shows here, even where the memory is never touched or freed
 * at once.
 *
 * @module
 */

const TYPES = [
  "ArrayBuffer",
  "SharedArrayBuffer",
  "Uint8Array",
  "Int8Array",
  "Uint8ClampedArray",
  "Uint16Array",
  "Int16Array",
  "Uint32Array",
  "Int32Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
] as const;

/** The bytes since {@linkcode countAllocations} began, or since they were last set to 0. */
export const allocated = { bytes: 0 };

/** Counts the bytes of all buffers that this thread makes from now on. */
export function countAllocations(): void {
  const scope = globalThis as unknown as Record<string, { new (...args: unknown[]): ArrayBuffer }>;
  for (const name of TYPES) {
    const type = scope[name]!;
    const counting = new Proxy(type, {
      construct(target, args, newTarget) {
        const isView = args[0] instanceof ArrayBuffer || args[0] instanceof SharedArrayBuffer;
        const made = Reflect.construct(target, args, newTarget) as ArrayBuffer;
        if (!isView) allocated.bytes += made.byteLength;
        return made;
      },
    });
    Object.defineProperty(type.prototype, "constructor", { value: counting });
    scope[name] = counting;
  }
}
