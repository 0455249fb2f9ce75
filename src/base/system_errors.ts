/**
 * Explanations of errors of the operating system: the reason, and what a person can do about it.
 *
 * The one table of them. `asLockstepError` of `errors.ts` makes sentences from it.
 *
 * @module
 */
/** The facts about an error of the operating system. */
export interface SystemTrouble {
  /** Such as `ENOSPC`. */
  readonly code: string;
  /** Clause such as `the disk is full`. */
  readonly reason: string;
  /** Clause in the imperative. */
  readonly cure: string;
  /** Path of the operation, where the error names one. */
  readonly path?: string;
  /** Participle of what was tried, such as `written`. */
  readonly verb: string;
}

const EXPLANATIONS: Readonly<Record<string, readonly [reason: string, cure: string]>> = {
  ENOSPC: ["the disk is full", "free space there, or name another folder"],
  EDQUOT: ["the disk quota is used up", "free space there, or name another folder"],
  EFBIG: [
    "the file would be larger than this process or the file system allows",
    "raise the limit (ulimit -f), or name a folder on another file system",
  ],
  EROFS: ["the file system is read-only", "remount it for writing, or name another folder"],
  EACCES: ["permission is denied", "give this user the right to it, or name another path"],
  EPERM: ["the operation is not permitted", "give this user the right to it, or name another path"],
  EMFILE: ["this process has too many open files", "raise the limit (ulimit -n)"],
  ENFILE: ["the machine has too many open files", "close programs, or raise fs.file-max"],
  ENOENT: ["there is no such file or folder", "check the path"],
  EISDIR: ["it is a folder, where a file belongs", "move it away, or name another path"],
  ENOTDIR: [
    "a part of the path is a file, where a folder belongs",
    "move it away, or name another path",
  ],
  EEXIST: ["something else has that name", "move it away, or name another path"],
  ENOTEMPTY: ["the folder is not empty", "move away what is in it"],
  ESPIPE: ["it is a pipe, where a file belongs", "name a regular file"],
  ENXIO: ["it is a pipe or a device, where a file belongs", "name a regular file"],
  ELOOP: ["symbolic links lead in a circle", "remove one of the links"],
  ENAMETOOLONG: ["the name is too long for the file system", "choose a shorter name or path"],
  EXDEV: ["it would cross file systems", "name a folder on the same file system"],
  EAGAIN: [
    "the operating system gives this user no more processes or threads",
    "end others, or raise the limit (ulimit -u)",
  ],
  EBUSY: ["it is in use", "end the program that uses it"],
  EIO: ["the device reports an input/output error", "check the disk or the network drive"],
  ESTALE: ["the network drive has lost it", "mount the drive again"],
  ENODEV: ["the device is gone", "mount it again, or name another folder"],
  ENOMEM: ["memory ran out", "use a smaller batch or fewer workers"],
};

/** The platform's numbers by code; none on a page, for which this module is linked too. */
const NUMBERS: Readonly<Record<string, number>> = globalThis.process?.getBuiltinModule?.("node:os")
  ?.constants.errno ?? {};

/** Codes by the number that the platform gives them; Deno names some errors by number only. */
const CODES = new Map(Object.keys(EXPLANATIONS).map((code) => [NUMBERS[code], code]));

const VERBS: Readonly<Record<string, string>> = {
  open: "opened",
  mkdir: "made",
  readfile: "read",
  readdir: "read",
  stat: "read",
  lstat: "read",
  readlink: "read",
  realpath: "read",
  remove: "removed",
};

/** Deno's own refusal, of files in `/proc` for one. */
const DENIED = /^Requires (?:all|read) access to "(.+)", run again/s;
const NOT_CAPABLE = {
  code: "NotCapable",
  reason: "Deno gives the command no access to it",
  cure: "name a regular file elsewhere",
  verb: "read",
};

/** Such as `Is a directory (os error 21): open '/tmp'`, or `… rename '/a' -> '/b'`. */
const FORM = /\(os error (\d+)\)(?:: (\w+) '(.*?)'(?: -> '(.*)')?)?$/s;

/**
 * Describes an error of the operating system.
 *
 * @returns `undefined` for any other error
 */
export function describeSystemError(thrown: unknown): SystemTrouble | undefined {
  const error = withoutDisposal(thrown);
  if (!(error instanceof Error)) return undefined;
  const denied = error.name === "NotCapable" ? DENIED.exec(error.message)?.[1] : undefined;
  if (denied !== undefined) return { ...NOT_CAPABLE, path: denied };
  const [, number, operation = "", from, to] = FORM.exec(error.message) ?? [];
  const own = (error as { code?: unknown }).code;
  const code = typeof own === "string" ? own : CODES.get(Number(number));
  const explanation = code === undefined ? undefined : EXPLANATIONS[code];
  if (code === undefined || explanation === undefined) return undefined;
  const path = to ?? from;
  const verb = VERBS[operation] ?? "written";
  return { code, reason: explanation[0], cure: explanation[1], verb, ...(path ? { path } : {}) };
}

/** Codes of a place that can't be written, whoever writes there. */
const STORAGE = new Set("EACCES EPERM EROFS ENOSPC EDQUOT EFBIG EIO ESTALE ENODEV".split(" "));
/** Codes of a process that has too much open. */
const DESCRIPTORS = new Set(["EMFILE", "ENFILE"]);

/** Tells whether a file system or the limit of open files is what failed, and not what was read or fetched. */
export function isDiskError(thrown: unknown): boolean {
  const code = describeSystemError(thrown)?.code ?? "";
  return STORAGE.has(code) || DESCRIPTORS.has(code);
}

/** Tells whether another folder may help: not where this process has too many open files, for one. */
export function isStorageCode(code: string): boolean {
  return STORAGE.has(code);
}

/** Tells whether no room is left. */
export function isDiskFull(thrown: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes(describeSystemError(thrown)?.code ?? "");
}

/**
 * Returns what was thrown first: where closing a file fails as well, JavaScript hides the error that matters in a
 * `SuppressedError`.
 */
export function withoutDisposal(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof SuppressedError) error = error.suppressed ?? error.error;
  return error;
}
