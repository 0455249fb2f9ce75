/**
 * `deno task bench`: measures parts of Lockstep on this machine.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import { type CommandHelp, HELP_FLAG, helpText, parseFlags } from "./flags.ts";

/** Runs a benchmark with its arguments; resolves to the exit code. */
type Benchmark = (args: string[]) => Promise<number>;

const BENCHMARKS: Record<string, { summary: string; load: () => Promise<Benchmark> }> = {
  step: {
    summary: "One worker's training step, without data and exchange",
    load: async () => (await import("./bench_step.ts")).runBenchStep,
  },
  loader: {
    summary: "Reading, decoding and transforming images into batches",
    load: async () => (await import("./bench_loader.ts")).runBenchLoader,
  },
  scaling: {
    summary: "The training loop with 1, 2, 4 … workers, and where a step's time goes",
    load: async () => (await import("./bench_scaling.ts")).runBenchScaling,
  },
  allreduce: {
    summary: "The sum over the workers alone, by the length of the vector",
    load: async () => (await import("./bench_allreduce.ts")).runBenchAllReduce,
  },
  predict: {
    summary: "What the measured sums mean for more GPUs and hosts",
    load: async () => (await import("./bench_predict.ts")).runBenchPredict,
  },
};

const NAMES = Object.keys(BENCHMARKS);

/** Flags of `bench`; each benchmark has its own. */
export const BENCH_HELP: CommandHelp = {
  name: "bench",
  summary: "Measure a part of Lockstep on this machine.",
  positional: NAMES.join(" | "),
  flags: [HELP_FLAG],
  examples: [
    ...NAMES.map((name) => `deno task bench ${name.padEnd(11)}  # ${BENCHMARKS[name].summary}`),
    "deno task bench scaling --help",
  ],
};

/** Runs `bench` and returns the exit code. */
export async function runBench(args: string[]): Promise<number> {
  const [what, ...rest] = args;
  if (what === undefined || what.startsWith("-")) {
    parseFlags(BENCH_HELP, args);
    console.log(helpText(BENCH_HELP));
    return 0;
  }
  if (!Object.hasOwn(BENCHMARKS, what)) {
    const nearest = nearestName(what, NAMES);
    throw new UsageError(
      `Unknown benchmark "${what}": ${
        nearest ? `did you mean ${nearest}?` : `known are ${NAMES.join(", ")}`
      }`,
    );
  }
  return await (await BENCHMARKS[what].load())(rest);
}
