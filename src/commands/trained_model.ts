/**
 * The head of the commands that use a trained model: the model that the flags choose, a reporter, and a signal that
 * stops the command.
 *
 * @module
 */
import { given } from "../base/given.ts";
import type { DeviceName } from "../engine/devices.ts";
import type { Reporter } from "../events/reporter.ts";
import { chosenRun } from "./chosen_run.ts";
import type { Flags } from "./flags.ts";
import { interruptible } from "./interruptible.ts";
import { deviceWishes } from "./key_flags.ts";

/** A trained model, as flags choose it. */
export interface ModelChoice {
  /** The run folder; missing where a checkpoint's path stands for itself. */
  readonly run?: string;
  readonly checkpoint?: string;
  readonly device?: DeviceName;
  readonly devices?: readonly string[];
  /** Modules of a run of others that may be imported. */
  readonly modules: readonly string[];
}

/** The reporter of a command, and the signal that stops it. */
export interface ModelSession {
  readonly reporter: Reporter;
  readonly verbose: boolean;
  readonly signal: AbortSignal;
}

/**
 * Lets an action use the model that the flags choose. The reporter is closed when it has ended.
 *
 * @param stream Stream of the reporter
 * @throws {UsageError} where no run has the checkpoint
 * @throws {InterruptedError} when a signal stops the action
 */
export async function withTrainedModel<Result>(
  flags: Flags,
  stream: "stdout" | "stderr",
  use: (model: ModelChoice, session: ModelSession) => Promise<Result>,
): Promise<Result> {
  const checkpoint = flags.text("checkpoint");
  const wishes = deviceWishes(flags);
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const { standardStream } = await import("../terminal/terminal_stream.ts");
  const verbose = flags.on("verbose");
  const reporter = terminalReporter({ verbose, stream: standardStream(stream) });
  using signals = interruptible(() => reporter.warn("Stopping; again to stop at once"));
  try {
    const run = await chosenRun(flags, (line) => reporter.info(line));
    const model: ModelChoice = {
      ...given("run", run),
      ...given("checkpoint", checkpoint),
      ...wishes,
      modules: flags.all("allow-module"),
    };
    return await use(model, { reporter, verbose, signal: signals.signal });
  } finally {
    reporter.close();
  }
}
