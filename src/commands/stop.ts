/**
 * `deno task stop`: ends a run of this host in order, and says how to go on with it.
 *
 * @module
 */
import { LockstepError, UsageError } from "../base/errors.ts";
import { task } from "../base/invocation.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

/** Seconds to wait for an orderly end, and for one at once. */
const ORDERLY_SECONDS = 600;
const NOW_SECONDS = 15;
const MAX_SECONDS = 86_400;

/** `deno task stop`. */
export const COMMAND: TaskCommand = {
  name: "stop",
  title: "Stop a run of this host, with a checkpoint",
  summary:
    "Stop a run, comparison, evaluation, benchmark or host agent of this host, as Ctrl-C does: a run writes a\n" +
    "checkpoint first. RUN is its name, folder or pid as ps shows them, or the beginning of its name.",
  positional: "RUN",
  permissions: "ps",
  flags: [
    {
      name: "now",
      help: "End it at once, as a second Ctrl-C does; without a checkpoint of this moment",
    },
    {
      name: "timeout",
      value: "S",
      help:
        `Seconds to wait for its end (default: ${ORDERLY_SECONDS}; with --now ${NOW_SECONDS}, then it is killed)`,
    },
    HELP_FLAG,
  ],
  examples: [
    "deno task stop default",
    "deno task stop runs/latest --timeout 60",
    "deno task stop 4711 --now",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const [word, ...more] = flags.positional;
  if (more.length > 0) {
    throw new UsageError(`Unexpected argument "${more[0]}" of stop: name one run at a time`);
  }
  if (word === undefined) throw new UsageError(`Name a run, as ${task("ps")} shows them`);
  const now = flags.on("now");
  const seconds = flags.integer("timeout", 1) ?? (now ? NOW_SECONDS : ORDERLY_SECONDS);
  if (seconds > MAX_SECONDS) {
    throw new UsageError(`--timeout is ${seconds}: give 1 to ${MAX_SECONDS} seconds`);
  }
  const { registeredRuns, whyNotStoppable } = await import("./live_listing.ts");
  const { namedLiveRun } = await import("./named_live_run.ts");
  const { endAtOnce, endInOrder, resultLines } = await import("./end_live_run.ts");
  const { say } = await import("../terminal/terminal_stream.ts");
  const chosen = await namedLiveRun(word, await registeredRuns(true));
  const reason = whyNotStoppable(chosen);
  if (reason !== undefined && !(now && chosen.isHere)) {
    throw new LockstepError(`Process ${chosen.pid} (${chosen.name}) can't be stopped: ${reason}`);
  }
  const end = now ? endAtOnce : endInOrder;
  await end(chosen, { seconds, say });
  for (const line of await resultLines(chosen)) say(line);
  return 0;
}
