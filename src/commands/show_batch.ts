/**
 * `deno task show-batch`: what the augmentation makes of the data, as a picture.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { UsageError } from "../base/errors.ts";
import { DEFAULT_CONFIG_PATH } from "../config/default_config.ts";
import { type KeyFlagName, keyFlags, keySettings } from "./key_flags.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG, VERBOSE_FLAG } from "./flags.ts";

/** Flags that are short for keys. */
const KEYS: readonly KeyFlagName[] = ["data", "image-size", "batch-size", "seed"];

/** `deno task show-batch`. */
export const COMMAND: TaskCommand = {
  name: "show-batch",
  title: "Show as a picture what the augmentation makes of the data",
  summary: "Show as a picture what the augmentation makes of the data: what training would get.",
  permissions: "train",
  flags: [
    {
      name: "config",
      short: "c",
      value: "FILE",
      help: "Recipe whose data to show (default: configs/default.yaml)",
    },
    { name: "set", value: "KEY=VALUE", many: true, help: "Override a key; repeatable" },
    ...keyFlags(KEYS),
    { name: "epoch", value: "E", help: "Epoch of the images (default: 1)" },
    { name: "count", value: "N", help: "Images (default: 16; with --compare-epochs 4)" },
    { name: "columns", value: "C", help: "Images per row (default: 4, or a square)" },
    {
      name: "compare-epochs",
      value: "K",
      help: "Show each image as it is, then as K epochs get it",
    },
    { name: "val", help: "Show validation images" },
    { name: "out", value: "FILE", help: "PNG file (default: show-batch.png in the key out)" },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task show-batch",
    "deno task show-batch --compare-epochs 5 --count 3",
    "deno task show-batch --set 'data.mix=[{CutMix: 1}]' --out mixed.png",
  ],
  run,
};

/** More images would make a file that few programs open. */
const MOST = 400;
const COUNT = 16;
const COMPARED_COUNT = 4;

async function run(flags: Flags): Promise<number> {
  const shown = shownBy(flags);
  const { loadConfig } = await import("../config/load.ts");
  const { parseOverride } = await import("../config/override.ts");
  const sets = flags.all("set").map(parseOverride);
  const { overrides, imageSize } = await keySettings(flags, KEYS, sets);
  const notes: string[] = [];
  const config = await loadConfig(flags.text("config") ?? DEFAULT_CONFIG_PATH, overrides, {
    onNote: (note) => notes.push(note),
    ...(imageSize ? { imageSize } : {}),
  });
  const path = resolve(pngPath(flags) ?? join(config.out, "show-batch.png"));
  const { showBatch } = await import("../preview/show_batch.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const { say } = await import("../terminal/terminal_stream.ts");
  const verbose = flags.on("verbose");
  const reporter = terminalReporter({ verbose });
  notes.forEach((note) => reporter.info(note));
  try {
    await showBatch(config, path, { ...shown, reporter, verbose });
  } finally {
    reporter.close();
  }
  say(path);
  return 0;
}

/** @throws {UsageError} for flags that contradict each other, or ask for too much */
function shownBy(flags: Flags) {
  const compareEpochs = flags.integer("compare-epochs", 1);
  const columns = flags.integer("columns", 1);
  const val = flags.on("val");
  const inVain = ["epoch", "compare-epochs"].find((name) => val && flags.given(name));
  if (inVain) {
    throw new UsageError(
      `--${inVain} is given with --val, but validation images are the same in each epoch: leave one out`,
    );
  }
  if (compareEpochs !== undefined && columns !== undefined) {
    throw new UsageError(
      "--columns is given with --compare-epochs, which has a column for each epoch: leave one out",
    );
  }
  const count = flags.integer("count", 1) ??
    (compareEpochs === undefined ? COUNT : COMPARED_COUNT);
  const tiles = count * (compareEpochs === undefined ? 1 : compareEpochs + 1);
  if (tiles > MOST) {
    throw new UsageError(`${tiles} images are asked for, but at most ${MOST} can be shown`);
  }
  return {
    epoch: flags.integer("epoch", 1) ?? 1,
    count,
    val,
    ...(columns === undefined ? {} : { columns }),
    ...(compareEpochs === undefined ? {} : { compareEpochs }),
  };
}

/** @throws {UsageError} when the file would have the name of something else than a PNG */
function pngPath(flags: Flags): string | undefined {
  const path = flags.text("out");
  if (path === undefined || path.toLowerCase().endsWith(".png")) return path;
  throw new UsageError(`--out is ${path}: name a file that ends in .png`);
}
