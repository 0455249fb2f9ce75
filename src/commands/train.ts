/**
 * `deno task train`: from flags to a run.
 *
 * @module
 */
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { followPointers } from "../base/pointer.ts";
import { shellWord } from "../base/shell.ts";
import type { TaskCommand } from "./command.ts";
import { ALLOW_MODULE_FLAG, type Flags, HELP_FLAG, VERBOSE_FLAG } from "./flags.ts";
import { DEFAULT_CONFIG_PATH } from "../config/default_config.ts";
import { type KeyFlagName, keyFlags, keySettings, RUN_KEY_FLAGS } from "./key_flags.ts";
import { interruptible } from "./interruptible.ts";
import type { LoadedConfig } from "../config/schema.ts";

/** Those that make another run: one that is resumed has its own. */
const OF_A_NEW_RUN: readonly KeyFlagName[] = ["model", "weights", "image-size", "seed", "out"];

/** `deno task train`. */
export const COMMAND: TaskCommand = {
  name: "train",
  title: "Train, fine-tune or feature-extract an image classifier",
  summary: "Train, fine-tune or feature-extract an image classifier on one or more workers.",
  permissions: "train",
  flags: [
    {
      name: "config",
      short: "c",
      value: "FILE",
      help: "Recipe to run (default: configs/default.yaml)",
    },
    {
      name: "set",
      value: "KEY=VALUE",
      many: true,
      help: "Override a key of the config, such as train.lr=0.01; repeatable",
    },
    ...keyFlags(RUN_KEY_FLAGS),
    {
      name: "resume",
      value: "DIR",
      help: "Go on with an interrupted run, from its checkpoints/last",
    },
    {
      name: "from",
      value: "NAME",
      help: "With --resume: go back to another of its checkpoints, such as last-1",
    },
    {
      name: "override",
      value: "KEY=VALUE",
      many: true,
      help: "With --resume: change a key that --set may not, on record; repeatable",
    },
    ALLOW_MODULE_FLAG,
    {
      name: "accept-data",
      help: "With --resume: go on with images that were changed, added or removed",
    },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task train --workers 2",
    "deno task train --data photos --epochs 20 --model resnet18 --image-size 224",
    "deno task train --dashboard",
    "deno task train --resume runs/latest",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const from = flags.text("from");
  const named = flags.text("resume");
  if (named === undefined && flags.given("allow-module")) {
    throw new UsageError(
      "--allow-module is for a run that is resumed: give --resume too, or --set",
    );
  }
  if (named === undefined && flags.given("override")) {
    throw new UsageError("--override changes a run that is resumed: give --resume too, or --set");
  }
  if (named === undefined && flags.given("accept-data")) {
    throw new UsageError(
      "--accept-data is for a run that is resumed: give --resume too; a new run takes the images as they are",
    );
  }
  if (from !== undefined && named === undefined) {
    throw new UsageError("--from names a checkpoint of a run to go on with: give --resume, too");
  }
  const resume = named === undefined ? undefined : await followPointers(named);
  const notes: string[] = [];
  const config = resume !== undefined
    ? await resumedConfig(resume, flags, notes)
    : await configFromFlags(flags, notes);
  const { train } = await import("../coordinator/run.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const verbose = flags.on("verbose");
  const reporter = terminalReporter({ verbose });
  using signals = interruptible(() =>
    reporter.warn("Stopping, with a checkpoint if training has begun; again to stop at once")
  );
  try {
    const { keysChosenBy } = await import("../config/unions.ts");
    const overridden = keysOf(flags.all("override")).flatMap((key) => [key, ...keysChosenBy(key)]);
    const acceptData = flags.on("accept-data");
    await train(config, {
      reporter,
      resume,
      from,
      overridden,
      acceptData,
      notes,
      verbose,
      signal: signals.signal,
    });
    return 0;
  } finally {
    reporter.close();
  }
}

/** Keys of `key=value`s. */
function keysOf(overrides: readonly string[]): string[] {
  return overrides.map((text) => text.slice(0, text.indexOf("=")).trim());
}

async function configFromFlags(flags: Flags, notes: string[]): Promise<LoadedConfig> {
  const { loadConfig } = await import("../config/load.ts");
  const { parseOverride } = await import("../config/override.ts");
  const path = flags.text("config") ?? DEFAULT_CONFIG_PATH;
  const sets = flags.all("set").map(parseOverride);
  const { overrides, imageSize } = await keySettings(flags, RUN_KEY_FLAGS, sets);
  return await loadConfig(path, overrides, {
    onNote: (note) => notes.push(note),
    ...(imageSize ? { imageSize } : {}),
  });
}

/** The config that a run folder holds, with what is to change; `train` says what of that may. */
async function resumedConfig(
  folder: string,
  flags: Flags,
  notes: string[],
): Promise<LoadedConfig> {
  const changed = ["config", ...OF_A_NEW_RUN].filter((name) => flags.given(name));
  if (changed.length > 0) {
    throw new UsageError(
      `--resume goes on with the run's own config, so ${
        changed.map((name) => flags.typed(name)).join(", ")
      } can't be given with it: ` +
        "leave it out, change what may change with --set (workers, data.root, train.epochs and the like) or " +
        "anything else with --override, or start a new run",
    );
  }
  const path = join(folder, "config.yaml");
  if (!await exists(path)) {
    const { describeNoRun } = await import("../records/not_a_run.ts");
    const cure = await exists(join(folder, "comparison.json"))
      ? `go on with it by deno task compare --resume ${shellWord(folder)}`
      : "give --resume a folder such as runs/latest";
    throw new UsageError(
      `${folder} ${await describeNoRun(folder)}: ${cure}`,
    );
  }
  const { loadRunConfig } = await import("../config/load.ts");
  const { overrideOf, parseOverride } = await import("../config/override.ts");
  const { overrides } = await keySettings(flags, RUN_KEY_FLAGS, [
    ...flags.all("set").map(parseOverride),
    ...flags.all("override").map((text) => overrideOf("--override", text)),
  ]);
  const config = await loadRunConfig(path, overrides, { onNote: (note) => notes.push(note) });
  const { modulesOf, requireModules, requireServer } = await import("../config/consent.ts");
  const consent = { modules: flags.all("allow-module"), keys: overrides.map(({ key }) => key) };
  await requireModules(modulesOf(config), consent, { where: path });
  await requireServer(config, consent, path);
  return config;
}
