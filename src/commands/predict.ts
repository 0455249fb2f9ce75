/**
 * `deno task predict`: what a trained model makes of images.
 *
 * @module
 */
import { EXIT_FAILED, UsageError } from "../base/errors.ts";
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
import { DEVICE_FLAG, deviceOf } from "./key_flags.ts";
import { interruptible } from "./interruptible.ts";

const DEFAULT_TOP = 5;
/** Longest `--timeout`: a day. */
const MAX_SECONDS = 86_400;

/** Flags of `predict`. */
export const PREDICT_HELP: CommandHelp = {
  name: "predict",
  summary: "Classify images with a trained model, one after the other as they are read.",
  positional: "FILE|FOLDER|PATTERN|URL|- ...",
  flags: [
    ...MODEL_FLAGS,
    { name: "top", short: "k", value: "K", help: `Classes per image (default: ${DEFAULT_TOP})` },
    { name: "json", help: "Print a JSON object per line instead of a table" },
    { name: "csv", help: "Print CSV instead of a table" },
    { name: "grid", value: "FILE", help: "Draw the images with their classes as one PNG" },
    {
      name: "explain",
      value: "DIR",
      help: "Draw for each image where the model sees its class (Grad-CAM), a PNG each in DIR",
    },
    {
      name: "timeout",
      value: "SECONDS",
      help: "Longest time for fetching an image (default: 30)",
    },
    DEVICE_FLAG,
    { name: "max-size", value: "MB", help: "Largest image that is fetched (default: 50)" },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task predict photo.jpg",
    "deno task predict --run runs/latest 'photos/**/*.jpg' --top 3 --csv > predictions.csv",
    "deno task predict --run runs/latest photos --explain maps --grid grid.png",
  ],
};

/** Runs `predict` and returns the exit code: 1 when an image couldn't be read. */
export async function runPredict(args: string[]): Promise<number> {
  const flags = parseFlags(PREDICT_HELP, args);
  if (flags.on("help")) {
    console.log(helpText(PREDICT_HELP));
    return 0;
  }
  const format = formatOf(flags);
  const checkpoint = flags.text("checkpoint");
  const [grid, explain] = [flags.text("grid"), flags.text("explain")];
  const [seconds, megabytes] = [
    flags.integer("timeout", 1, MAX_SECONDS),
    flags.integer("max-size", 1),
  ];
  const top = flags.integer("top", 1) ?? DEFAULT_TOP;
  const device = deviceOf(flags);
  const { predictImages } = await import("../evaluation/predict_images.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const { outputIsGone, resultIsTaken, standardStream } = await import(
    "../terminal/terminal_stream.ts"
  );
  const verbose = flags.on("verbose");
  const out = standardStream("stdout", "result");
  const reporter = terminalReporter({ verbose, stream: standardStream("stderr") });
  using signals = interruptible(() => reporter.warn("Stopping; again to stop at once"));
  try {
    const run = await chosenRun(flags, (line) => reporter.info(line));
    const { unread } = await predictImages({
      images: flags.positional,
      top,
      format,
      width: out.isTerminal ? out.columns : Infinity,
      ...(run === undefined ? {} : { run }),
      ...(device === undefined ? {} : { device }),
      ...(checkpoint === undefined ? {} : { checkpoint }),
      modules: flags.all("allow-module"),
      ...(grid === undefined ? {} : { grid }),
      ...(explain === undefined ? {} : { explain }),
      ...(seconds === undefined ? {} : { timeoutMs: 1000 * seconds }),
      ...(megabytes === undefined ? {} : { maxBytes: 1e6 * megabytes }),
    }, {
      print: async (line) => {
        out.write(line + "\n");
        await resultIsTaken(signals.signal);
        return !outputIsGone();
      },
      reporter,
      verbose,
      signal: signals.signal,
    });
    return unread > 0 ? EXIT_FAILED : 0;
  } finally {
    reporter.close();
  }
}

function formatOf(flags: Flags): "table" | "json" | "csv" {
  const [json, csv] = [flags.on("json"), flags.on("csv")];
  if (json && csv) throw new UsageError("--json and --csv exclude each other: give one of them");
  if (json) return "json";
  return csv ? "csv" : "table";
}
