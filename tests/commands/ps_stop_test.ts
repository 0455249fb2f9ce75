import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { liveRunLines } from "../../src/terminal/live_run_lines.ts";
import { listRuns, parseScan } from "../../src/commands/live_listing.ts";
import { namedLiveRun } from "../../src/commands/named_live_run.ts";
import type { LiveRun } from "../../src/records/live_runs.ts";
import { eventually } from "../support/eventually.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  lastState,
  runCommand,
  startCommand,
  startProcess,
  tinyConfig,
} from "../support/tiny_run.ts";

const PROGRAM = new URL("../support/live_process.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** The runs of `ps --json`, of a register alone: programs of other tests may look like runs. */
async function runsOf(folder: string, env: Record<string, string>) {
  const { code, stdout, stderr } = await runCommand(["ps", "--json"], folder, env);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).runs;
}

/** Starts a process that is in the register; `ms` is the time that it takes to stop. */
async function startLive(register: string, name: string, ms = 0) {
  const command = [Deno.execPath(), "run", "-A", "--no-check", "--config", CONFIG, PROGRAM];
  const process = startProcess([...command, register, name, String(ms)], {});
  await process.seen(/registered/);
  return process;
}

Deno.test("stop ends the run that is meant, once, and refuses a word that means none or several", () =>
  withTemporaryFolder(async (folder) => {
    const env = { LOCKSTEP_RUNTIME: folder };
    const register = join(folder, "runs");
    const stop = (...args: string[]) => runCommand(["stop", ...args], folder, env);
    const none = await stop("flowers");
    assert.match(none.stderr, /There is no run "flowers": none of yours goes on on this host/);
    assert.equal(none.code, 2);
    await using one = await startLive(register, "flowers");
    await using two = await startLive(register, "flowers", 15_000);
    await using stuck = await startLive(register, "birds", 600_000);
    await using hung = await startLive(register, "hung", 600_000);
    const several = await stop("flowers");
    assert.equal(several.code, 2);
    assert.match(several.stderr, /2 runs are meant by "flowers": give the pid of one: \d+ \(train/);
    for (const { pid } of [one, two]) assert.match(several.stderr, new RegExp(`${pid} \\(`));
    const unknown = await stop("flwers");
    assert.match(unknown.stderr, /No run on this host is called "flwers": did you mean flowers\?/);
    const short = await stop("birds", "--timeout", "1");
    assert.equal(short.code, 1);
    assert.match(short.stderr, /birds \(process \d+\) goes on 1 s after the request to stop: wait/);
    // Both at once: the second request waits with the first, in the place of ending the run at once.
    const [first, second, ...others] = await Promise.all([
      ...[0, 1].map(() => stop(String(two.pid))),
      stop("bir", "--now"),
      stop("hung", "--now", "--timeout", "60"),
      stop(String(one.pid)),
    ]);
    const said = [first!, second!].map(({ stdout }) => stdout).sort();
    assert.match(said[0]!, /^Stopping run flowers \(process \d+\), with a checkpoint if training/);
    assert.match(said[1]!, /is stopping already: waiting for its end/);
    for (const { code, stderr } of [first!, second!, ...others]) assert.equal(code, 0, stderr);
    assert.deepEqual((await Promise.all([one.result, two.result])).map(({ code }) => code), [0, 0]);
    assert.equal((await stuck.result).code, 143, "a second request ends it at once");
    assert.match(others[1]!.stdout, /Ending run hung \(process \d+\) at once/);
    assert.equal((await hung.result).code, 143);
    assert.deepEqual(await runsOf(folder, env), []);
  }));

Deno.test("ps lists host agents, and what can't register by its command line; stop ends agents in order", () =>
  withTemporaryFolder(async (folder) => {
    const token = join(folder, "token");
    await Deno.writeTextFile(token, "0123456789abcdef".repeat(4), { mode: 0o600 });
    const runtime = join(folder, "runtime");
    const start = (LOCKSTEP_RUNTIME: string) =>
      startCommand(
        ["worker", "--join", "nats://127.0.0.1:1#plain", "--token-file", token], // nobody listens
        folder,
        { LOCKSTEP_RUNTIME },
      );
    await using agent = start(runtime);
    await using hidden = start(join(token, "none"));
    await hidden.seen(/deno task ps can't list this run, as the register can't be written: /);
    await agent.seen(/Joining the run/);
    const env = { LOCKSTEP_RUNTIME: runtime };
    await eventually(async () => {
      const { stdout } = await runCommand(["ps", "--json"], folder, env);
      const { runs, unregistered } = JSON.parse(stdout);
      assert.deepEqual(
        runs.map(({ kind, pid, server }: Record<string, unknown>) => [kind, pid, server]),
        [["worker", agent.pid, "nats://127.0.0.1:1"]],
      );
      if (Deno.build.os !== "linux") return;
      const own = unregistered.find(({ pid }: { pid: number }) => pid === hidden.pid);
      assert.match(own?.command ?? "", /^worker --join nats:/);
      assert.equal(own?.isOwn, true);
    });
    const { code, stdout, stderr } = await runCommand(["stop", "agent"], folder, env);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Stopping host agent agent-of-127\.0\.0\.1:1 \(process \d+\), with the /);
    assert.equal((await agent.result).code, 143);
  }));

