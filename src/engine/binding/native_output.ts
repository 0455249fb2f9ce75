/**
 * The standard error stream of native code.
 *
 * @module
 */
import { LIBC } from "./native_environment.ts";

const STDERR = 2;
const SEEK_SET = 0;
const READ_WRITE = 2; // O_RDWR
const CHUNK_BYTES = 65_536;
/** The most bytes of native output that are read back. */
const MAX_BYTES = 256 * 1024;

const LIBC_SYMBOLS = {
  dup: { parameters: ["i32" /* fd */], result: "i32" },
  dup2: { parameters: ["i32", /* from */ "i32" /* to */], result: "i32" },
  open: { parameters: ["buffer", /* path */ "i32" /* flags */], result: "i32" },
  close: { parameters: ["i32" /* fd */], result: "i32" },
  lseek: { parameters: ["i32", /* fd */ "i64", /* offset */ "i32" /* whence */], result: "i64" },
  read: { parameters: ["i32", /* fd */ "buffer", /* buf */ "usize" /* n */], result: "isize" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `memfd_create`, which only Linux has. */
const MEMFD_SYMBOLS = {
  memfd_create: {
    parameters: ["buffer", /* name */ "u32" /* flags */],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * Runs a synchronous action with file descriptor 2 redirected, because native libraries log while they are loaded,
 * before anybody could turn their loggers down.
 *
 * @param onText Receives what was written, at most 256 KiB, when the action has ended or thrown; nothing where the
 * system has no files in memory
 */
export function withCapturedStderr<T>(action: () => T, onText: (text: string) => void): T {
  const libc = Deno.dlopen(LIBC, LIBC_SYMBOLS);
  const saved = libc.symbols.dup(STDERR);
  const sink = openSink(libc.symbols);
  try {
    if (saved >= 0 && sink >= 0) libc.symbols.dup2(sink, STDERR);
    return action();
  } finally {
    if (saved >= 0) libc.symbols.dup2(saved, STDERR);
    const text = sink < 0 ? "" : readBack(libc.symbols, sink);
    for (const descriptor of [saved, sink]) if (descriptor >= 0) libc.symbols.close(descriptor);
    libc.close();
    onText(text);
  }
}

type Libc = Deno.DynamicLibrary<typeof LIBC_SYMBOLS>["symbols"];

/** Opens a file in memory; `/dev/null` where there are none. */
function openSink(libc: Libc): number {
  const library = Deno.dlopen(LIBC, MEMFD_SYMBOLS);
  const encoder = new TextEncoder();
  const memory = library.symbols.memfd_create?.(encoder.encode("stderr\0"), 0) ?? -1;
  library.close();
  return memory >= 0 ? memory : libc.open(encoder.encode("/dev/null\0"), READ_WRITE);
}

function readBack(libc: Libc, descriptor: number): string {
  libc.lseek(descriptor, 0n, SEEK_SET);
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(CHUNK_BYTES);
  let text = "";
  for (let bytes = 0; bytes < MAX_BYTES;) {
    const count = Number(libc.read(descriptor, chunk, BigInt(chunk.length)));
    if (count <= 0) break;
    bytes += count;
    text += decoder.decode(chunk.subarray(0, count), { stream: true });
  }
  return text;
}

/** Returns the warnings and errors among lines of TensorFlow's log, without their dates and places. */
export function logProblems(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const match = /^[WEF]\d{4} [\d:.]+\s+\d+ \S+\] (.*)$/.exec(line);
    return match ? [match[1]!.trim()] : [];
  }).filter((line) => line !== "");
}
