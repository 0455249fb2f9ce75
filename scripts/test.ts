/**
 * `deno task test`: fetches what the tests need, then runs them.
 *
 * The tests work on the real thing: TensorFlow's library, a real nats-server, real photos, real weights.
 * Arguments go on to `deno test`; paths among them replace the default, which is all of `tests/` and
 * the examples in doc comments; what follows `--` goes to the tests. Everything runs in groups, one more at a time than
 * there are cores: many tests wait for other processes more than they compute.
 *
 * ```sh
 * deno task test tests/engine --filter "openEngine()"
 * ```
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { stripVTControlCharacters } from "node:util";
import { messageOf } from "../src/base/errors.ts";
import { exists } from "../src/base/paths.ts";
import { RUNTIME_VARIABLE } from "../src/base/runtime_folder.ts";
import { TRUSTED_VARIABLE } from "../src/base/trust.ts";
import { ensureDataset } from "../src/provision/datasets.ts";
import { ensureLibtensorflow } from "../src/provision/libtensorflow.ts";
import { ensureNatsServer } from "../src/provision/nats_server.ts";
import { ensurePretrainedWeights } from "../src/models/pretrained_weights.ts";
import { exitCode, startChild, succeeds } from "./children.ts";
import { makeMark, MARK_VARIABLE, watchRunner } from "./end_with_runner.ts";
import { PROJECT_ROOT, sourceFiles } from "./files.ts";

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

/** The most groups at a time, unless `LOCKSTEP_TEST_JOBS` gives another number: each needs up to 3 GiB. */
const MAX_JOBS = 4;

/** Files that take the longest, slowest first: each is a group of its own, so that none is left for the end. */
const SLOW: readonly string[] = [
  "recipes_test.ts",
  "scripts/soak_test.ts",
  "commands/compare_test.ts",
  "fuzz/fuzz_test.ts",
  "coordinator/exactness_test.ts",
  "cases/cases_test.ts",
  "models/parity_test.ts",
  "coordinator/feature_cache_test.ts",
  "coordinator/standstill_test.ts",
  "coordinator/user_modules_test.ts",
  "coordinator/interruption_test.ts",
  "coordinator/gradient_dtype_test.ts",
  "coordinator/resume_test.ts",
  "coordinator/batch_norm_run_test.ts",
  "library/other_project_test.ts",
  "coordinator/launcher_signals_test.ts",
  "evaluation/evaluate_run_test.ts",
  "dashboard/pages_test.ts",
].map((path) => `tests/${path}`);

/**
 * Modules whose documented examples run as tests. Examples of the library's functions and classes need images and runs:
 * `tests/docs/examples_test.ts` runs those.
 */
export const WITH_EXAMPLES: readonly string[] = [
  "src/base/random.ts",
  "src/data/loading/loader.ts",
  "src/data/transforms/transforms.ts",
  "src/web/html.ts",
];

/** Files of a group, beside those of {@linkcode SLOW}: few enough for an even end, many enough to start seldom. */
const GROUP_SIZE = 20;

/**
 * Groups all tests for processes of `deno test`: the slow ones first, then the others in the order of their paths, and
 * the modules whose documented examples run as tests.
 *
 * @param files All files of the project, relative to its root
 * @throws {Error} when a file of {@linkcode SLOW} is gone
 */
export function groupTests(files: readonly string[]): string[][] {
  const tests = files.filter((file) => /^tests\/.*_test\.ts$/.test(file));
  const missing = SLOW.filter((file) => !tests.includes(file));
  if (missing.length > 0) throw new Error(`There is no ${missing.join(", ")}: mend SLOW`);
  const others = tests.filter((file) => !SLOW.includes(file)).sort();
  const groups = Array.from(
    { length: Math.ceil(others.length / GROUP_SIZE) },
    (_, index) => others.slice(GROUP_SIZE * index, GROUP_SIZE * (index + 1)),
  );
  return [...SLOW.map((file) => [file]), ["--doc", ...WITH_EXAMPLES], ...groups];
}

/** Fetches what is missing; says so once for each thing. */
async function setUp(): Promise<void> {
  const named = new Set<string>();
  const progress: Parameters<typeof ensureLibtensorflow>[0] = ({ what, bytes }) => {
    if (bytes === undefined || named.has(what)) return;
    named.add(what);
    console.error(`Set-up: ${what}`);
  };
  await ensureLibtensorflow(progress);
  await ensureNatsServer(progress);
  await ensureDataset("food-groups", progress);
  await ensurePretrainedWeights("efficientnet_lite0", progress);
}