Deno.test("stop sends no signal to another process than the one that registered", () =>
  withTemporaryFolder(async (folder) => {
    const register = join(folder, "runs");
    await Deno.mkdir(register, { mode: 0o700 });
    await using other = await startLive(join(folder, "elsewhere"), "other");
    const path = join(register, `${other.pid}-train-x.live`);
    const entry = {
      ...{ version: 1, kind: "train", name: "ghost", pid: other.pid, parent: 1, host: "h" },
      ...{
        since: "2026-01-01T00:00:00.000Z",
        start: "00000000/1",
        stopsInOrder: true,
        command: [],
      },
    };
    await Deno.writeTextFile(path, JSON.stringify(entry));
    const env = { LOCKSTEP_RUNTIME: folder };
    assert.deepEqual(await runsOf(folder, env), [], "no lock: its process is gone");
    using file = await Deno.open(path, { read: true, write: true });
    await file.lock(true); // as of a process in a container that shares the folder
    const { code, stderr } = await runCommand(["stop", "ghost", "--now"], folder, env);
    assert.equal(code, 1);
    assert.match(stderr, /is not the one that registered run ghost .*: no signal was sent/);
    other.kill("SIGTERM");
    assert.equal((await other.result).code, 0);
  }));

Deno.test("two runs of one name that start at the same moment in one folder: ps shows both, stop saves both", () =>
  withTemporaryFolder(async (folder) => {
    const env = { LOCKSTEP_RUNTIME: folder };
    const root = join(folder, "images");
    await makeImages(root);
    const path = join(folder, "config.yaml");
    const config = tinyConfig(root, { name: "twin", dashboard: true, train: { epochs: 300 } });
    await Deno.writeTextFile(path, stringify(config));
    const start = () => startCommand(["train", "--config", path], folder, env);
    await using a = start();
    await using b = start();
    await Promise.all([a, b].map((run) => run.seen(/epoch +1\/300/)));
    let runs: Awaited<ReturnType<typeof runsOf>> = [];
    await eventually(async () => {
      runs = await runsOf(folder, env);
      assert.ok(runs.every(({ epoch }: { epoch: number }) => epoch > 0));
    });
    const each = <T>(key: string): T[] => runs.map((run: Record<string, T>) => run[key]);
    assert.deepEqual(each<number>("pid").sort(), [a.pid, b.pid].sort());
    assert.deepEqual(each("name"), ["twin", "twin"]);
    assert.deepEqual(each("epochs"), [300, 300]);
    assert.equal(new Set(each("folder")).size, 2, "folders of their own");
    assert.equal(new Set(each("dashboard")).size, 2, "ports of their own");
    for (const [worker] of each<{ pid: number; device: string }[]>("workers")) {
      assert.equal(worker!.device, "CPU");
      assert.ok(worker!.pid > 0);
    }
    const text = await runCommand(["ps"], folder, env);
    for (const { id, stop } of runs) {
      assert.match(text.stdout, new RegExp(`^${id}: run "twin", running for`, "m"));
      assert.ok(text.stdout.includes(stop));
    }
    const stopped = await Promise.all(
      runs.map(({ folder: own }: { folder: string }) => runCommand(["stop", own], folder, env)),
    );
    for (const [at, { code, stdout, stderr }] of stopped.entries()) {
      assert.equal(code, 0, stderr);
      const { epoch, step } = await lastState(runs[at].folder);
      assert.match(stdout, new RegExp(`checkpoints/last of epoch ${epoch}, step ${step}$`, "m"));
      assert.match(stdout, /^Go on with: deno task train --resume \S+$/m);
    }
    assert.deepEqual((await Promise.all([a.result, b.result])).map(({ code }) => code), [143, 143]);
    assert.deepEqual(await runsOf(folder, env), []);
  }));

