/**
 * `deno task bench step`: one worker's training step.
 *
 * @module
 */
import { modelFlag } from "./bench_flags.ts";
import { type CommandHelp, HELP_FLAG, helpText, parseFlags } from "./flags.ts";

/** Flags of `bench step`. */
export const BENCH_STEP_HELP: CommandHelp = {
  name: "bench step",
  summary: "Measure one worker's training step without data and exchange.",
  flags: [
    { name: "model", value: "NAME", help: "Architecture (default: resnet18)" },
    { name: "image-size", value: "PIXELS", help: "Side of the pictures (default: 224)" },
    { name: "batch", value: "N", help: "Pictures per step (default: 16)" },
    { name: "steps", value: "N", help: "Steps that are timed (default: 12)" },
    { name: "warmup", value: "N", help: "Steps before them (default: 3)" },
    { name: "threads", value: "N", help: "Threads of TensorFlow (default: it chooses)" },
    { name: "eager", help: "Run op by op instead of as one TensorFlow function" },
    { name: "json", help: "Print one line of JSON" },
    HELP_FLAG,
  ],
  examples: [
    "deno task bench step",
    "deno task bench step --model efficientnet_lite0 --image-size 160",
  ],
};

/** Runs `bench step` and returns the exit code. */
export async function runBenchStep(args: string[]): Promise<number> {
  const flags = parseFlags(BENCH_STEP_HELP, args);
  if (flags.on("help")) {
    console.log(helpText(BENCH_STEP_HELP));
    return 0;
  }
  const model = modelFlag(flags);
  const options = {
    model,
    imageSize: flags.integer("image-size", 1) ?? 224,
    batch: flags.integer("batch", 1) ?? 16,
    steps: flags.integer("steps", 1) ?? 12,
    warmup: flags.integer("warmup", 0) ?? 3,
    threads: flags.integer("threads", 0) ?? 0,
    capture: !flags.on("eager"),
  };
  const { benchStep } = await import("../bench/step_bench.ts");
  const result = await benchStep(options);
  if (flags.on("json")) console.log(JSON.stringify({ ...options, ...result }));
  else {
    const [least, most] = result.rangeMilliseconds.map((time) => time.toFixed(0));
    console.log(
      `${model}, ${options.imageSize} px, batch ${options.batch}, 1 worker: ` +
        `${result.imagesPerSecond.toFixed(1)} images/s ` +
        `(median step ${result.medianMilliseconds.toFixed(0)} ms, ${least} to ${most})`,
    );
  }
  return 0;
}
