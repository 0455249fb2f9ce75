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
import { LOCKSTEP_VERSION } from "./base/versions.ts";

/**
 * Never called: so Deno fetches and locks the programs that commands start together with this one, wherever it came from.
 */
const _PROGRAMS = [
  () => import("../workers/check_painter.ts"),
  () => import("../workers/compare_run.ts"),
  () => import("../workers/image_checker.ts"),
  () => import("../workers/train_worker.ts"),
  () => import("./protocol/heartbeat_thread.ts"),
];

/** Runs a command with its arguments; resolves to the exit code. */
type Command = (args: string[]) => Promise<number>;

const COMMANDS: Record<string, { summary: string; load: () => Promise<Command> }> = {
  train: {
    summary: "Train, fine-tune or feature-extract an image classifier",
    load: async () => (await import("./commands/train.ts")).runTrain,
  },
  compare: {
    summary: "Train variants of a recipe, such as pretrained and from scratch, and compare them",
    load: async () => (await import("./commands/compare.ts")).runCompare,
  },
  "show-batch": {
    summary: "Show as a picture what the augmentation makes of the data",
    load: async () => (await import("./commands/show_batch.ts")).runShowBatch,
  },
  report: {
    summary: "Write the report of runs anew, from their files",
    load: async () => (await import("./commands/report.ts")).runReport,
  },
  setup: {
    summary: "Fetch what training needs: libtensorflow, nats-server, photos, weights",
    load: async () => (await import("./commands/setup.ts")).runSetup,
  },
  data: {
    summary: "Show the data sets that are known by name, fetch some of them, or check one",
    load: async () => (await import("./commands/data.ts")).runData,
  },
  dashboard: {
    summary: "Show runs in the browser, live where they go on, and compare them",
    load: async () => (await import("./commands/dashboard.ts")).runDashboard,
  },
  doctor: {
    summary: "Check this machine, with a cure for each thing that is wrong",
    load: async () => (await import("./commands/doctor.ts")).runDoctor,
  },
  evaluate: {
    summary: "Measure a trained model: accuracy, per class, calibration, mistakes",
    load: async () => (await import("./commands/evaluate.ts")).runEvaluate,
  },
  predict: {
    summary: "Classify images: files, folders, patterns or addresses",
    load: async () => (await import("./commands/predict.ts")).runPredict,
  },
  models: {
    summary: "List the architectures: size, cost and pretrained weights",
    load: async () => (await import("./commands/models.ts")).runModels,
  },
  export: {
    summary: "Export a run's model: safetensors, torchvision, tfjs with a demo page",
    load: async () => (await import("./commands/export.ts")).runExport,
  },
  bench: {
    summary: "Measure the training step, the exchange, and how they scale",
    load: async () => (await import("./commands/bench.ts")).runBench,
  },
};

function usage(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const rows = Object.entries(COMMANDS).map(([name, { summary }]) =>
    `  ${name.padEnd(width)}  ${summary}`
  );
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
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    const nearest = nearestName(name, Object.keys(COMMANDS));
    await fail(`Unknown command ${name}${nearest ? `: did you mean ${nearest}?` : ""}`, usage());
    return EXIT_USAGE;
  }
  try {
    return await (await command.load())(rest);
  } catch (thrown) {
    const error = asInterruption(asLockstepError(thrown));
    const known = error instanceof LockstepError;
    const detailed = !known || rest.includes("--verbose") || rest.includes("-v");
    await fail(messageOf(error), detailed ? Deno.inspect(error) : undefined);
    return known ? error.exitCode : EXIT_FAILED;
  }
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

/** What fails after a signal asked the command to stop, such as a process that it reached as well, is no failure. */
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
