/**
 * `deno task compare`: the same recipe in several variants, and their accuracies in one picture.
 *
 * @module
 */
import { EXIT_FAILED, UsageError } from "../base/errors.ts";
import type { CompareOptions, CompareResult, CompareRunOptions } from "../compare/compare.ts";
import { DEFAULT_CONFIG_PATH } from "../config/default_config.ts";
import { keyFlags, keySettings, natsFromEnvironment, RUN_KEY_FLAGS } from "./key_flags.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG, VERBOSE_FLAG } from "./flags.ts";
import { interruptible } from "./interruptible.ts";

/** Epochs of the default recipe when it is compared: enough to see a network learn that starts from scratch. */
const DEFAULT_EPOCHS = 15;

/** Flags of `train` that aren't here: `workers` has several values, no run serves a dashboard, and all are on one host. */
const OF_ONE_RUN: ReadonlySet<string> = new Set([
  "workers",
  "dashboard",
  "hosts",
  "listen",
  "token-file",
]);

/** Flags that are short for keys of all variants. */
const KEYS = RUN_KEY_FLAGS.filter((name) => !OF_ONE_RUN.has(name));

/** `deno task compare`. */
export const COMMAND: TaskCommand = {
  name: "compare",
  title: "Train variants of a recipe, such as pretrained and from scratch, and compare them",
  summary: "Train variants of a recipe, such as pretrained and from scratch, and compare them.",
  permissions: "compare",
  flags: [
    {
      name: "config",
      short: "c",
      value: "FILE",
      many: true,
      help: `Recipe (default: configs/default.yaml, ${DEFAULT_EPOCHS} epochs), or several`,
    },
    {
      name: "variants",
      value: "V[,V…]",
      help: "Of pretrained, finetune, extract and scratch (default: pretrained,scratch)",
    },
    {
      name: "workers",
      short: "w",
      value: "N[,N…]",
      help: "Worker processes of each run; several numbers are compared",
    },
    {
      name: "set",
      value: "[V:]KEY=VALUE",
      many: true,
      help: "Override a key of all variants, or of one: scratch:train.lr=0.05; repeatable",
    },
    { name: "repeats", value: "K", help: "Seeds per variant, for mean and spread (default: 1)" },
    { name: "parallel", value: "N", help: "Runs that go on at the same time (default: 1)" },
    { name: "name", value: "NAME", help: "Part of the folder's name (default: the recipe's)" },
    ...keyFlags(KEYS, {
      weights: { help: "pretrained[-v2] or a .pth/.safetensors file, for all but scratch" },
      seed: { help: "First seed (key: seed)" },
      out: { help: "Folder that gets the comparison's folder (key: out)" },
    }),
    { name: "resume", value: "DIR", help: "Go on with a comparison that was interrupted" },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task compare --workers 2",
    "deno task compare --variants finetune,extract,scratch --repeats 3",
    "deno task compare --config configs/finetune-resnet18.yaml --config configs/finetune-alexnet.yaml",
    "deno task compare --resume runs/latest-compare",
  ],
  run,
};

/** Flags that may be given with `--resume`: they don't change what comes out. */
const WITH_RESUME = ["resume", "parallel", "verbose"];

/** Runs `compare` and returns the exit code: 1 when a variant failed. */
async function run(flags: Flags): Promise<number> {
  const parallel = flags.integer("parallel", 1) ?? 1;
  const verbose = flags.on("verbose");
  const notes: string[] = [];
  const work = flags.given("resume") ? resumed(flags) : await fresh(flags, notes);
  const { terminalCompareReporter } = await import("../compare/compare_reporter.ts");
  const reporter = terminalCompareReporter({ verbose, parallel: parallel > 1 });
  using signals = interruptible(() =>
    reporter.warn("Stopping, with checkpoints where training has begun; again to stop at once")
  );
  notes.forEach((note) => reporter.info(note));
  const result = await work({ parallel, verbose, reporter, signal: signals.signal });
  await print(result);
  const { variants } = result.comparison;
  const failed = variants.some(({ runs }) => runs.some(({ status }) => status !== "finished"));
  return failed ? EXIT_FAILED : 0;
}

/** Begins, or goes on with, a comparison. */
type Work = (options: CompareRunOptions) => Promise<CompareResult>;

function resumed(flags: Flags): Work {
  const changed = COMMAND.flags.filter(({ name }) =>
    !WITH_RESUME.includes(name) && flags.given(name)
  );
  if (changed.length > 0) {
    throw new UsageError(
      `--resume goes on with the comparison's own settings, so --${
        changed.map(({ name }) => name).join(", --")
      } can't be given with it: leave it out, or start a new comparison`,
    );
  }
  const folder = flags.text("resume")!;
  return async (options) => {
    const { resumeComparison } = await import("../compare/compare.ts");
    return await resumeComparison(folder, options);
  };
}

async function fresh(flags: Flags, notes: string[]): Promise<Work> {
  const { planVariants } = await import("../compare/variants.ts");
  const { parseCounts } = await import("../bench/sizes.ts");
  const given = flags.all("config");
  const text = flags.text("workers");
  const workers = text === undefined ? [] : parseCounts("workers", text);
  const presets = flags.text("variants")?.split(",").map((name) => name.trim());
  const { parseOverride } = await import("../config/override.ts");
  const ofAll = flags.all("set").filter((text) => !/^[\w.-]+:[^=]*=/.test(text));
  const { own, imageSize } = await keySettings(flags, KEYS, ofAll.map(parseOverride));
  const variants = await planVariants({
    configs: given.length > 0 ? given : [DEFAULT_CONFIG_PATH],
    ...(presets ? { presets } : {}),
    workers: workers.length > 1 ? workers : [],
    sets: [
      ...(given.length > 0 ? [] : [`train.epochs=${DEFAULT_EPOCHS}`]),
      ...flags.all("set"),
    ],
    overrides: [
      ...(flags.all("set").some((text) => /(^|:)nats\.url=/.test(text))
        ? []
        : natsFromEnvironment()),
      ...own,
      ...(workers.length === 1 ? [{ key: "workers", value: workers[0], source: "--workers" }] : []),
    ],
    ...(imageSize ? { imageSize } : {}),
    onNote: (note) => notes.push(note),
  });
  const repeats = flags.integer("repeats", 1) ?? 1;
  const name = flags.text("name");
  const settings: CompareOptions = { repeats, ...(name === undefined ? {} : { name }) };
  return async (options) => {
    const { compareVariants } = await import("../compare/compare.ts");
    return await compareVariants(variants, { ...options, ...settings });
  };
}

async function print({ folder, comparison }: CompareResult): Promise<void> {
  const { comparisonLines } = await import("../compare/comparison_table.ts");
  const { printable, standardStream } = await import("../terminal/terminal_stream.ts");
  const { isTerminal, columns } = standardStream("stdout");
  const lines = comparisonLines(comparison, isTerminal ? columns : Infinity);
  console.log(
    ["", ...lines, `Picture: ${folder}/comparison.png`, `Report: ${folder}/report.html`].map(
      printable,
    ).join("\n"),
  );
  for (const { label, runs } of comparison.variants) {
    for (const { seed, status, message } of runs) {
      if (status === "finished") continue;
      console.error(printable(`error: ${label}, seed ${seed}: ${message ?? status}`));
    }
  }
}
