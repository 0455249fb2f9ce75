import assert from "node:assert/strict";
import { join } from "node:path";
import { makeOwnFolder } from "../../src/base/runtime_folder.ts";
import { readLiveRuns, registerLive } from "../../src/records/live_runs.ts";
import { eventually } from "../support/eventually.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const PROGRAM = new URL("../support/live_process.ts", import.meta.url).pathname;

Deno.test("registerLive() lists a run with what comes to be known later, until it ends", () =>
  withTemporaryFolder(async (parent) => {
    const folders = [join(parent, "full", "no"), join(parent, "register")];
    await Deno.writeTextFile(join(parent, "full"), ""); // a file: the first folder can't be made
    const controller = new AbortController();
    {
      using live = await registerLive({ kind: "train", name: "a" }, {
        ...{ folders, signal: controller.signal },
      });
      live.update({ folder: "/runs/a", hosts: [{ index: 0, name: "x", workers: 2 }] });
      controller.abort();
      await live.settled();
      const [run, ...others] = await readLiveRuns(folders);
      assert.deepEqual(others, []);
      const { kind, name, folder, pid, hosts, stopping, stopsInOrder, isHere, isBare } = run!;
      assert.deepEqual(
        { kind, name, folder, pid, hosts, stopsInOrder, isHere, isBare },
        {
          ...{ kind: "train", name: "a", folder: "/runs/a", pid: Deno.pid },
          ...{ hosts: [{ index: 0, name: "x", workers: 2 }] },
          ...{ stopsInOrder: false, isHere: true, isBare: false },
        },
        "a program that takes no signal as a request to stop",
      );
      assert.ok(Math.abs(Date.parse(stopping!) - Date.now()) < 60_000);
    }
    assert.deepEqual(await readLiveRuns(folders), []);
  }));

Deno.test("registerLive() never fails: the reason why nothing can be written is told once", () =>
  withTemporaryFolder(async (parent) => {
    await Deno.writeTextFile(join(parent, "file"), "");
    const problems: string[] = [];
    using live = await registerLive({ kind: "bench", name: "b" }, {
      folders: [join(parent, "file", "a"), join(parent, "file", "b")],
      onProblem: (problem) => problems.push(problem),
    });
    live.update({ name: "c" });
    assert.equal(problems.length, 1);
    assert.match(
      problems[0]!,
      /^deno task ps can't list this run, as the register can't be written: /,
    );
  }));

Deno.test("readLiveRuns() shows no process that was killed, and one whose entry says nothing by its pid", () =>
  withTemporaryFolder(async (parent) => {
    const register = join(parent, "register");
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", PROGRAM, register, "killed"],
      stdout: "piped",
    }).spawn();
    const reader = process.stdout.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value).trim(), "registered");
    await reader.cancel();
    const [run] = await readLiveRuns([register]);
    assert.equal(run?.pid, process.pid);
    assert.equal(run?.stopsInOrder, true);
    process.kill("SIGKILL");
    await process.status;
    assert.deepEqual(await readLiveRuns([register]), []);
    // What it left is removed by the next one that registers.
    using live = await registerLive({ kind: "train", name: "next" }, { folders: [register] });
    await live.settled();
    const names = (await Array.fromAsync(Deno.readDir(register))).map(({ name }) => name);
    assert.equal(names.length, 1, String(names));
    // As on a full disk: locked, without a text.
    await makeOwnFolder(register);
    using file = await Deno.open(join(register, "4711-evaluate-x.live"), {
      ...{ create: true, read: true, write: true },
    });
    await file.lock(true);
    const bare = (await readLiveRuns([register])).find(({ isBare }) => isBare);
    assert.equal(bare?.pid, 4711);
    assert.equal(bare?.kind, "evaluate");
  }));

Deno.test("two runs of one name that begin at the same moment have entries of their own", () =>
  withTemporaryFolder(async (parent) => {
    const folders = [join(parent, "register")];
    const lives = await Promise.all(
      [1, 2, 3, 4].map(() => registerLive({ kind: "train", name: "same" }, { folders })),
    );
    await eventually(async () => assert.equal((await readLiveRuns(folders)).length, 4));
    lives.forEach((live) => live[Symbol.dispose]());
    assert.deepEqual(await readLiveRuns(folders), []);
  }));