function liveRun(changes: Partial<LiveRun> = {}): LiveRun {
  return {
    ...{ kind: "train", name: "flowers", pid: 10, parent: 1, host: "a", user: "ann" },
    ...{ since: "2026-01-01T00:00:00.000Z", stopsInOrder: true, command: [], isBare: false },
    ...{ file: "/nowhere/10.live", isHere: true },
    ...changes,
  };
}

Deno.test("namedLiveRun() takes a pid, a folder, a name before the beginning of one", async () => {
  const runs = [
    liveRun({ folder: "/runs/20260101-flowers" }),
    liveRun({ pid: 11, name: "flowers-large", folder: "/runs/20260102-101112-x" }),
    liveRun({ pid: 12, name: "", isBare: true }),
  ];
  const pidOf = async (word: string) => (await namedLiveRun(word, runs)).pid;
  assert.equal(await pidOf("flowers"), 10);
  assert.equal(await pidOf("flowers-"), 11);
  assert.equal(await pidOf("/runs/20260101-flowers/"), 10);
  assert.equal(await pidOf("20260102"), 11);
  assert.equal(await pidOf("12"), 12);
  assert.equal(await pidOf("x"), 11, "the folder's name without its time");
  await assert.rejects(pidOf("flow"), /2 runs are meant by "flow"/);
  await assert.rejects(pidOf("1"), /No run on this host is called "1"/);
  await assert.rejects(pidOf(""), /Name a run/);
  await assert.rejects(pidOf("./flowers"), /No run on this host/);
});

Deno.test("listRuns() names runs by the shortest word that only one has, and says why one can't be stopped from here", async () => {
  const runs = [
    liveRun(),
    liveRun({ pid: 11, kind: "compare", name: "c", folder: "/runs/compare-c" }),
    liveRun({ pid: 12, name: "m", folder: "/runs/compare-c/m", parent: 11 }),
    liveRun({ pid: 13, name: "m", isHere: false }),
    liveRun({ pid: 14, name: "program", stopsInOrder: false }),
    liveRun({ pid: 15, kind: "worker", name: "run of a", server: "nats://10.0.0.1:4222" }),
  ];
  const listed = await listRuns(runs);
  assert.deepEqual(listed.map(({ id }) => id), ["flowers", "c", "12", "13", "program", "run of a"]);
  assert.equal(listed[2]!.partOf, "c");
  assert.equal(listed[5]!.stop, "deno task stop 'run of a'");
  assert.match(listed[3]!.note!, /another container or namespace \(host name a\): stop it there/);
  assert.match(listed[4]!.note!, /a program of its own, .*stop 14 --now, without a checkpoint/);
  for (const width of [24, 40, 80]) {
    const lines = listed.flatMap((run) => liveRunLines(run, width, Date.parse(run.since!) + 5000));
    const wide = lines.filter((line) => line.length > width && line.trim().includes(" "));
    assert.deepEqual(wide, [], "only a word that is too long for a line may be longer");
  }
  const [title] = liveRunLines(listed[0]!, 80, Date.parse("2026-01-01T00:02:05.000Z"));
  assert.equal(title, "flowers: run, starting for 2 min 05 s");
});

Deno.test("parseScan() finds programs that look like runs, and nothing else", () => {
  const line = (...args: string[]) => ["7", "1000", args.join("\x01")].join(" ");
  const found = parseScan([
    line("/usr/bin/deno", "run", "-q", "src/cli.ts", "train", "--name", "two words", ""),
    line("deno", "run", "https://host/lockstep/src/cli.ts", "worker", "--join", "nats://a"),
    line("deno", "run", "src/cli.ts", "ps"),
    line("deno", "run", "src/cli.ts", "train", "--help"),
    line("vim", "src/cli.ts", "train"),
    line("deno", "run", "other/cli.ts", "train"),
    "7 1000",
    "",
  ].join("\n"));
  assert.deepEqual(found.map(({ args }) => args), [
    ["train", "--name", "two words"],
    ["worker", "--join", "nats://a"],
  ]);
});
