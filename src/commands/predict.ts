/**
 * `deno task predict`: what a trained model makes of images.
 *
 * @module
 */
import { EXIT_FAILED, UsageError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG, MODEL_FLAGS, VERBOSE_FLAG } from "./flags.ts";
import { DEVICE_FLAGS } from "./key_flags.ts";
import { withTrainedModel } from "./trained_model.ts";

const DEFAULT_TOP = 5;
/** Longest `--timeout`: a day. */
const MAX_SECONDS = 86_400;

/** `deno task predict`. */
export const COMMAND: TaskCommand = {
  name: "predict",
  title: "Classify images: files, folders, patterns or addresses",
  summary: "Classify images with a trained model, one after the other as they are read.",
  positional: "FILE|FOLDER|PATTERN|URL|- ...",
  permissions: "train",
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
    ...DEVICE_FLAGS,
    { name: "max-size", value: "MB", help: "Largest image that is fetched (default: 50)" },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task predict photo.jpg",
    "deno task predict --run runs/latest 'photos/**/*.jpg' --top 3 --csv > predictions.csv",
    "deno task predict --run runs/latest photos --explain maps --grid grid.png",
  ],
  run,
};

/** Runs `predict` and returns the exit code: 1 when an image couldn't be read. */
async function run(flags: Flags): Promise<number> {
  const format = formatOf(flags);
  const [seconds, megabytes] = [
    flags.integer("timeout", 1, MAX_SECONDS),
    flags.integer("max-size", 1),
  ];
  const top = flags.integer("top", 1) ?? DEFAULT_TOP;
  const { predictImages } = await import("../evaluation/predict_images.ts");
  const { outputIsGone, resultIsTaken, standardStream } = await import(
    "../terminal/terminal_stream.ts"
  );
  const out = standardStream("stdout", "result");
  const request = {
    images: flags.positional,
    top,
    format,
    width: out.isTerminal ? out.columns : Infinity,
    ...given("grid", flags.text("grid")),
    ...given("explain", flags.text("explain")),
    ...given("timeoutMs", seconds && 1000 * seconds),
    ...given("maxBytes", megabytes && 1e6 * megabytes),
  };
  const { unread } = await withTrainedModel(
    flags,
    "stderr",
    async (model, session) =>
      await predictImages({ ...model, ...request }, {
        ...session,
        print: async (line) => {
          out.write(line + "\n");
          await resultIsTaken(session.signal);
          return !outputIsGone();
        },
      }),
  );
  return unread > 0 ? EXIT_FAILED : 0;
}

function formatOf(flags: Flags): "table" | "json" | "csv" {
  const [json, csv] = [flags.on("json"), flags.on("csv")];
  if (json && csv) throw new UsageError("--json and --csv exclude each other: give one of them");
  if (json) return "json";
  return csv ? "csv" : "table";
}
