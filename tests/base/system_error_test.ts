import assert from "node:assert/strict";
import { join } from "node:path";
import { asLockstepError, messageOf, reasonOf, SystemError } from "../../src/base/errors.ts";
import { describeSystemError } from "../../src/base/system_errors.ts";
import { cacheFolder, writeFileAtomically } from "../../src/base/paths.ts";
import { LineFile } from "../../src/records/jsonl_file.ts";
import { withVariables } from "../support/environment.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** As Deno makes them. */
function systemError(message: string, code?: string): Error {
  return Object.assign(new Error(message), code ? { code } : {});
}

Deno.test("asLockstepError() makes one sentence with path and cure of an error of the system", () => {
  const rows: [message: string, code: string | undefined, sentence: RegExp][] = [
    [
      "No space left on device (os error 28): writefile '/r/a'",
      "ENOSPC",
      /^\/r\/a can't be written: the disk is full; free space there/,
    ],
    ["Permission denied (os error 13): mkdir '/r'", "EACCES", /^\/r can't be made: permission/],
    [
      "Read-only file system (os error 30): open '/r'",
      "EROFS",
      /^\/r can't be opened: .*read-only/,
    ],
    ["Too many open files (os error 24): open '/r'", "EMFILE", /: .*open files; .*ulimit -n/],
    ["File too large (os error 27): writefile '/r'", undefined, /: the file would.*ulimit -f/],
    ["Is a directory (os error 21): readfile '/r'", "EISDIR", /^\/r can't be read: it is a folder/],
    ["Not a directory (os error 20): open '/r/x'", "ENOTDIR", /a file, where a folder belongs/],
    [
      "No such file or directory (os error 2): open '/r'",
      "ENOENT",
      /no such file or folder; check/,
    ],
    ["Illegal seek (os error 29)", undefined, /^It is a pipe, where a file belongs; name/],
    [
      "File exists (os error 17): rename '/a' -> '/b'",
      "EEXIST",
      /^\/b can't be written: something/,
    ],
    ["No space left on device (os error 28)", "ENOSPC", /^The disk is full; free space/],
  ];
  for (const [message, code, sentence] of rows) {
    const error = asLockstepError(systemError(message, code));
    assert.ok(error instanceof SystemError, message);
    assert.equal(error.exitCode, 1);
    assert.match(error.message, sentence);
    assert.doesNotMatch(error.message, /os error|\n|\.$/);
  }
  const denied = new Deno.errors.NotCapable(
    'Requires all access to "/proc/self/mem", run again with the --allow-all flag',
  );
  assert.match(
    messageOf(denied),
    /^\/proc\/self\/mem can't be read: Deno gives .* no access to it; /,
  );
  const unreachable = new Error("tcp connect error: Connection refused (os error 111)");
  assert.equal(messageOf(unreachable), "tcp connect error: Connection refused");
  const unknown = new TypeError("x is not a function");
  assert.equal(asLockstepError(unknown), unknown);
});

Deno.test("what closing a file adds never hides the error that matters", () => {
  const full = systemError("No space left on device (os error 28)", "ENOSPC");
  let thrown: unknown;
  try {
    using _file = {
      [Symbol.dispose]: () => {
        throw new Error("close");
      },
    };
    throw full;
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown instanceof SuppressedError);
  assert.equal(messageOf(thrown), "The disk is full; free space there, or name another folder");
  assert.equal(reasonOf(thrown), "the disk is full");
  assert.match(
    String(asLockstepError(thrown, "/r/a")),
    /\/r\/a can't be written: the disk is full/,
  );
  assert.equal(describeSystemError(thrown)?.code, "ENOSPC");
});

Deno.test("files that can't be written are named, and nothing of them is left", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "a.json");
    await Deno.mkdir(path);
    const message = new RegExp(`^${path} can't be written: it is a folder, where a file belongs; `);
    await assert.rejects(writeFileAtomically(path, "x"), { name: "SystemError", message });
    assert.throws(() => new LineFile(path), { name: "SystemError", message });
    await Deno.writeTextFile(join(folder, "file"), "");
    await assert.rejects(writeFileAtomically(join(folder, "file", "x"), "x"), {
      message: /file\/x can't be written: (a part of the path|something else has that name)/,
    });
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assert.deepEqual(left, ["a.json", "file"]);
    if (Deno.build.os === "windows") return;
    await new Deno.Command("mkfifo", { args: [join(folder, "pipe")] }).output();
    assert.throws(() => new LineFile(join(folder, "pipe")), {
      message: /it is a pipe, where a file/,
    });
  }));

Deno.test("a line that was written in part is ended before the next one", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "a.jsonl");
    using file = new LineFile(path);
    const { writeSync } = Deno.FsFile.prototype;
    let calls = 0;
    Deno.FsFile.prototype.writeSync = function (bytes) {
      if (calls++ === 0) return writeSync.call(this, bytes.subarray(0, 3));
      throw systemError("No space left on device (os error 28)", "ENOSPC");
    };
    try {
      assert.throws(() => file.append("first"), {
        message:
          `${path} can't be written: the disk is full; free space there, or name another folder`,
      });
    } finally {
      Deno.FsFile.prototype.writeSync = writeSync;
    }
    file.append("second");
    assert.equal(await Deno.readTextFile(path), "fir\nsecond\n");
  }));

Deno.test("without HOME the cache's variable is named", () => {
  const names = ["HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA", "LOCKSTEP_CACHE"];
  using _none = withVariables(Object.fromEntries(names.map((name) => [name, undefined])));
  assert.throws(cacheFolder, {
    name: "UsageError",
    message: /HOME is not set: .*LOCKSTEP_CACHE/,
  });
  Deno.env.set("HOME", "");
  assert.throws(cacheFolder, { name: "UsageError" });
  Deno.env.set("LOCKSTEP_CACHE", "~/a cache");
  assert.throws(cacheFolder, {
    message: /^LOCKSTEP_CACHE is ~\/a cache: there is no home folder for ~, as HOME is not set/,
  });
  Deno.env.set("HOME", "/home/me");
  assert.equal(cacheFolder(), "/home/me/a cache");
  Deno.env.set("LOCKSTEP_CACHE", "there");
  assert.equal(cacheFolder(), `${Deno.cwd()}/there`);
});
