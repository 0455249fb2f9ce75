import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../src/base/paths.ts";
import { delay } from "../../src/base/async.ts";
import { commandLineOf, isRunning } from "../support/processes.ts";
import { eventually } from "../support/eventually.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const SIGNALS = new URL("../../src/base/signals.ts", import.meta.url).href;

/** A program that takes the first request to stop, with a temporary folder; `work` runs after it. */
const program = (work: string) => `
  import { listenForStop, removeAtStop, takeStopRequests } from "${SIGNALS}";
  listenForStop();
  const folder = Deno.args[0] + "/scratch";
  Deno.mkdirSync(folder);
  removeAtStop(folder);
  takeStopRequests((signal) => { console.log("first " + signal); ${work} });
  console.log("ready");
  setTimeout(() => { console.log("end"); Deno.exit(0); }, 8000);
`;

/** Runs a program, lets `act` do something to it once it is ready, and gives its end. */
async function play(
  { source, folder, launcher = [], rights = ["--allow-all"] }: {
    source: string;
    folder: string;
    launcher?: string[];
    rights?: string[];
  },
  act: (process: Deno.ChildProcess) => Promise<void>,
): Promise<{ code: number; signal: string | null; output: string; seconds: number }> {
  const path = join(folder, "program.ts");
  await Deno.writeTextFile(path, source);
  const [command, ...before] = [...launcher, Deno.execPath()];
  const process = new Deno.Command(command, {
    args: [...before, "run", "--quiet", "--no-check", ...rights, path, folder],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  let start = NaN;
  for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    if (!Number.isNaN(start) || !output.includes("ready")) continue;
    start = performance.now();
    void act(process);
  }
  const { code, signal } = await process.status;
  return { code, signal, output, seconds: (performance.now() - start) / 1000 };
}

Deno.test("signals within a second are one request; a later one ends the process and its temporary folder", () =>
  withTemporaryFolder(async (folder) => {
    const { code, output, seconds } = await play(
      { source: program(""), folder },
      async (process) => {
        for (const ms of [0, 1, 40, 400]) {
          await delay(ms);
          process.kill(ms === 40 ? "SIGTERM" : "SIGINT");
        }
        await delay(2000);
        process.kill("SIGTERM");
      },
    );
    assert.equal(output, "ready\nfirst SIGINT\n");
    assert.equal(code, 143);
    assert.ok(seconds > 2, `${seconds} s`);
    assert.equal(await exists(join(folder, "scratch")), false);
  }));

Deno.test("a second signal that came at once but is delivered late, to a busy process, is no new request", () =>
  withTemporaryFolder(async (folder) => {
    const busy = "const end = performance.now() + 2500; while (performance.now() < end);";
    const { code, output } = await play(
      { source: program(`${busy} setTimeout(() => Deno.exit(7), 500)`), folder },
      async (process) => {
        process.kill("SIGINT");
        await delay(300);
        process.kill("SIGINT");
      },
    );
    assert.equal(output, "ready\nfirst SIGINT\n");
    assert.equal(code, 7, "the orderly end");
  }));

Deno.test("a signal before anybody takes requests ends the process at once, with the signal's code", () =>
  withTemporaryFolder(async (folder) => {
    for (
      const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const
    ) {
      const source = `import { listenForStop } from "${SIGNALS}";
        listenForStop(); console.log("ready"); setTimeout(() => {}, 8000);`;
      const { code, signal: killedBy } = await play({ source, folder }, (process) => {
        process.kill(signal);
        return Promise.resolve();
      });
      assert.deepEqual([code, killedBy], [expected, null]);
    }
  }));

Deno.test("a SIGHUP that nohup ignores stays ignored, with and without the right to ask the C library", () =>
  withTemporaryFolder(async (folder) => {
    for (const rights of [["--allow-ffi", "--allow-write"], ["--allow-write"]]) {
      const { code, output } = await play(
        { source: program("Deno.exit(5)"), folder, launcher: ["nohup"], rights },
        async (process) => {
          process.kill("SIGHUP");
          await delay(300);
          process.kill("SIGTERM");
        },
      );
      assert.equal(output, "ready\nfirst SIGTERM\n");
      assert.equal(code, 5);
      await Deno.remove(join(folder, "scratch"));
    }
  }));

/** Tells whether a process that runs a module ignores or handles SIGHUP, SIGINT and SIGTERM. */
async function survivesStopSignals(pid: number, module: string): Promise<boolean> {
  if (Deno.build.os !== "linux") {
    await delay(200);
    return true;
  }
  // Until it is its own program, it has the handlers of this process, and loses them then.
  if (!(await commandLineOf(pid)).includes(module)) return false;
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`] }).output(); // Deno may not
  const status = new TextDecoder().decode(stdout);
  const mask = (name: string) =>
    BigInt(`0x${status.match(new RegExp(`^${name}:\\s*(\\w+)`, "m"))![1]}`);
  const survived = mask("SigIgn") | mask("SigCgt");
  return [1n, 2n, 15n].every((signal) => (survived >> (signal - 1n)) & 1n);
}

Deno.test("shieldedCommand() starts a process that requests to stop don't reach, from its first moment on", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "child.ts");
    await Deno.writeTextFile(
      path,
      `import { ignoreStopSignals } from "${SIGNALS}"; ignoreStopSignals(); await new Response(Deno.stdin.readable).text();`,
    );
    const { shieldedCommand } = await import("../../src/base/signals.ts");
    const child = shieldedCommand(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", path],
      stdin: "piped",
    }).spawn();
    await eventually(async () => assert.ok(await survivesStopSignals(child.pid, path))); // Deno hasn't begun
    for (let round = 0; round < 60; round++) {
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) child.kill(signal);
      await delay(10);
    }
    assert.ok(await isRunning(child.pid));
    await child.stdin.close();
    const { code, signal } = await child.status;
    assert.deepEqual([code, signal], [0, null]);
  }));