/** Starts `deno test`; signals to this process go on to it. */
function startTests(args: readonly string[], output: "inherit" | "piped"): Deno.ChildProcess {
  // What tests run must not count as what this user trusts, nor hold this user's GPUs.
  const mark = makeMark();
  const trusted = Deno.makeTempDirSync({ prefix: "lockstep-test-trusted-" });
  const runtime = Deno.makeTempDirSync({ prefix: "lockstep-test-runtime-" });
  const child = startChild(Deno.execPath(), {
    args: ["test", ...PERMISSIONS, ...args],
    env: { [TRUSTED_VARIABLE]: trusted, [RUNTIME_VARIABLE]: runtime, [MARK_VARIABLE]: mark },
    cwd: PROJECT_ROOT,
    stdin: "null",
    stdout: output,
    stderr: output,
  });
  watchRunner([Deno.pid, child.pid], mark);
  child.status.finally(() => {
    Deno.removeSync(trusted, { recursive: true });
    try {
      Deno.removeSync(runtime, { recursive: true });
    } catch {
      // A process that a test has left behind has made its file there again at the same moment.
    }
  });
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

/** A test that has passed, not one of its steps. */
const PASSED_TEST = /^\S.* \.\.\. ok \(/gm;
/** The name of a file whose tests begin. */
const BEGUN_FILE = /(?<=^running \d+ tests? from )\S+/gm;

/** The runner's own counts, from its last line: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (1s)`. */
function countsIn(output: string): Map<string, number> {
  const line = output.match(/^(?:ok|FAILED) \| \d+ passed.*$/gm)?.at(-1) ?? "";
  return new Map([...line.matchAll(/\| (\d+) ([a-z ]+[a-z])/g)].map((
    [, count, what],
  ) => [what, Number(count)]));
}

/** Failed tests, from the runner's list at its end. */
function failuresIn(output: string): string[] {
  const at = output.lastIndexOf("\n FAILURES \n");
  return at < 0 ? [] : output.slice(at).match(/^.+ => \.\/.+$/gm) ?? [];
}

/** The end of a process that has run a group of tests. */
interface GroupEnd {
  readonly paths: readonly string[];
  readonly code: number;
  /** Its output, without colours. */
  readonly output: string;
}

/** Results of groups of tests, put together. */
export interface TestSums {
  /** The runner's counts, such as `passed` and `failed`. */
  readonly counts: ReadonlyMap<string, number>;
  /** The failed tests, and the groups that ended before their end, which count as a failure each. */
  readonly failures: readonly string[];
}

/** Puts results together. A group that didn't come to its end, or fails without a failed test, is a failure itself. */
export function sumUp(ends: readonly GroupEnd[]): TestSums {
  const counts = new Map([["passed", 0], ["failed", 0]]);
  const add = (what: string, count: number) => counts.set(what, (counts.get(what) ?? 0) + count);
  const failures: string[] = [];
  for (const { paths, code, output } of ends) {
    const own = countsIn(output);
    own.forEach((count, what) => add(what, count));
    const failed = failuresIn(output);
    failures.push(...failed);
    if (own.size > 0 && (code === 0 || failed.length > 0)) continue;
    if (own.size === 0) add("passed", output.match(PASSED_TEST)?.length ?? 0);
    add("failed", 1);
    const where = own.size > 0 ? "" : `, in ${output.match(BEGUN_FILE)?.at(-1) ?? "no file yet"}`;
    failures.push(
      `A group of tests ended with code ${code}${where}: ${paths.join(" ")}`,
    );
  }
  return { counts, failures };
}

/** Runs a group, whose output is shown from `turn` on. */
function runGroup(paths: readonly string[], args: readonly string[], turn: Promise<unknown>) {
  const child = startTests(["--no-check", ...args, ...paths], "piped");
  const shown = Promise.all([show(child, turn), child.status])
    .then(([output, { code }]): GroupEnd => ({ paths, code, output }));
  return { ended: child.status, shown };
}

/** Runs everything, a few groups at a time; shows one's output after the other's, and adds up their counts. */
async function runEverything(args: readonly string[]): Promise<number> {
  const start = performance.now();
  const groups = groupTests(await sourceFiles(PROJECT_ROOT));
  const ends: Promise<GroupEnd>[] = [];
  let isChecked = true;
  const takeGroups = async () => {
    for (let paths = groups.shift(); paths; paths = groups.shift()) {
      const end = runGroup(paths, args, ends.at(-1) ?? Promise.resolve());
      ends.push(end.shown);
      await end.ended;
    }
  };
  // One job begins with the types of all groups, which share most of their modules; no group begins after an error.
  const checkFirst = async () => {
    isChecked = await succeeds(Deno.execPath(), {
      args: ["check", "--quiet", "--doc", "."],
      cwd: PROJECT_ROOT,
    });
    if (isChecked) return await takeGroups();
    groups.length = 0;
  };
  const usual = Math.min(MAX_JOBS, navigator.hardwareConcurrency + 1);
  const jobs = Number(Deno.env.get("LOCKSTEP_TEST_JOBS")) || usual;
  await Promise.all([checkFirst(), ...Array.from({ length: jobs - 1 }, takeGroups)]);
  const { counts, failures } = sumUp(await Promise.all(ends));
  const isGood = isChecked && failures.length === 0;
  const sums = [...counts].map(([what, count]) => `${count} ${what}`).join(" | ");
  const seconds = Math.round((performance.now() - start) / 1000);
  const list = failures.map((line) => `${line}\n`).join("");
  console.log(`All together:\n${list}${isGood ? "ok" : "FAILED"} | ${sums} (${seconds}s)`);
  return isGood ? 0 : 1;
}

/** Runs what the arguments choose and returns the exit code. */
async function runTests(args: readonly string[]): Promise<number> {
  const chosen = await Promise.all(args.map((arg) => !arg.startsWith("-") && exists(arg)));
  if (!chosen.includes(true)) return await runEverything(args);
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
