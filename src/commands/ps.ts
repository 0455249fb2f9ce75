/**
 * `deno task ps`: what goes on on this host, and how to stop it.
 *
 * @module
 */
import { task } from "../base/invocation.ts";
import { counted } from "../base/format.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";
import type { UnregisteredRun } from "./live_listing.ts";

/** `deno task ps`. */
export const COMMAND: TaskCommand = {
  name: "ps",
  title: "List the runs that go on on this host, with workers and progress",
  summary:
    "List the runs, comparisons, evaluations, benchmarks and host agents that go on on this host: workers,\n" +
    "devices, progress, and the command that stops each.",
  permissions: "ps",
  flags: [
    { name: "json", help: "Print JSON" },
    { name: "all", short: "a", help: "Also those of other users, as far as they can be seen" },
    HELP_FLAG,
  ],
  examples: ["deno task ps", "deno task ps --all --json"],
  run,
};

async function run(flags: Flags): Promise<number> {
  const { listRuns, registeredRuns, unregisteredRuns } = await import("./live_listing.ts");
  const { ownUid } = await import("../base/runtime_folder.ts");
  const all = flags.on("all");
  // Programs first: one that ends meanwhile must not seem to be unregistered.
  const registered = await registeredRuns(true);
  const unregistered = await unregisteredRuns(registered, ownUid());
  const shown = all ? registered : await registeredRuns(false);
  const runs = await listRuns(shown);
  const others = unregistered.filter(({ isOwn }) => all || isOwn);
  const hidden = unregistered.length - others.length + (registered.length - shown.length);
  if (flags.on("json")) {
    const { escapeJson } = await import("../base/visible_text.ts");
    console.log(escapeJson(JSON.stringify({ runs, unregistered: others }, null, 2)));
    return 0;
  }
  const { liveRunLines } = await import("../terminal/live_run_lines.ts");
  const { printable, standardStream } = await import("../terminal/terminal_stream.ts");
  const out = standardStream("stdout", "result");
  const width = out.isTerminal ? out.columns : Infinity;
  const blocks = [
    ...runs.map((each) => liveRunLines(each, width)),
    ...others.map((each) => unregisteredLines(each)),
  ];
  if (blocks.length === 0) blocks.push(["No run goes on on this host"]);
  if (hidden > 0) {
    blocks.push([`${counted(hidden, "run")} of other users: ${task("ps --all")} shows them`]);
  }
  out.write(blocks.map((lines) => lines.map(printable).join("\n")).join("\n\n") + "\n");
  return 0;
}

function unregisteredLines({ pid, user, isOwn, command }: UnregisteredRun): string[] {
  return [
    `${pid}: ${command}`,
    `  process ${pid} of ${user}, ${
      isOwn
        ? "which is not in the register: it has just begun or is ending, has another LOCKSTEP_RUNTIME, or could not write there"
        : "whose register only that user can read"
    }`,
  ];
}
