/**
 * `deno task bench`: measures parts of Lockstep on this machine.
 *
 * @module
 */
import type { LoadCommand, TaskCommand } from "./command.ts";
import { HELP_FLAG } from "./flags.ts";

/** Summaries of the benchmarks. */
const TITLES = {
  step: "One worker's training step, without data and exchange",
  loader: "Reading, decoding and transforming images into batches",
  scaling: "The training loop with 1, 2, 4 … workers, and where a step's time goes",
  allreduce: "The sum over the workers alone, by the length of the vector",
  predict: "What the measured sums mean for more GPUs and hosts",
};

/** `deno task bench`. */
export const COMMAND: TaskCommand = {
  name: "bench",
  title: "Measure the training step, the exchange, and how they scale",
  summary: "Measure a part of Lockstep on this machine.",
  positional: Object.keys(TITLES).join(" | "),
  permissions: "train",
  flags: [HELP_FLAG],
  examples: [
    ...Object.entries(TITLES).map(([name, title]) =>
      `deno task bench ${name.padEnd(11)}  # ${title}`
    ),
    "deno task bench scaling --help",
  ],
  partKind: "benchmark",
  parts: {
    step: () => import("./bench_step.ts"),
    loader: () => import("./bench_loader.ts"),
    scaling: () => import("./bench_scaling.ts"),
    allreduce: () => import("./bench_allreduce.ts"),
    predict: () => import("./bench_predict.ts"),
  } satisfies Record<keyof typeof TITLES, LoadCommand>,
};
