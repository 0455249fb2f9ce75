/**
 * `deno task bench`: measures parts of Lockstep on this machine.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import { MODEL_NAMES, type ModelName } from "../models/config.ts";
import { type CommandHelp, type Flags, HELP_FLAG, helpText, parseFlags } from "./flags.ts";

/** Flags of `bench`. */
export const BENCH_HELP: CommandHelp = {
  name: "bench",
  summary:
    "Measure a part of Lockstep: `step`, one worker's training step without data and exchange.",
  positional: "step",
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
    "deno task bench loader --help",
  ],
};

/** Runs `bench` and returns the exit code. */
export async function runBench(args: string[]): Promise<number> {
  if (args[0] === "loader") {
    return await (await import("./bench_loader.ts")).runBenchLoader(args.slice(1));
  }
  const flags = parseFlags(BENCH_HELP, args);
  if (flags.on("help") || args.length === 0) {
    console.log(helpText(BENCH_HELP));
    return 0;
  }
  const [what, ...more] = flags.positional;
  if (what !== "step" || more.length > 0) {
    throw new UsageError(
      `Unknown benchmark "${flags.positional.join(" ")}": Lockstep measures "step" and "loader"`,
    );
  }
  const model = modelName(flags);
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

function modelName(flags: Flags): ModelName {
  const given = flags.text("model") ?? "resnet18";
  const known = MODEL_NAMES.find((name) => name === given);
  if (known) return known;
  const nearest = nearestName(given, MODEL_NAMES);
  throw new UsageError(
    `Unknown model "${given}"${nearest ? `: did you mean ${nearest}?` : ""} ` +
      `Known are ${MODEL_NAMES.join(", ")}`,
  );
}
