/**
 * `deno task bench step`: one worker's training step.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { UsageError } from "../base/errors.ts";
import { visibleJson } from "../base/visible_text.ts";
import type { StepProfile } from "../bench/step_profile.ts";
import { ALSO_BATCH, ENGINE_FLAGS, engineSettings, modelFlag, printTable } from "./bench_flags.ts";
import type { Command } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";
import { DEVICE_FLAGS, deviceWishes } from "./key_flags.ts";

/** `deno task bench step`. */
export const COMMAND: Command = {
  name: "bench step",
  isBenchmark: true,
  summary: "Measure one worker's training step without data and exchange.",
  flags: [
    { name: "model", value: "NAME", help: "Architecture (default: resnet18)" },
    { name: "image-size", value: "PIXELS", help: "Side of the images (default: 224)" },
    { name: "batch", also: ALSO_BATCH, value: "N", help: "Images per step (default: 16)" },
    {
      name: "micro-batch-size",
      value: "N",
      help: "Most images per forward and backward pass (default: all of the step)",
    },
    { name: "steps", value: "N", help: "Steps that are timed (default: 12)" },
    { name: "warmup", value: "N", help: "Steps before them (default: 3)" },
    { name: "threads", value: "N", help: "Threads of TensorFlow (default: it chooses)" },
    { name: "eager", help: "Run op by op instead of as one TensorFlow function" },
    ...DEVICE_FLAGS,
    ...ENGINE_FLAGS,
    { name: "profile", help: "Show where the time goes, op by op, instead of timing whole steps" },
    {
      name: "out",
      value: "DIR",
      help: "With --profile: write result.json, ops.csv, nodes.csv there",
    },
    { name: "json", help: "Print one line of JSON" },
    HELP_FLAG,
  ],
  examples: [
    "deno task bench step",
    "deno task bench step --model efficientnet_lite0 --image-size 160",
    "deno task bench step --profile --threads 1 --steps 3 --out bench/profile",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const options = {
    model: modelFlag(flags),
    imageSize: flags.integer("image-size", 1) ?? 224,
    batch: flags.integer("batch", 1) ?? 16,
    microBatchSize: flags.integer("micro-batch-size", 1),
    steps: flags.integer("steps", 1) ?? 12,
    warmup: flags.integer("warmup", 0) ?? 3,
    threads: flags.integer("threads", 0) ?? 0,
    capture: !flags.on("eager"),
    ...deviceWishes(flags),
    call: engineSettings(flags),
  };
  const rewritten = options.call.xla ? "--xla" : `--precision ${options.call.precision}`;
  if (!options.capture && rewritten !== "--precision float32") {
    throw new UsageError(
      `${rewritten} compiles captured functions, which --eager has none of: leave one of both out`,
    );
  }
  if (flags.on("profile")) return await profile(flags, options);
  if (flags.given("out")) throw new UsageError("--out needs --profile: whole steps have no files");
  const { benchStep } = await import("../bench/step_bench.ts");
  const result = await benchStep(options);
  if (flags.on("json")) console.log(visibleJson({ ...options, ...result }));
  else {
    const { microBatchSize } = options;
    const micro = microBatchSize === undefined ? "" : ` in micro-batches of ${microBatchSize}`;
    const [least, most] = result.rangeMilliseconds.map((time) => time.toFixed(0));
    console.log(
      `${options.model}, ${options.imageSize} px, batch ${options.batch}${micro}, 1 worker: ` +
        `${result.imagesPerSecond.toFixed(1)} images/s ` +
        `(median step ${result.medianMilliseconds.toFixed(0)} ms, ${least} to ${most})`,
    );
  }
  return 0;
}

/** Options as `benchStep` takes them. */
type Options = Parameters<typeof import("../bench/step_bench.ts").benchStep>[0];

async function profile(flags: Flags, options: Options): Promise<number> {
  if (!options.capture) {
    throw new UsageError(
      "--profile shows the nodes of captured functions, which --eager has none of: leave one out",
    );
  }
  if (options.call?.xla) {
    throw new UsageError(
      "--profile shows TensorFlow's nodes, of which --xla leaves one: leave one of both out",
    );
  }
  if (options.microBatchSize !== undefined) {
    throw new UsageError(
      "--profile shows the nodes of one pass, and --micro-batch-size makes several: leave one of both out",
    );
  }
  const { profileStep } = await import("../bench/step_bench.ts");
  const result = await profileStep(options);
  if (flags.on("json")) console.log(visibleJson({ ...options, ...result }));
  else await print(options, result);
  const out = flags.text("out");
  if (out !== undefined) {
    const { writeProfile } = await import("../bench/write_profile.ts");
    await writeProfile(out, options, result);
    console.error(`Written to ${out}`);
  }
  return 0;
}

async function print(options: Options, { parts, ops, slowest }: StepProfile): Promise<void> {
  const { model, imageSize, batch, threads } = options;
  console.log(
    `${model}, ${imageSize} px, batch ${batch}, ${
      threads === 0 ? "as many threads as TensorFlow likes" : counted(threads, "thread")
    }\n`,
  );
  await printTable(
    PART_COLUMNS,
    parts.map((part) => [
      part.part,
      String(part.nodes),
      part.callMilliseconds.toFixed(1),
      part.wallMilliseconds.toFixed(1),
      part.nodeMilliseconds.toFixed(1),
    ]),
  );
  console.log("\nBy type of op:");
  const shown = ops.filter(({ share }) => share >= MIN_SHARE);
  await printTable(
    OP_COLUMNS,
    shown.map(({ part, op, count, milliseconds, share, bytes }) => [
      part,
      op,
      String(count),
      milliseconds.toFixed(2),
      `${(100 * share).toFixed(1)} %`,
      (bytes / 1e6).toFixed(1),
    ]),
  );
  if (ops.length > shown.length) {
    const rest = ops.filter(({ share }) => share < MIN_SHARE)
      .reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    console.log(`… and ${ops.length - shown.length} more, ${rest.toFixed(2)} ms together`);
  }
  console.log("\nThe slowest nodes:");
  await printTable(
    NODE_COLUMNS,
    slowest.map(({ part, node, op, shapes, milliseconds }) => [
      part,
      node,
      op,
      shapes.join(", "),
      milliseconds.toFixed(2),
    ]),
  );
  console.log(
    "\nA node's time is the median over the steps; share: of the step (images, forward_backward and update), or of evaluate.\n" +
      "call ms: the function as training calls it; wall ms: the same while its nodes are timed.",
  );
}

/** Ops with a smaller share of the step are summed up in a line. */
const MIN_SHARE = 0.0005;

const PART_COLUMNS = [
  { title: "function" },
  { title: "nodes", align: "right" },
  { title: "call ms", align: "right" },
  { title: "wall ms", align: "right" },
  { title: "sum of nodes", align: "right" },
] as const;

const OP_COLUMNS = [
  { title: "function", givesWay: 1, leastWidth: 8 },
  { title: "op" },
  { title: "count", align: "right" },
  { title: "ms", align: "right" },
  { title: "share", align: "right" },
  { title: "MB out", align: "right", givesWay: 2 },
] as const;

const NODE_COLUMNS = [
  { title: "function", givesWay: 2, leastWidth: 8 },
  { title: "node", givesWay: 1, leastWidth: 12 },
  { title: "op", givesWay: 3, leastWidth: 20 },
  { title: "shape" },
  { title: "ms", align: "right" },
] as const;
