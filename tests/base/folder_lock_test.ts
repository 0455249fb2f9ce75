import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { LOCK_FILE, lockFolder } from "../../src/base/folder_lock.ts";
import { exists } from "../../src/base/paths.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const OPTIONS = { what: "Run", cure: "stop it with Ctrl-C", onWarning: () => {} };

/** Locks a folder in another process, which prints its pid and stays. */
async function lockElsewhere(folder: string) {
  const module = new URL("../../src/base/folder_lock.ts", import.meta.url).href;
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-check",
      `const { lockFolder } = await import(${JSON.stringify(module)});
       await lockFolder(${JSON.stringify(folder)}, ${JSON.stringify({ what: "", cure: "" })});
       console.log("locked"); setInterval(() => {}, 1000);`,
    ],
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.getReader();
  await reader.read();
  return {
    pid: process.pid,
    kill: async () => {
      process.kill("SIGKILL");
      await process.status;
      await reader.cancel();
    },
  };
}

Deno.test("lockFolder() refuses a folder that another process works on, and names it", () =>
  withTemporaryFolder(async (folder) => {
    const other = await lockElsewhere(folder);
    await assert.rejects(lockFolder(folder, OPTIONS), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(
        error.message,
        new RegExp(
          `^Run .* is in use by the process with pid ${other.pid} on \\S+ since \\d{4}-.*: ` +
            "wait for its end, or stop it with Ctrl-C$",
        ),
      );
      return true;
    });
    await other.kill();
    using _lock = await lockFolder(folder, OPTIONS); // a dead process holds nothing
    assert.equal(JSON.parse(await Deno.readTextFile(join(folder, LOCK_FILE))).pid, Deno.pid);
  }));

Deno.test("lockFolder() leaves no file, and holds against this process too", () =>
  withTemporaryFolder(async (folder) => {
    const first = await lockFolder(folder, OPTIONS);
    await assert.rejects(lockFolder(folder, OPTIONS), UsageError);
    first[Symbol.dispose]();
    assert.equal(await exists(join(folder, LOCK_FILE)), false);
    const second = await lockFolder(folder, OPTIONS);
    second[Symbol.dispose]();
  }));

Deno.test("lockFolder() lets one of many have the folder at any time", () =>
  withTemporaryFolder(async (folder) => {
    let inside = 0;
    const work = async () => {
      for (let taken = 0; taken < 20;) {
        const lock = await lockFolder(folder, OPTIONS).catch(() => undefined);
        if (!lock) continue;
        using _ = lock;
        assert.equal(++inside, 1);
        await new Promise((resolve) => setTimeout(resolve, Math.random()));
        inside--;
        taken++;
      }
    };
    await Promise.all(Array.from({ length: 4 }, work));
  }));

Deno.test("lockFolder() shows nothing of a foreign lock file but visible text", () =>
  withTemporaryFolder(async (folder) => {
    using file = await Deno.open(join(folder, LOCK_FILE), { write: true, create: true });
    await file.write(new TextEncoder().encode('{"pid": 7, "host": "\\u001b[31m", "since": "\\n"}'));
    assert.ok(await file.tryLock(true));
    await assert.rejects(lockFolder(folder, OPTIONS), { message: /pid 7 on \?\?31m since \?:/ });
  }));

Deno.test("lockFolder() goes on with a warning where the file system has no locks", () =>
  withTemporaryFolder(async (folder) => {
    const { tryLock } = Deno.FsFile.prototype;
    const warnings: string[] = [];
    Deno.FsFile.prototype.tryLock = () => Promise.reject(new Deno.errors.NotSupported("no flock"));
    try {
      using _lock = await lockFolder(folder, {
        ...OPTIONS,
        onWarning: (text) => warnings.push(text),
      });
    } finally {
      Deno.FsFile.prototype.tryLock = tryLock;
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^The file system of .* has no locks \(no flock\): see to it/);
  }));
