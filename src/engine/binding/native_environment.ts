/**
 * Environment variables for TensorFlow, which reads some settings from nowhere else.
 *
 * The variables are set through the C library: no right to Deno's environment is needed, and whoever opens the engine
 * (a worker, a benchmark, a program that uses Lockstep as a library) gets the same settings.
 *
 * @module
 */

/** The C library of this system. */
export const LIBC = Deno.build.os === "darwin" ? "libSystem.dylib" : "libc.so.6";

const encoder = new TextEncoder();

/**
 * Sets variables of this process for native code; must come before the library that reads them is opened.
 *
 * @param overwrite `true` replaces an existing value
 */
export function setNativeVariables(
  variables: Readonly<Record<string, string>>,
  overwrite: boolean,
): void {
  const libc = Deno.dlopen(LIBC, {
    setenv: { parameters: ["buffer", /* name */ "buffer", /* value */ "i32"], result: "i32" },
  });
  for (const [name, value] of Object.entries(variables)) {
    const [nameText, valueText] = [name, value].map((text) => encoder.encode(text + "\0"));
    libc.symbols.setenv(nameText, valueText, overwrite ? 1 : 0);
  }
  libc.close();
}

/** Reads a variable of this process as native code sees it. */
export function nativeVariable(name: string): string | undefined {
  const libc = Deno.dlopen(LIBC, {
    getenv: { parameters: ["buffer" /* name */], result: "pointer" },
  });
  const value = libc.symbols.getenv(encoder.encode(name + "\0"));
  const text = value === null ? undefined : new Deno.UnsafePointerView(value).getCString();
  libc.close();
  return text;
}

/** Reads a file by the C library: Deno opens files in `/proc` only for programs that may do everything. */
export function readNative(path: string): string | undefined {
  const libc = Deno.dlopen(LIBC, {
    open: { parameters: ["buffer", /* path */ "i32" /* flags */], result: "i32" },
    read: {
      parameters: ["i32", /* fd */ "buffer", /* buf */ "usize" /* count */],
      result: "isize",
    },
    close: { parameters: ["i32" /* fd */], result: "i32" },
  });
  try {
    const descriptor = libc.symbols.open(new TextEncoder().encode(path + "\0"), 0);
    if (descriptor < 0) return undefined;
    const chunk = new Uint8Array(65_536);
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const count = Number(libc.symbols.read(descriptor, chunk, BigInt(chunk.length)));
      if (count <= 0) break;
      text += decoder.decode(chunk.subarray(0, count), { stream: true });
    }
    libc.symbols.close(descriptor);
    return text;
  } finally {
    libc.close();
  }
}
