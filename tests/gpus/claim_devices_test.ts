import assert from "node:assert/strict";
import { join } from "node:path";
import { claimGpus, heldGpus } from "../../src/gpus/gpu_claims.ts";
import { eventually } from "../support/eventually.ts";
import { writeFakeDriver } from "../support/fake_driver.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startProcess, type TrainProcess } from "../support/tiny_run.ts";
import { someGpu, someGpus } from "./some_gpus.ts";

const PROGRAM = new URL("claiming_program.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

interface Claimed {
  readonly indices: number[];
  readonly warnings: string[];
  readonly refusal?: string;
}

/** Starts a process that claims GPUs. */
function startClaim(env: Record<string, string>, ...args: string[]) {
  const command = [Deno.execPath(), "run", "-A", "--no-check", "--config", CONFIG, PROGRAM];
  return startProcess([...command, ...args], { env, stdin: "piped" });
}

async function claimed(process: TrainProcess): Promise<Claimed> {
  await process.seen(/\}\n/);
  return JSON.parse(process.output());
}

Deno.test({
  name:
    "claimDevices() gives each run of a machine GPUs of its own, also at the same moment; a killed one frees them",
  ignore: Deno.build.os !== "linux" || Deno.build.arch !== "x86_64",
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const env = await writeFakeDriver(join(folder, "driver"), someGpus(4));
      const at = (run: string, ...args: string[]) => startClaim(env, run, ...args);
      await using a = at("a", "2");
      await using b = at("b", "1");
      await using c = at("c", "1");
      const all = await Promise.all([a, b, c].map(claimed));
      assert.deepEqual(all.flatMap(({ indices }) => indices).sort(), [0, 1, 2, 3]);
      const [ofA, ofB] = all;
      await using rest = at("rest", "");
      const { refusal } = await claimed(rest);
      assert.match(refusal!, /^1 GPU is needed, but none is free: other runs hold GPU 0, /);
      for (const { pid } of [a, b, c]) assert.match(refusal!, new RegExp(`\\(process ${pid} of `));
      const train = (...args: string[]) => {
        const none = ["train", "--data", join(folder, "none")];
        return runCommand([...none, ...args], folder, env);
      };
      const name = String(ofB!.indices[0]);
      const [named, shared] = await Promise.all([
        train("--devices", name),
        train("--devices", name, "--set", "engine.shareGpus=true"),
      ]);
      assert.equal(named.code, 2);
      assert.match(
        named.stderr,
        new RegExp(
          `^error: --devices is ${name}, but other runs hold GPU ${name}, .* by run b \\(process ${b.pid} of .*` +
            `end that run with deno task stop ${b.pid}, or share them with --set engine.shareGpus=true`,
        ),
      );
      assert.doesNotMatch(shared.stderr, /other runs hold/);
      assert.match(shared.stderr + shared.stdout, /is held by run b .*memory and speed are shared/);
      a.kill("SIGKILL");
      await a.result;
      await b.send("\n"); // an end in order
      await b.result;
      await using after = at("after", "");
      const free = await claimed(after);
      assert.deepEqual(free.indices, [...ofA!.indices, ...ofB!.indices].sort());
      assert.equal(free.warnings.length, 1);
      assert.match(free.warnings[0]!, new RegExp(`held by run c \\(process ${c.pid} .*: left out`));
    }),
});

Deno.test("claims are of all users: a full folder, odd files and a lock that nobody gives back end no run", () =>
  withTemporaryFolder(async (parent) => {
    const folder = join(parent, "gpus");
    const uuids = [someGpu(0).uuid, "MIG-GPU-8f3c/1/0"];
    {
      using claim = await claimGpus(uuids, { run: "a", folder });
      assert.equal(claim?.problem, undefined);
      const files = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
      assert.equal(files.length, 3, String(files));
      for (const name of files) {
        const mode = (await Deno.stat(join(folder, name))).mode! & 0o777;
        assert.equal(mode, name === "choice.lock" ? 0o666 : 0o644, "other users can look");
      }
      assert.equal((await Deno.stat(folder)).mode! & 0o7777, 0o1777);
      assert.deepEqual([...await heldGpus(folder)], [], "a process's own are not held against it");
      // As on a full disk, where the name alone tells; and what is no claim.
      for (const name of [`${uuids[0]}~4711~x.live`, "odd.live", "%~1~x.live"]) {
        await Deno.writeTextFile(join(folder, name), "");
      }
      using file = await Deno.open(join(folder, `${uuids[0]}~4711~x.live`), { write: true });
      await file.lock(true);
      const held = await heldGpus(folder);
      assert.deepEqual([...held.keys()], [uuids[0]]);
      assert.equal(held.get(uuids[0]!)?.pid, 4711);
      assert.equal(await claimGpus([uuids[0]!], { run: "b", folder }), undefined);
      using shared = await claimGpus([uuids[0]!], { run: "b", folder, shares: true });
      assert.equal(shared?.problem, undefined);
    }
    await eventually(async () => assert.deepEqual([...(await heldGpus(folder)).keys()], []));
    // Another user may have put anything there: a pipe would never be opened.
    const choice = join(folder, "choice.lock");
    await Deno.remove(choice);
    for (const path of [choice, join(folder, "GPU-9~1~x.live")]) {
      assert.ok((await new Deno.Command("mkfifo", { args: [path] }).output()).success);
    }
    using blocked = await claimGpus(uuids, { run: "d", folder });
    assert.match(blocked!.problem!, /choice\.lock can't be read: it is a pipe/);
    await Deno.writeTextFile(join(parent, "file"), "");
    using none = await claimGpus(uuids, { run: "c", folder: join(parent, "file", "gpus") });
    assert.match(none!.problem!, /file/);
  }));
