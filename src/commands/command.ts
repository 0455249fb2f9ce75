/**
 * The description of a command, and how it is run.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import type { PermissionSet } from "../base/programs.ts";
import { type CommandHelp, type Flags, helpText, parseFlags } from "./flags.ts";

/** A command: name, summary and flags for its help, and what it does. It imports what it needs when it runs. */
export interface Command extends CommandHelp {
  /**
   * Does the command's work and returns the exit code. A command without it is chosen by its parts, and shows its help
   * otherwise.
   */
  run?(flags: Flags): Promise<number>;
  /** Commands that the first argument chooses, such as `check` of `data check`. */
  readonly parts?: Readonly<Record<string, LoadCommand>>;
  /** The kind of its parts in messages, such as `benchmark`. */
  readonly partKind?: string;
  /** True for work that the register of live runs lists as a benchmark while it goes on. */
  readonly isBenchmark?: boolean;
}

/** A command with a task of its own in deno.json, which `deno task make:tasks` writes. */
export interface TaskCommand extends Command {
  /** The line that describes it among the commands and tasks. */
  readonly title: string;
  /** Set of permissions that the task takes. */
  readonly permissions: PermissionSet;
}

/** Imports the module of a command. */
export type LoadCommand = () => Promise<{ readonly COMMAND: Command }>;

/**
 * Runs a command with its arguments.
 *
 * @returns The exit code
 * @throws {UsageError} for arguments that it doesn't have
 */
export async function runCommand(command: Command, args: readonly string[]): Promise<number> {
  const { parts = {}, partKind = "part" } = command;
  const [first] = args;
  const isName = first !== undefined && !first.startsWith("-");
  if (isName && Object.hasOwn(parts, first)) {
    const { COMMAND } = await parts[first]();
    return await runCommand(COMMAND, args.slice(1));
  }
  if (!command.run && isName) throw unknownPart(partKind, first, Object.keys(parts));
  const flags = parseFlags(command, [...args]);
  if (flags.on("help") || !command.run) {
    console.log(helpText(command));
    return 0;
  }
  if (!command.isBenchmark) return await command.run(flags);
  const { registerLive } = await import("../records/live_runs.ts");
  // A signal ends a benchmark at once: there is nothing to save.
  using _live = await registerLive({ kind: "bench", name: command.name }, { stopsInOrder: true });
  return await command.run(flags);
}

function unknownPart(kind: string, name: string, known: readonly string[]): UsageError {
  const nearest = nearestName(name, known);
  return new UsageError(
    `Unknown ${kind} "${name}": ${
      nearest ? `did you mean ${nearest}?` : `known are ${known.join(", ")}`
    }`,
  );
}
