import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withCommandTasks } from "../scripts/make_tasks.ts";
import { COMMANDS } from "../src/commands/commands.ts";
import { wonAtLeastOnce } from "./support/at_once.ts";
import { runDeno } from "./support/run_deno.ts";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FIXTURE = join(ROOT, "tests/fixtures/cli_help.txt");

/**
 * Runs the command line in a process of its own that may do nothing but read: no FFI, and no library to
 * find, so that whatever answers did so without the engine.
 */
async function run(...args: string[]) {
  const start = performance.now();
  const result = await runDeno([
    "run",
    "--no-prompt",
    "--allow-read",
    "--ignore-env",
    "src/cli.ts",
    ...args,
  ], { cwd: ROOT, env: { LOCKSTEP_LIBTENSORFLOW: "/nowhere" } });
  return { ...result, ms: performance.now() - start };
}

/** Names of the commands, as the help without a command lists them. */
async function commandNames(): Promise<string[]> {
  const { stdout } = await run("--help");
  return [...stdout.matchAll(/^ {2}([a-z][\w-]*) {2,}\S/gm)].map(([, name]) => name);
}

Deno.test("main() answers --help of every command as tests/fixtures/cli_help.txt has it", async () => {
  const names = await commandNames();
  assert.ok(names.includes("train"), `the help lists ${names}`);
  let help = (await run("--help")).stdout;
  const queue = [...names.map((name) => [name]), ["data", "check"]];
  for (const command of queue) {
    const { code, stdout, stderr } = await run(...command, "--help");
    assert.equal(code, 0, stderr);
    help += `\n$ ${command.join(" ")} --help\n${stdout}`;
    // A command whose first argument chooses a part of it: each part has flags of its own.
    const parts = /^Usage: deno task \w+ (\w+(?: \| \w+)+) \[flags\]$/m.exec(stdout)?.[1];
    queue.push(...(parts?.split(" | ") ?? []).map((part) => [...command, part]));
  }
  // To accept a change: deno task test tests/cli_test.ts -- --update
  if (Deno.args.includes("--update")) await Deno.writeTextFile(FIXTURE, help);
  assert.equal(help, await Deno.readTextFile(FIXTURE));
});

Deno.test("deno.json has the tasks of the commands: deno task make:tasks writes them", async () => {
  const text = await Deno.readTextFile(join(ROOT, "deno.json"));
  assert.equal(text, await withCommandTasks(text));
});

Deno.test("COMMANDS has each command under its own name, and all tasks of the command line", async () => {
  for (const [name, load] of Object.entries(COMMANDS)) {
    const { COMMAND } = await load();
    assert.equal(COMMAND.name, name);
    for (const [part, loadPart] of Object.entries(COMMAND.parts ?? {})) {
      assert.equal((await loadPart()).COMMAND.name, `${name} ${part}`);
    }
  }
});

Deno.test("main() answers --help at once", async () => {
  await run("train", "--help"); // compiles what is new
  await wonAtLeastOnce(async () => (await run("train", "--help")).ms < 1500);
});

Deno.test("main() refuses an unknown command with exit code 2 and the nearest one", async () => {
  const { code, stdout, stderr } = await run("trian");
  assert.equal(code, 2);
  assert.match(stderr, /^error: Unknown command trian: did you mean train\?$/m);
  assert.equal(stdout, "");
});

Deno.test("main() prints the version, with a command too", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  for (const args of [["--version"], ["train", "--version"], ["evaluate", "-v", "--version"]]) {
    const { code, stdout } = await run(...args);
    assert.deepEqual([code, stdout], [0, `Lockstep ${version}\n`], args.join(" "));
  }
});

Deno.test("main() without a command shows the commands and exits with 2", async () => {
  const { code, stdout, stderr } = await run();
  assert.equal(code, 2);
  assert.match(stdout + stderr, /Usage: deno task <command>/);
});

Deno.test("main() refuses an unknown flag of every command with exit code 2 and the nearest one", async () => {
  for (const name of await commandNames()) {
    const { code, stderr } = await run(name, "--helpp");
    assert.equal(code, 2, `${name}: ${stderr}`);
    assert.match(
      stderr,
      new RegExp(`^error: Unknown flag --helpp of ${name}: did you mean --help\\?`),
    );
    assert.doesNotMatch(stderr, /\n\s+at /, "a usage error shows no stack trace");
  }
});

const WRONG_USE: [string[], RegExp][] = [
  [["--workers", "0"], /^error: --workers is 0: give a whole number of at least 1$/m],
  [["--workers", "two"], /^error: --workers is two: give a whole number/m],
  [["--workers"], /^error: --workers needs a value$/m],
  [["--seed", "1", "--seed", "2"], /^error: --seed is given 2 times: once is enough$/m],
  [["--set", "train.rl=1"], /train\.rl.*train\.lr/],
  [["--config", "no/such.yaml"], /no\/such\.yaml/],
  [["photos"], /photos/],
  [["--lr", "0,1"], /^error: --lr is 0,1: give a number, such as 0\.01 or 1e-3$/m],
  [["--epochs", "0"], /^error: --epochs is 0: give a whole number of at least 1$/m],
  [
    ["--model", "resnet81"],
    /^error: --model: model\.name is "resnet81".*did you mean resnet18\?$/m,
  ],
  [["--accept-data"], /^error: --accept-data is for a run that is resumed/m],
  [["--override", "seed=1"], /^error: --override changes a run that is resumed/m],
];
for (const [args, expected] of WRONG_USE) {
  Deno.test(`main() refuses train ${args.join(" ")} with exit code 2`, async () => {
    const { code, stderr } = await run("train", ...args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, expected);
    assert.match(stderr, /^error: [A-Z-]/);
  });
}
