/**
 * Memory that processes of one machine share, without a name that could stay behind.
 *
 * The creator holds an anonymous file of the kernel (Linux's `memfd_create`); others open it through the
 * creator's entry in `/proc`. The kernel gives the memory back when the last process that has it is gone,
 * however it went.
 *
 * @module
 */
import { LockstepError } from "./errors.ts";

/** A segment that this process has made. */
export interface SharedSegment extends Disposable {
  /** Where processes of the same user find it, as long as this process lives and hasn't disposed of it. */
  readonly path: string;
  readonly bytes: number;
}

const CLOSE_ON_EXEC = 1; // MFD_CLOEXEC
const READ_WRITE = 2; // O_RDWR
const PROTECTION = 3; // PROT_READ | PROT_WRITE
const SHARED = 1; // MAP_SHARED

/** What `mmap` returns when it fails. */
const MAP_FAILED = 2n ** 64n - 1n;

const openLibc = () =>
  Deno.dlopen("libc.so.6", {
    memfd_create: { parameters: ["buffer", /* name */ "u32" /* flags */], result: "i32" },
    posix_fallocate: {
      parameters: ["i32", /* fd */ "i64", /* offset */ "i64" /* length */],
      result: "i32",
    },
    open: { parameters: ["buffer", /* path */ "i32" /* flags */], result: "i32" },
    close: { parameters: ["i32" /* fd */], result: "i32" },
    mmap: {
      parameters: [
        "pointer", /* address */
        "usize", /* length */
        "i32", /* protection */
        "i32", /* flags */
        "i32", /* fd */
        "i64", /* offset */
      ],
      result: "pointer",
    },
    __errno_location: { parameters: [], result: "pointer" },
  });

type Libc = ReturnType<typeof openLibc>["symbols"];

let opened: Libc | undefined;

const encoder = new TextEncoder();

/** Whether this platform can share memory in this way. */
export function canShareMemory(): boolean {
  return Deno.build.os === "linux";
}

/**
 * Makes a segment of zeros, with its memory reserved.
 *
 * @param name Shown by tools that list a process's memory
 * @throws {LockstepError} when there isn't that much memory
 */
export function createSharedSegment(name: string, bytes: number): SharedSegment {
  const { available } = Deno.systemMemoryInfo();
  if (bytes > available) { // reserving it would have the kernel end some process
    throw new LockstepError(
      `${bytes} bytes of shared memory are more than the ${available} that are available`,
    );
  }
  const libc = opened ??= openLibc().symbols;
  const fd = libc.memfd_create(encoder.encode(`${name}\0`), CLOSE_ON_EXEC);
  if (fd < 0) throw failure(libc, "memfd_create failed");
  const error = bytes > 0 ? libc.posix_fallocate(fd, 0n, BigInt(bytes)) : 0;
  if (error !== 0) {
    libc.close(fd);
    throw new LockstepError(`${bytes} bytes of shared memory can't be reserved: errno ${error}`);
  }
  let closed = false;
  return {
    path: `/proc/${Deno.pid}/fd/${fd}`,
    bytes,
    [Symbol.dispose]: () => {
      if (!closed) libc.close(fd);
      closed = true;
    },
  };
}

/**
 * Maps a segment, for as long as this process lives.
 *
 * @param path As its creator says
 * @throws {LockstepError} when the creator is gone, or runs as another user
 */
export function mapSharedSegment(path: string, bytes: number): Uint8Array<ArrayBuffer> {
  if (bytes === 0) return new Uint8Array(0);
  const libc = opened ??= openLibc().symbols;
  const fd = libc.open(encoder.encode(`${path}\0`), READ_WRITE);
  if (fd < 0) throw failure(libc, `Shared memory ${path} can't be opened`);
  const address = libc.mmap(null, BigInt(bytes), PROTECTION, SHARED, fd, 0n);
  const problem = Deno.UnsafePointer.value(address) === MAP_FAILED
    ? failure(libc, `${bytes} bytes of shared memory can't be mapped`)
    : undefined;
  libc.close(fd); // the map stays
  if (problem) throw problem;
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(address!, bytes));
}

function failure(libc: Libc, what: string): LockstepError {
  const errno = new Deno.UnsafePointerView(libc.__errno_location()!).getInt32();
  return new LockstepError(`${what}: errno ${errno}`);
}
