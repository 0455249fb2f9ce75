/**
 * The command line: finds the command, runs it, and turns what it throws into one message and an exit code.
 *
 * Commands are imported when they run, so that `--help` answers without loading the engine.
 *
 * @module
 */
import {
  asLockstepError,
  EXIT_FAILED,
  EXIT_USAGE,
  InterruptedError,
  LockstepError,
  messageOf,
  nearestName,
  SystemError,
} from "./base/errors.ts";
import { exitCleanly, listenForStop, stopRequested } from "./base/signals.ts";
import { taskDescription } from "./base/task_description.ts";
import { LOCKSTEP_VERSION } from "./base/versions.ts";
import { COMMANDS } from "./commands/commands.ts";

/**
 * Never called: so Deno fetches and locks the programs that commands start together with this one, wherever it came from.
 */
const _PROGRAMS = [
  () => import("../workers/check_painter.ts"),
  () => import("../workers/compare_run.ts"),
  () => import("../workers/image_checker.ts"),
  () => import("../workers/train_worker.ts"),
  () => import("../workers/warm_up.ts"),
  () => import("./protocol/heartbeat_thread.ts"),
  () => import("./data/loading/loader_thread.ts"),
  () => import("./engine/kernel_thread.ts"),
];

function usage(): string {
  const names = Object.keys(COMMANDS);
  const width = Math.max(...names.map((name) => name.length));
  const rows = names.map((name) => `  ${name.padEnd(width)}  ${taskDescription(name)}`);
  return [
    `Lockstep ${LOCKSTEP_VERSION}: distributed data-parallel training of image classifiers`,
    "",
    "Usage: deno task <command> [flags]",
    "",
    ...rows,
    "",
    "deno task <command> --help shows the flags of a command; --version prints the version.",
  ].join("\n");
}

/** Runs the command line and returns the exit code. */
export async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    console.log(usage());
    return name === undefined ? EXIT_USAGE : 0;
  }
  if (asksForVersion(args)) {
    console.log(`Lockstep ${LOCKSTEP_VERSION}`);
    return 0;
  }
  if (!isCommand(name)) {
    const nearest = nearestName(name, Object.keys(COMMANDS));
    await fail(`Unknown command ${name}${nearest ? `: did you mean ${nearest}?` : ""}`, usage());
    return EXIT_USAGE;
  }
  try {
    const { runCommand } = await import("./commands/command.ts");
    const { COMMAND } = await COMMANDS[name]();
    return await runCommand(COMMAND, rest);
  } catch (thrown) {
    const error = asInterruption(asLockstepError(thrown));
    const known = error instanceof LockstepError;
    const detailed = !known || rest.includes("--verbose") || rest.includes("-v");
    await fail(messageOf(error), detailed ? Deno.inspect(error) : undefined);
    return known ? error.exitCode : EXIT_FAILED;
  }
}

function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name);
}

/** Tells whether `--version` stands among the arguments, before a `--`. */
function asksForVersion(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  return flags.includes("--version") || args[0] === "-V" || args[0] === "version";
}

/** Runs the command line as a process: with output that may fail, and its exit code. */
async function runProcess(args: string[]): Promise<number> {
  const { finishOutput, guardConsole, outputFailure } = await import(
    "./terminal/terminal_stream.ts"
  );
  guardConsole();
  const code = await main(args);
  await finishOutput();
  const failure = outputFailure();
  if (failure === undefined) return code;
  console.error(`error: Standard output can't be written: ${failure}`);
  await finishOutput();
  return code === 0 ? EXIT_FAILED : code;
}

/** Writes an error, made visible, to standard error. */
async function fail(message: string, details?: string): Promise<void> {
  const { printable } = await import("./terminal/terminal_stream.ts");
  console.error(`error: ${printable(message)}`);
  if (details !== undefined) console.error(printable(details));
}

/** Turns an error after a signal, such as the end of a process that the signal reached too, into an interruption. */
function asInterruption(error: unknown): unknown {
  const signal = stopRequested();
  const isOwn = error instanceof InterruptedError || error instanceof SystemError;
  if (!signal || isOwn || !(error instanceof LockstepError)) return error;
  return new InterruptedError(`Interrupted by ${signal}`, signal);
}

if (import.meta.main) {
  listenForStop();
  exitCleanly(await runProcess(Deno.args));
}
