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

/** Linux's `RTLD_NOLOAD`, and its request of `dlinfo` for the folder of a library. */
const [ONLY_IF_LOADED, ORIGIN] = [4, 6];
const PATH_MAX = 4096;

/**
 * Returns the folder of a library that this process has loaded; `undefined` where it hasn't, and on systems other than
 * Linux.
 *
 * @param soname The name that the library itself gives, such as `libm.so.6`
 */
export function folderOfLoaded(soname: string): string | undefined {
  if (Deno.build.os !== "linux") return undefined;
  const system = Deno.dlopen(LIBDL, {
    ...SYMBOLS,
    dlclose: { parameters: ["pointer"], result: "i32" },
    dlinfo: { parameters: ["pointer", "i32", /* request */ "buffer"], result: "i32" },
  });
  try {
    const name = new TextEncoder().encode(soname + "\0");
    const library = system.symbols.dlopen(name, MODE.lazy | ONLY_IF_LOADED);
    if (library === null) return undefined;
    const folder = new Uint8Array(PATH_MAX);
    const isKnown = system.symbols.dlinfo(library, ORIGIN, folder) === 0;
    system.symbols.dlclose(library);
    return isKnown ? new TextDecoder().decode(folder.subarray(0, folder.indexOf(0))) : undefined;
  } finally {
    system.close();
  }
}
