/**
 * Memory shared by processes of one machine, without a name that could remain after a crash.
 *
 * The creator holds an anonymous file of the kernel (Linux's `memfd_create`). Other processes open it through the
 * creator's entry in `/proc`. The kernel frees the memory when the last process that uses it has ended, for any
 * reason.
 *
 * @module
 */
import { getSystemErrorName } from "node:util";
import { LockstepError, reasonOf } from "./errors.ts";

/** The location under which other processes find a segment. */
export interface SegmentPlace {
  /**
   * Path for processes of the same user and pid namespace; valid while its creator lives and hasn't disposed of
   * it.
   */
  readonly path: string;
  /** Length without the mark. */
  readonly bytes: number;
}

/** The location of a segment and a proof of its identity. */
export interface SegmentAddress extends SegmentPlace {
  /** Random text after the segment's bytes; it tells the segment apart if another process gets the creator's pid. */
  readonly mark: string;
}

/** A segment that this process has created. */
export interface SharedSegment extends SegmentAddress, Disposable {
  /** Path for the creator itself, even if /proc is hidden. */
  readonly ownPath: string;
  /** Gives the memory back to the system, whoever still maps it: it reads as zeros. */
  release(): void;
}

const CLOSE_ON_EXEC = 1; // MFD_CLOEXEC
const READ_WRITE = 2; // O_RDWR
const PROTECTION = 3; // PROT_READ | PROT_WRITE
const SHARED = 1; // MAP_SHARED
const FROM_END = 2; // SEEK_END

const PUNCH_HOLE = 3; // frees the pages, and keeps the size

/** Length of a segment's mark: a UUID without its hyphens. */
const MARK_BYTES = 32;

/** The value that `mmap` returns when it fails. */
const MAP_FAILED = 2n ** 64n - 1n;

const openLibc = () =>
  Deno.dlopen("libc.so.6", {
    memfd_create: { parameters: ["buffer", /* name */ "u32" /* flags */], result: "i32" },
    posix_fallocate: {
      parameters: ["i32", /* fd */ "i64", /* offset */ "i64" /* length */],
      result: "i32",
    },
    fallocate: {
      parameters: ["i32", /* fd */ "i32", /* mode */ "i64", /* offset */ "i64" /* length */],
      result: "i32",
    },
    open: { parameters: ["buffer", /* path */ "i32" /* flags */], result: "i32" },
    close: { parameters: ["i32" /* fd */], result: "i32" },
    lseek: {
      parameters: ["i32", /* fd */ "i64", /* offset */ "i32" /* from where */],
      result: "i64",
    },
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
    munmap: { parameters: ["pointer", /* address */ "usize" /* length */], result: "i32" },
    __errno_location: { parameters: [], result: "pointer" },
  });

type Libc = ReturnType<typeof openLibc>["symbols"];

let opened: Libc | undefined;

const encoder = new TextEncoder();

/** Tells whether this platform supports this kind of shared memory. */
export function canShareMemory(): boolean {
  return Deno.build.os === "linux";
}

/**
 * Creates a segment of zeros, with its memory reserved.
 *
 * @param name Shown by tools that list a process's memory
 * @throws {LockstepError} when the machine has too little memory
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
  const error = libc.posix_fallocate(fd, 0n, BigInt(bytes + MARK_BYTES));
  if (error !== 0) {
    libc.close(fd);
    throw new LockstepError(
      `${bytes} bytes of shared memory can't be reserved: ${reasonOf(systemError(error))}`,
    );
  }
  const ownPath = `/proc/self/fd/${fd}`;
  const mark = crypto.randomUUID().replaceAll("-", "");
  try {
    const address = map(libc, ownPath, bytes + MARK_BYTES);
    viewAt(address, bytes + MARK_BYTES).set(encoder.encode(mark), bytes);
    libc.munmap(address, BigInt(bytes + MARK_BYTES));
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  let closed = false;
  return {
    path: `/proc/${Deno.pid}/fd/${fd}`,
    ownPath,
    bytes,
    mark,
    release: () => {
      if (!closed) libc.fallocate(fd, PUNCH_HOLE, 0n, BigInt(bytes));
    },
    [Symbol.dispose]: () => {
      if (!closed) libc.close(fd);
      closed = true;
    },
  };
}

/**
 * Maps a segment for the rest of this process's life.
 *
 * @param path As given by its creator
 * @throws {LockstepError} when the creator has ended, or runs as another user
 */
export function mapSharedSegment(path: string, bytes: number): Uint8Array<ArrayBuffer> {
  if (bytes === 0) return new Uint8Array(0);
  return viewAt(map(opened ??= openLibc().symbols, path, bytes), bytes);
}

/**
 * Maps a segment temporarily and checks its mark.
 *
 * @throws {LockstepError} when it can't be mapped, or is another segment: its creator lives in another pid
 * namespace
 */
export function trySharedSegment({ path, bytes, mark }: SegmentAddress): void {
  const libc = opened ??= openLibc().symbols;
  const length = bytes + MARK_BYTES;
  const address = map(libc, path, length);
  const found = new TextDecoder().decode(viewAt(address, length).slice(bytes));
  libc.munmap(address, BigInt(length));
  if (found !== mark) throw foreign(path);
}

function foreign(path: string): LockstepError {
  return new LockstepError(`${path} is not the shared memory of this run, but another process's`);
}

function viewAt(address: Deno.PointerObject, bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(address, bytes));
}

/** Maps the first bytes of a file; returns their address. */
function map(libc: Libc, path: string, bytes: number): Deno.PointerObject {
  const fd = libc.open(encoder.encode(`${path}\0`), READ_WRITE);
  if (fd < 0) throw failure(libc, `Shared memory ${path} can't be opened`);
  // Access to a page behind the end of a shorter file would kill this process.
  if (libc.lseek(fd, 0n, FROM_END) < BigInt(bytes)) {
    libc.close(fd);
    throw foreign(path);
  }
  const address = libc.mmap(null, BigInt(bytes), PROTECTION, SHARED, fd, 0n);
  const problem = Deno.UnsafePointer.value(address) === MAP_FAILED
    ? failure(libc, `${bytes} bytes of shared memory can't be mapped`)
    : undefined;
  libc.close(fd); // the map stays
  if (problem) throw problem;
  return address!;
}

/** Name of an error of the C library, such as `ENOENT`. */
/** An error as the runtime makes it, for its message. */
function systemError(errno: number): Error {
  const name = errnoName(errno);
  return Object.assign(new Error(name), { code: name });
}

function errnoName(errno: number): string {
  return getSystemErrorName(-errno);
}

function failure(libc: Libc, what: string): LockstepError {
  const errno = new Deno.UnsafePointerView(libc.__errno_location()!).getInt32();
  return new LockstepError(`${what}: ${errnoName(errno)}`);
}
