/**
 * `deno task test`: fetches what the tests need, then runs them.
 *
 * The tests work on the real thing: TensorFlow's library, a real nats-server, real photos, real weights.
 * Arguments go on to `deno test`; paths among them replace the default, which is all of `tests/` and
 * the examples in doc comments; what follows `--` goes to the tests. Everything runs in two processes side by side:
 * many tests wait for other processes more than they compute.
 *
 * ```sh
 * deno task test tests/engine --filter "openEngine()"
 * ```
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { stripVTControlCharacters } from "node:util";
import { join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { exists } from "../src/base/paths.ts";
import { TRUSTED_VARIABLE } from "../src/base/trust.ts";
import { ensureDataset } from "../src/provision/datasets.ts";
import { ensureLibtensorflow } from "../src/provision/libtensorflow.ts";
import { ensureNatsServer } from "../src/provision/nats_server.ts";
import { ensurePretrainedWeights } from "../src/models/pretrained_weights.ts";
import { exitCode, startChild } from "./children.ts";
import { makeMark, MARK_VARIABLE, watchRunner } from "./end_with_runner.ts";
import { PROJECT_ROOT } from "./files.ts";

/** Permissions of the tests; docs/permissions.md says why. The tests reach no machine but this one. */
export const PERMISSIONS: readonly string[] = [
  "--allow-read",
  "--allow-write",
  "--allow-net=127.0.0.1,localhost,[::1],0.0.0.0",
  "--allow-run",
  "--allow-ffi",
  "--allow-sys",
  "--allow-env",
];

/** About half of the time that everything takes; a process of its own runs these folders of `tests/`. */
const BESIDE = [
  "cluster",
  "compare",
  "coordinator",
  "dashboard",
  "evaluation",
  "exchange",
  "plots",
  "preview",
  "report",
  "terminal",
];

/** The tests, and the modules whose documented examples run as tests, in two halves. */
async function everything(): Promise<string[][]> {
  const names = (await Array.fromAsync(Deno.readDir(join(PROJECT_ROOT, "tests"))))
    .map(({ name }) => name).sort();
  const pathsOf = (some: string[]) => some.map((name) => `tests/${name}`);
  const missing = BESIDE.filter((name) => !names.includes(name));
  if (missing.length > 0) throw new Error(`tests/ has no ${missing.join(", ")}: mend BESIDE`);
  const others = names.filter((name) => !BESIDE.includes(name));
  return [["--doc", "mod.ts", "src", ...pathsOf(others)], pathsOf(BESIDE)];
}

/** Fetches what is missing; says so once for each thing. */
async function setUp(): Promise<void> {
  const told = new Set<string>();
  const progress: Parameters<typeof ensureLibtensorflow>[0] = ({ what, bytes }) => {
    if (bytes === undefined || told.has(what)) return;
    told.add(what);
    console.error(`Set-up: ${what}`);
  };
  await ensureLibtensorflow(progress);
  await ensureNatsServer(progress);
  await ensureDataset("food-groups", progress);
  await ensurePretrainedWeights("efficientnet_lite0", progress);
}

/** Starts `deno test`; signals to this process go on to it. */
function startTests(args: readonly string[], output: "inherit" | "piped"): Deno.ChildProcess {
  // What tests run must not count as what this user trusts.
  const mark = makeMark();
  const trusted = Deno.makeTempDirSync({ prefix: "lockstep-test-trusted-" });
  const child = startChild(Deno.execPath(), {
    args: ["test", ...PERMISSIONS, ...args],
    env: { [TRUSTED_VARIABLE]: trusted, [MARK_VARIABLE]: mark },
    cwd: PROJECT_ROOT,
    stdin: "null",
    stdout: output,
    stderr: output,
  });
  watchRunner([Deno.pid, child.pid], mark);
  child.status.finally(() => Deno.removeSync(trusted, { recursive: true }));
  return child;
}

/** Shows what a process prints, from `turn` on, and returns it as text without colours. */
async function show(child: Deno.ChildProcess, turn: Promise<unknown>): Promise<string> {
  const kept: Uint8Array[] = [];
  let shown: number | undefined;
  const showKept = () => {
    while (shown !== undefined && shown < kept.length) write(kept[shown++]);
  };
  const begun = turn.then(() => {
    shown = 0;
    showKept();
  });
  await Promise.all([child.stdout, child.stderr].map(async (stream) => {
    for await (const bytes of stream) {
      kept.push(bytes);
      showKept();
    }
  }));
  await begun;
  return stripVTControlCharacters(Buffer.concat(kept).toString());
}

function write(bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(Deno.stdout.writeSync(rest));
}

/** The runner's own counts, from its last line: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (1s)`. */
function countsIn(output: string): Map<string, number> {
  const line = output.match(/^(?:ok|FAILED) \| \d+ passed.*$/gm)?.at(-1) ?? "";
  return new Map([...line.matchAll(/\| (\d+) ([a-z ]+[a-z])/g)].map((
    [, count, what],
  ) => [what, Number(count)]));
}

/** Runs everything in two processes, shows one's output after the other's, and adds up their counts. */
async function runSideBySide(args: readonly string[]): Promise<number> {
  const start = performance.now();
  const halves = await everything();
  const children = halves.map((paths) => startTests([...args, ...paths], "piped"));
  const first = show(children[0], Promise.resolve());
  const outputs = [await first, await show(children[1], first)];
  const codes = await Promise.all(children.map(async (child) => (await child.status).code));
  const code = codes.find((code) => code !== 0) ?? 0;
  const sums = new Map([["passed", 0], ["failed", 0]]);
  for (const [what, count] of outputs.flatMap((output) => [...countsIn(output)])) {
    sums.set(what, (sums.get(what) ?? 0) + count);
  }
  const counts = [...sums].map(([what, count]) => `${count} ${what}`).join(" | ");
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(`Both together:\n${code === 0 ? "ok" : "FAILED"} | ${counts} (${seconds}s)`);
  return code;
}

/** Runs what the arguments choose and returns the exit code. */
async function runTests(args: readonly string[]): Promise<number> {
  const chosen = await Promise.all(args.map((arg) => !arg.startsWith("-") && exists(arg)));
  if (!chosen.includes(true)) return await runSideBySide(args);
  return (await startTests(args, "inherit").status).code;
}

if (import.meta.main) {
  try {
    await setUp();
  } catch (error) {
    console.error(`error: The tests can't be set up: ${messageOf(error)}`);
    Deno.exit(1);
  }
  Deno.exit(exitCode(await runTests(Deno.args)));
}
