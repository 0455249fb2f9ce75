/**
 * `deno task bench predict`: a cost model fitted to measured all-reduces, and what it says of more GPUs and hosts.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { visibleJson } from "../base/visible_text.ts";
import type { CostFit, CostModel, Prediction } from "../bench/cost_model.ts";
import { ALL_REDUCE_FLAGS, allReduceOptions } from "./bench_allreduce.ts";
import { numberFlag, OUTPUT_FLAGS, printTable } from "./bench_flags.ts";
import type { Command } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

/** Microseconds per message between hosts, unless given: TCP within a data centre. */
const INTER_LATENCY_US = 50;
/** 10⁹ bytes per second between hosts, unless given: 25 Gbit/s Ethernet. */
const INTER_GBPS = 3.125;

/** `deno task bench predict`. */
export const COMMAND: Command = {
  name: "bench predict",
  isBenchmark: true,
  summary:
    "Fit the cost model α·f(n) + β·bytes·g(n) to measured all-reduces, and extrapolate a step to G GPUs on each\n" +
    "of H hosts. Reads result.json files of bench allreduce, or measures first when none is given.",
  positional: "[result.json …]",
  flags: [
    { name: "compute", value: "MS", help: "A GPU's work per step (default: 100, assumed)" },
    { name: "bytes", value: "SIZE", help: "The model's gradients (default: 44.7MB, ResNet-18)" },
    { name: "gpus", value: "N[,N…]", help: "GPUs per host (default: 1,2,4,8)" },
    { name: "hosts", value: "N[,N…]", help: "Hosts (default: 1,2,4,8)" },
    {
      name: "host-cores",
      value: "N",
      help: "Cores of a host, for shared memory (default: those of the measured machine)",
    },
    { name: "intra-latency", value: "US", help: "α within a host in µs (default: fitted)" },
    { name: "intra-bandwidth", value: "GBPS", help: "1/β within a host in GB/s (default: fitted)" },
    {
      name: "inter-latency",
      value: "US",
      help: `α between hosts in µs (default: ${INTER_LATENCY_US}, assumed)`,
    },
    {
      name: "inter-bandwidth",
      value: "GBPS",
      help: `1/β between hosts in GB/s (default: ${INTER_GBPS}, 25 Gbit/s, assumed)`,
    },
    { name: "inter", value: "FORM", help: "star or ring between hosts (default: star)" },
    ...ALL_REDUCE_FLAGS,
    ...OUTPUT_FLAGS,
    HELP_FLAG,
  ],
  examples: [
    "deno task bench predict bench/allreduce/result.json --compute 50",
    "deno task bench predict --workers 2,4 --sizes 1MB..16MB --hosts 1,2,4",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const { fitCost, formOf, predictStep, RING, STAR } = await import("../bench/cost_model.ts");
  const { parseCounts, parseSize, sizeText } = await import("../bench/sizes.ts");
  const bytes = parseSize(flags.text("bytes") ?? "44.7MB");
  const compute = numberFlag(flags, "compute") ?? 100;
  const gpus = parseCounts("gpus", flags.text("gpus") ?? "1,2,4,8");
  const hosts = parseCounts("hosts", flags.text("hosts") ?? "1,2,4,8");
  const interForm = { star: STAR, ring: RING }[flags.text("inter") ?? "star"];
  if (!interForm) throw new UsageError(`--inter is ${flags.text("inter")}: give star or ring`);
  const inter = modelFrom(interForm, {
    microseconds: numberFlag(flags, "inter-latency", true) ?? INTER_LATENCY_US,
    gigabytesPerSecond: numberFlag(flags, "inter-bandwidth") ?? INTER_GBPS,
  });
  const intraLatency = numberFlag(flags, "intra-latency", true);
  const intraBandwidth = numberFlag(flags, "intra-bandwidth");

  const measured = await measuredPoints(flags);
  const fit = fitCost(measured.points, formOf(measured.exchange, measured.cores));
  const intra: CostModel = {
    form: formOf(measured.exchange, flags.integer("host-cores", 1) ?? measured.cores),
    alpha: intraLatency === undefined ? fit.alpha : intraLatency / 1000,
    beta: intraBandwidth === undefined ? fit.beta : betaOf(intraBandwidth),
  };
  const predictions = hosts.flatMap((hostCount) =>
    gpus.map((gpusPerHost) =>
      predictStep({ intra, inter, compute, bytes }, { hosts: hostCount, gpusPerHost })
    )
  );
  const result = {
    kind: "predict",
    exchange: measured.exchange,
    cores: measured.cores,
    ...{ bytes, compute },
    measured: { ...constantsOf(fit), fittedError: fit.fittedError, heldOutError: fit.heldOutError },
    heldOut: fit.heldOut,
    used: { intra: constantsOf(intra), inter: constantsOf(inter) },
    predictions,
  };
  const intraSource = intraLatency === undefined && intraBandwidth === undefined
    ? "fitted"
    : "given";
  const assumptions = [
    `${sizeText(bytes)}, ${compute} ms of computing`,
    `within a host: ${constantsText(intra)} (${intraSource})`,
    `between hosts: ${constantsText(inter)} (assumed)`,
  ];
  if (flags.on("json")) console.log(visibleJson(result));
  else await print(fit, predictions, measured.exchange, assumptions);
  const out = flags.text("out");
  if (out !== undefined) {
    const { writeResult } = await import("../bench/write_result.ts");
    const { predictPlot } = await import("../bench/predict_plot.ts");
    await writeResult(out, {
      result,
      rows: predictions.map((prediction) => ({ ...prediction })),
      plot: predictPlot(fit, predictions, assumptions),
      workers: Math.max(...measured.points.map(({ workers }) => workers)),
      threads: 1,
    });
    console.error(`Written to ${out}`);
  }
  return 0;
}

/** Points of the files that are named; without any, measured now. */
async function measuredPoints(flags: Flags) {
  const paths = flags.positional;
  if (paths.length === 0) {
    const { benchAllReduce } = await import("../bench/all_reduce.ts");
    return await benchAllReduce(await allReduceOptions(flags));
  }
  const given = ALL_REDUCE_FLAGS.find(({ name }) => flags.given(name));
  if (given) {
    throw new UsageError(
      `--${given.name} says what to measure, but ${
        paths[0]
      } is measured already: leave one of them out`,
    );
  }
  const { readPoints } = await import("../bench/read_points.ts");
  return await readPoints(paths);
}

function modelFrom(
  form: CostModel["form"],
  { microseconds, gigabytesPerSecond }: { microseconds: number; gigabytesPerSecond: number },
): CostModel {
  return { form, alpha: microseconds / 1000, beta: betaOf(gigabytesPerSecond) };
}

/** Milliseconds per byte. */
function betaOf(gigabytesPerSecond: number): number {
  return 1e-6 / gigabytesPerSecond;
}

function constantsOf({ form, alpha, beta }: CostModel) {
  return {
    form: form.name,
    formula: form.formula,
    alphaMicroseconds: 1000 * alpha,
    bandwidthGBps: beta > 0 ? 1e-6 / beta : null,
  };
}

function constantsText(model: CostModel): string {
  const { form, alphaMicroseconds, bandwidthGBps } = constantsOf(model);
  const bandwidth = bandwidthGBps === null
    ? "no cost per byte"
    : `1/β ${bandwidthGBps.toPrecision(3)} GB/s`;
  return `${form}, α ${alphaMicroseconds.toFixed(0)} µs, ${bandwidth}`;
}

async function print(
  fit: CostFit,
  predictions: readonly Prediction[],
  exchange: string,
  assumptions: readonly string[],
): Promise<void> {
  const { sizeText } = await import("../bench/sizes.ts");
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  console.log(`Exchange ${exchange}: ${fit.form.formula}`);
  console.log(
    `Fitted to ${fit.fitted.length} points: ${constantsText(fit)}; mean error ${
      percent(fit.fittedError)
    }`,
  );
  console.log(
    `Held out, ${fit.heldOut.length} points: mean error ${percent(fit.heldOutError)}\n`,
  );
  const right = (title: string) => ({ title, align: "right" as const });
  await printTable(
    ["workers", "size", "measured ms", "predicted ms", "error"].map(right),
    fit.heldOut.map(({ workers, bytes, milliseconds, predicted, error }) => [
      String(workers),
      sizeText(bytes),
      milliseconds.toFixed(2),
      predicted.toFixed(2),
      `${error > 0 ? "+" : ""}${percent(error)}`,
    ]),
  );
  console.log(`\nExtrapolated: ${assumptions.join("; ")}\n`);
  await printTable(
    ["hosts", "GPUs each", "GPUs", "within ms", "between ms", "step ms", "efficiency"].map(right),
    predictions.map((prediction) => [
      String(prediction.hosts),
      String(prediction.gpusPerHost),
      String(prediction.gpus),
      prediction.intraMilliseconds.toFixed(1),
      prediction.interMilliseconds.toFixed(1),
      prediction.stepMilliseconds.toFixed(1),
      percent(prediction.efficiency),
    ]),
  );
  console.log(
    "\nComputing and exchange follow each other. Nothing beyond the measured workers was measured.",
  );
}
