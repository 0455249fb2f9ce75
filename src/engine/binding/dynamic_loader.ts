/**
 * The system's loader of dynamic libraries, with its modes and messages: Deno's own call has neither.
 *
 * @module
 */
import { cString } from "./status.ts";

const DARWIN = Deno.build.os === "darwin";
const LIBDL = DARWIN ? "libSystem.dylib" : "libdl.so.2";

/** Modes of `dlopen`. */
export const MODE = {
  lazy: 1,
  now: 2,
  /** The library is never unloaded. */
  noDelete: DARWIN ? 0x80 : 0x1000,
} as const;

const SYMBOLS = {
  dlopen: { parameters: ["buffer", /* file */ "i32" /* mode */], result: "pointer" },
  dlerror: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * Loads a library for good; its symbols stay its own, as with TensorFlow's loader.
 *
 * @param file A path, or a name that the system looks up
 * @returns The loader's message when it fails
 */
export function loadForGood(file: string, mode: number = MODE.now): string | undefined {
  const system = Deno.dlopen(LIBDL, SYMBOLS);
  try {
    const text = new TextEncoder().encode(file + "\0");
    if (system.symbols.dlopen(text, mode | MODE.noDelete) !== null) return undefined;
    return cString(system.symbols.dlerror()) || `${file} can't be opened`;
  } finally {
    system.close();
  }
}
