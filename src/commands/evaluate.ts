/**
 * `deno task evaluate`: measures a trained model on all images of a set.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import {
  type CommandHelp,
  type Flags,
  HELP_FLAG,
  helpText,
  MODEL_FLAGS,
  parseFlags,
  VERBOSE_FLAG,
} from "./flags.ts";
import { chosenRun } from "./chosen_run.ts";
import { dataPlace, DEVICE_FLAG, deviceOf, natsUrlOf } from "./key_flags.ts";
import { interruptible } from "./interruptible.ts";

/** Flags of `evaluate`. */
export const EVALUATE_HELP: CommandHelp = {
  name: "evaluate",
  summary:
    "Measure a trained model on all images of a set, over one or more workers: loss, accuracy, precision and\n" +
    "recall per class, confusion matrix, calibration, and the worst mistakes as a picture.",
  flags: [
    ...MODEL_FLAGS,
    {
      name: "data",
      value: "DIR",
      help: "Other images than the run's: folders named as its classes, or a known data set",
    },
    { name: "split", value: "val|train", help: "Which of the two sets (default: val)" },
    { name: "workers", short: "w", value: "N", help: "Worker processes (default: as the run had)" },
    DEVICE_FLAG,
    {
      name: "out",
      value: "DIR",
      help: "Folder for the files (default: evaluation in the run's folder)",
    },
    {
      name: "nats",
      value: "URL",
      help: "Use a running nats-server, never the run's, instead of starting one",
    },
    { name: "json", help: "Print evaluation.json instead of tables" },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task evaluate",
    "deno task evaluate --run runs/latest --data photos/test --workers 4",
    "deno task evaluate --run runs/latest --checkpoint last --split train",
  ],
};

/** Runs `evaluate` and returns the exit code. */
export async function runEvaluate(args: string[]): Promise<number> {
  const flags = parseFlags(EVALUATE_HELP, args);
  if (flags.on("help")) {
    console.log(helpText(EVALUATE_HELP));
    return 0;
  }
  const request = {
    ...given("checkpoint", flags.text("checkpoint")),
    ...given("split", splitOf(flags)),
    ...given("workers", flags.integer("workers", 1)),
    ...given("device", deviceOf(flags)),
    ...given("nats", natsUrlOf(flags)),
    modules: flags.all("allow-module"),
  };
  const { evaluateRun } = await import("../evaluation/evaluate_run.ts");
  const { evaluationAsJson } = await import("../records/evaluation_file.ts");
  const { evaluationLines } = await import("../terminal/evaluation_lines.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const { standardStream } = await import("../terminal/terminal_stream.ts");
  const verbose = flags.on("verbose");
  const json = flags.on("json");
  const out = standardStream("stdout", "result");
  const stream = standardStream(json ? "stderr" : "stdout");
  const reporter = terminalReporter({ verbose, stream });
  using signals = interruptible(() => reporter.warn("Stopping; again to stop at once"));
  try {
    const run = await chosenRun(flags, (line) => reporter.info(line));
    const data = await dataPlace(flags, (event) => reporter.download(event));
    const place = { ...given("run", run), ...given("data", data) };
    const { folder, record } = await evaluateRun({ ...request, ...place }, {
      ...given("out", flags.text("out")),
      reporter,
      verbose,
      signal: signals.signal,
    });
    reporter.close();
    if (json) {
      out.write(evaluationAsJson(record) + "\n");
      return 0;
    }
    const lines = evaluationLines(record, out.isTerminal ? out.columns : Infinity);
    out.write([...lines, "", `Evaluation: ${folder}`].join("\n") + "\n");
    return 0;
  } finally {
    reporter.close();
  }
}

function splitOf(flags: Flags): "val" | "train" | undefined {
  const split = flags.text("split");
  if (split === undefined || split === "val" || split === "train") return split;
  throw new UsageError(
    `--split is ${split}: give val or train; another folder of images is named with --data`,
  );
}

/** A property that is left out when it has no value. */
function given<Key extends string, Value>(key: Key, value: Value | undefined) {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}
