/**
 * `deno task evaluate`: measures a trained model on all images of a set.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG, MODEL_FLAGS, VERBOSE_FLAG } from "./flags.ts";
import { dataPlace, DEVICE_FLAGS, natsUrlOf } from "./key_flags.ts";
import { withTrainedModel } from "./trained_model.ts";

/** `deno task evaluate`. */
export const COMMAND: TaskCommand = {
  name: "evaluate",
  title: "Measure a trained model: accuracy, per class, calibration, mistakes",
  summary:
    "Measure a trained model on all images of a set, over one or more workers: loss, accuracy, precision and\n" +
    "recall per class, confusion matrix, calibration, and the worst mistakes as a picture.",
  permissions: "train",
  flags: [
    ...MODEL_FLAGS,
    {
      name: "data",
      value: "DIR",
      help: "Other images than the run's: folders named as its classes, or a known data set",
    },
    { name: "split", value: "val|train", help: "Which of the two sets (default: val)" },
    {
      name: "workers",
      short: "w",
      value: "N",
      help: "Worker processes (default: one per free GPU; on the CPU as the run had)",
    },
    ...DEVICE_FLAGS,
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
  run,
};

async function run(flags: Flags): Promise<number> {
  const request = {
    ...given("split", splitOf(flags)),
    ...given("workers", flags.integer("workers", 1)),
    ...given("nats", natsUrlOf(flags)),
  };
  const { evaluateRun } = await import("../evaluation/evaluate_run.ts");
  const { evaluationAsJson } = await import("../records/evaluation_file.ts");
  const { evaluationLines } = await import("../terminal/evaluation_lines.ts");
  const { standardStream } = await import("../terminal/terminal_stream.ts");
  const json = flags.on("json");
  const out = standardStream("stdout", "result");
  const { folder, record } = await withTrainedModel(
    flags,
    json ? "stderr" : "stdout",
    async (model, session) => {
      const data = await dataPlace(flags, (event) => session.reporter.download(event));
      return await evaluateRun(
        { ...model, ...request, ...given("data", data) },
        { ...session, ...given("out", flags.text("out")) },
      );
    },
  );
  if (json) {
    out.write(evaluationAsJson(record) + "\n");
    return 0;
  }
  const lines = evaluationLines(record, out.isTerminal ? out.columns : Infinity);
  out.write([...lines, "", `Evaluation: ${folder}`].join("\n") + "\n");
  return 0;
}

function splitOf(flags: Flags): "val" | "train" | undefined {
  const split = flags.text("split");
  if (split === undefined || split === "val" || split === "train") return split;
  throw new UsageError(
    `--split is ${split}: give val or train; another folder of images is named with --data`,
  );
}
