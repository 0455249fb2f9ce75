/**
 * A preload for the command line (`deno run --preload`) that counts the file operations of a run, and does something
 * before the N-th: kills the process and its whole group, as a power cut of the machine would, or copies the folder as
 * that would leave it. The program itself knows nothing of it.
 *
 * Environment: `LOCKSTEP_TEST_RUNS` is the folder whose operations count; `LOCKSTEP_TEST_KILL_AT` the number at which to
 * kill; `LOCKSTEP_TEST_COPIES` a folder that gets a copy before each operation, named by its number.
 *
 * @module
 */
import { join } from "node:path";

const root = Deno.env.get("LOCKSTEP_TEST_RUNS") ?? "";
const killAt = Number(Deno.env.get("LOCKSTEP_TEST_KILL_AT") ?? 0);
const copies = Deno.env.get("LOCKSTEP_TEST_COPIES");

let count = 0;

/** A file that a timer writes: its operations come at any time, and no run reads it again. */
const isTimed = (path: string) => path.includes("live.json");

function before(path: unknown, half: () => void = () => {}): void {
  const name = String(path);
  if (root === "" || !name.includes(root) || isTimed(name)) return;
  count++;
  if (copies) {
    const target = join(copies, String(count).padStart(4, "0"));
    new Deno.Command("cp", { args: ["-a", root, target] }).outputSync();
  }
  if (count !== killAt) return;
  half();
  new Deno.Command("sh", { args: ["-c", "kill -KILL 0"] }).outputSync();
}

// deno-lint-ignore no-explicit-any -- functions of many signatures
const api = Deno as any;
for (
  const name of [
    "open",
    "openSync",
    "rename",
    "symlink",
    "remove",
    "mkdir",
    "truncate",
    "truncateSync",
    "writeTextFile",
    "writeFile",
  ]
) {
  const original = api[name];
  const isSymlink = name === "symlink";
  api[name] = (...args: unknown[]) => {
    const writes = !name.startsWith("open") ||
      (args[1] as { write?: boolean } | undefined)?.write ||
      (args[1] as { append?: boolean } | undefined)?.append;
    if (writes) before(args[isSymlink ? 1 : 0]);
    const result = original(...args);
    if (!name.startsWith("open")) return result;
    const remember = (file: Deno.FsFile) => {
      if (writes) paths.set(file, String(args[0]));
      return file;
    };
    return result instanceof Promise ? result.then(remember) : remember(result);
  };
}

const paths = new WeakMap<Deno.FsFile, string>();
const { write, writeSync } = Deno.FsFile.prototype;
/** Returns the action that leaves of a write what a killed process may leave: the first half. */
const halfOf = (file: Deno.FsFile, bytes: Uint8Array) => () =>
  void writeSync.call(file, bytes.subarray(0, bytes.length >> 1));
Deno.FsFile.prototype.write = function (bytes) {
  before(paths.get(this) ?? "", halfOf(this, bytes));
  return write.call(this, bytes);
};
Deno.FsFile.prototype.writeSync = function (bytes) {
  before(paths.get(this) ?? "", halfOf(this, bytes));
  return writeSync.call(this, bytes);
};

// The number of operations, for whoever chooses where to kill.
globalThis.addEventListener("unload", () => {
  if (copies) Deno.writeTextFileSync(join(copies, "count"), String(count));
});
