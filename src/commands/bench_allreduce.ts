/**
 * `deno task bench allreduce`: latency and bandwidth of the sum over the workers.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { visibleJson } from "../base/visible_text.ts";
import type { AllReducePoint } from "../bench/all_reduce.ts";
import { GRADIENT_DTYPES, type GradientDtype } from "../protocol/messages.ts";
import { CLUSTER_FLAGS, clusterSettings, OUTPUT_FLAGS, printTable } from "./bench_flags.ts";
import type { Command } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

/** Flags that say what is measured; `bench predict` has them too. */
export const ALL_REDUCE_FLAGS = [
  { name: "workers", value: "N[,N…]", help: "Worker processes (default: 2)" },
  {
    name: "sizes",
    value: "SIZES",
    help: "Bytes of the vectors; A..B doubles (default: 1MB..64MB)",
  },
  { name: "steps", value: "N", help: "Calls that are timed per size (default: 10)" },
  { name: "warmup", value: "N", help: "Calls before them (default: 3)" },
  {
    name: "dtype",
    value: "NAME",
    help: "How values travel over NATS: float32, float16 or bfloat16 (default: float32)",
  },
  ...CLUSTER_FLAGS,
];

/** `deno task bench allreduce`. */
export const COMMAND: Command = {
  name: "bench allreduce",
  isBenchmark: true,
  summary: "Measure the sum over the workers alone, beside copies of as many bytes.",
  flags: [...ALL_REDUCE_FLAGS, ...OUTPUT_FLAGS, HELP_FLAG],
  examples: [
    "deno task bench allreduce --sizes 1MB..256MB --workers 2",
    "deno task bench allreduce --sizes 44.7MB --workers 2,4,8 --out bench/allreduce",
    "deno task bench allreduce --sizes 44.7MB --exchange nats --dtype bfloat16",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const options = await allReduceOptions(flags);
  const { benchAllReduce } = await import("../bench/all_reduce.ts");
  const result = await benchAllReduce(options);
  const { points } = result;
  if (flags.on("json")) console.log(visibleJson(result));
  else {
    console.log(
      `All-reduce of float32 vectors; exchange: ${result.exchange}, values as ${result.dtype}`,
    );
    await printTable(COLUMNS, await rowsOf(points));
    console.log(
      "GB = 10⁹ bytes. alg: bytes / time; bus: alg × 2(n − 1)/n (nccl-tests). memcpy: bytes copied / time,\n" +
        "by one process, and per process while all copy; copies: the time in such copies by one process;\n" +
        "× bound: the time over that of the bytes that must move, (1 + 1/n) per rank and byte, when all copy.",
    );
  }
  const out = flags.text("out");
  if (out !== undefined) {
    const { writeResult } = await import("../bench/write_result.ts");
    const { allReducePlot } = await import("../bench/all_reduce_plot.ts");
    await writeResult(out, {
      result,
      rows: points.map((point) => ({ exchange: result.exchange, dtype: result.dtype, ...point })),
      plot: allReducePlot(result),
      workers: Math.max(...options.workers),
      threads: options.threads,
    });
    console.error(`Written to ${out}`);
  }
  return 0;
}

/** Reads the options that {@linkcode ALL_REDUCE_FLAGS} ask for. */
export async function allReduceOptions(flags: Flags) {
  const { parseCounts, parseSizes } = await import("../bench/sizes.ts");
  return {
    workers: parseCounts("workers", flags.text("workers") ?? "2"),
    sizes: parseSizes(flags.text("sizes") ?? "1MB..64MB"),
    steps: flags.integer("steps", 1) ?? 10,
    warmup: flags.integer("warmup", 0) ?? 3,
    threads: 1,
    ...dtypeFlag(flags),
    ...clusterSettings(flags),
  };
}

/** Reads `--dtype`: the dtype of the values that go through the broker. */
function dtypeFlag(flags: Flags): { dtype?: GradientDtype } {
  const given = flags.text("dtype");
  if (given === undefined) return {};
  const dtype = GRADIENT_DTYPES.find((known) => known === given);
  if (!dtype) throw new UsageError(`--dtype is ${given}: give ${GRADIENT_DTYPES.join(" or ")}`);
  if (dtype !== "float32" && flags.text("exchange") !== "nats") {
    throw new UsageError(
      `--dtype is ${dtype}, but only vectors that go over NATS are narrowed: add --exchange nats`,
    );
  }
  return { dtype };
}

const COLUMNS = [
  { title: "workers", align: "right" },
  { title: "size", align: "right" },
  { title: "ms", align: "right" },
  { title: "min", align: "right", givesWay: 2 },
  { title: "max", align: "right", givesWay: 2 },
  { title: "alg GB/s", align: "right" },
  { title: "bus GB/s", align: "right" },
  { title: "memcpy GB/s", align: "right" },
  { title: "all at once", align: "right", givesWay: 1 },
  { title: "copies", align: "right", givesWay: 3 },
  { title: "× bound", align: "right", givesWay: 4 },
] as const;

async function rowsOf(points: readonly AllReducePoint[]): Promise<string[][]> {
  const { sizeText } = await import("../bench/sizes.ts");
  return points.map((point) => [
    String(point.workers),
    sizeText(point.bytes),
    point.milliseconds.toFixed(2),
    point.minMilliseconds.toFixed(2),
    point.maxMilliseconds.toFixed(2),
    point.algorithmGBps.toFixed(3),
    point.busGBps.toFixed(3),
    point.memcpyGBps.toFixed(1),
    point.memcpyTogetherGBps.toFixed(1),
    point.copies.toFixed(1),
    point.timesBound.toFixed(1),
  ]);
}
