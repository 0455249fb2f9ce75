/**
 * Runs Lockstep and PyTorch in turn, some rounds long, and prints the ratios of each round and their spread.
 * Taking turns matters: on a shared machine only ratios within the same minutes mean anything.
 *
 * Usage: scripts/compare_pytorch.sh [--python PATH] [--rounds N] [--steps N]
 *   [--only train,step,allreduce,independent] [--compile] [--precision float32|bf16] [--workers N] [--batch N]
 *   [--image-size PIXELS] [--model NAME] [--exchange NAME] [--out FILE]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { outputOf } from "./children.ts";

const ROOT = new URL("..", import.meta.url).pathname;
/** A run that takes longer is stuck; torch.compile takes minutes. */
const MAX_MS = 420_000;
/** Gradients and running statistics of ResNet-18 with 10 classes are about as long. */
const ALL_REDUCE_BYTES = 44_700_000;
const PARTS = ["train", "step", "allreduce", "independent"] as const;

const NAMES = [
  "python",
  "rounds",
  "steps",
  "only",
  "workers",
  "batch",
  "image-size",
  "model",
  "precision",
  "exchange",
  "out",
];
const flags = parseArgs(Deno.args, {
  string: NAMES,
  boolean: ["help", "compile"],
  unknown: (arg) => fail(`Unknown argument ${arg}: known are ${NAMES.map((name) => `--${name}`)}`),
});
const python = text("python", "python3");
const rounds = count("rounds", 5);
const workers = count("workers", 2);
const only = text("only", PARTS.join(",")).split(",");
const out = text("out", "");
/** Options that both sides share. */
const size = [
  ["--model", text("model", "resnet18")],
  ["--image-size", String(count("image-size", 224))],
  ["--batch", String(count("batch", 16))],
].flat();
const precision = ["--precision", text("precision", "float32")];
const steps = ["--steps", String(count("steps", 8)), "--warmup", "2"];
const exchange = ["--exchange", text("exchange", "auto")];

/** The results of a run, by name. */
type Figures = Record<string, number>;

/** A figure of either side that is compared. */
interface Figure {
  readonly name: string;
  readonly better: "more" | "less";
  readonly show: (value: number) => string;
}

const FIGURES = {
  imagesPerSecond: {
    name: "images/s",
    better: "more",
    show: (value) => `${value.toFixed(1)} images/s`,
  },
  residentBytes: {
    name: "memory per process",
    better: "less",
    show: (value) => `${(value / 1e6).toFixed(0)} MB resident`,
  },
  startSeconds: {
    name: "start to first step",
    better: "less",
    show: (value) => `first step after ${value.toFixed(1)} s`,
  },
  milliseconds: { name: "all-reduce", better: "less", show: (value) => `${value.toFixed(1)} ms` },
} satisfies Record<string, Figure>;

/** A part of the comparison: Lockstep first, then its peers. */
interface Part {
  readonly title: string;
  readonly runs: Record<string, () => Promise<Figures>>;
}

const COMPARISONS: Record<(typeof PARTS)[number], Part> = {
  train: {
    title: `${workers} workers, 1 thread each: training step, memory, start`,
    runs: {
      "lockstep": lockstepTraining,
      "pytorch ddp default": () => ddpTraining("default"),
      "pytorch ddp channels_last": () => ddpTraining("channels_last"),
    },
  },
  step: {
    title: "1 worker, all cores: training step",
    runs: {
      "lockstep": async () => {
        const { imagesPerSecond } = await bench(["step", ...size, ...precision, ...steps]);
        return { imagesPerSecond: imagesPerSecond as number };
      },
      "pytorch default": () => singleStep("default"),
      "pytorch channels_last": () => singleStep("channels_last"),
      ...(flags.compile
        ? { "pytorch compiled": () => singleStep("channels_last", "--compile") }
        : {}),
    },
  },
  allreduce: {
    title: `${workers} processes: all-reduce of ${ALL_REDUCE_BYTES / 1e6} MB`,
    runs: {
      "lockstep": async () => {
        const { points } = await bench([
          "allreduce",
          "--workers",
          String(workers),
          "--sizes",
          `${ALL_REDUCE_BYTES}B`,
          ...exchange,
          ...steps,
        ]);
        const [{ milliseconds }] = points as { milliseconds: number }[];
        return { milliseconds };
      },
      "pytorch gloo": async () => {
        const bytes = ["--bytes", String(ALL_REDUCE_BYTES)];
        const { milliseconds } = await ddp(["--measure", "allreduce", ...bytes, ...steps]);
        return { milliseconds: milliseconds as number };
      },
    },
  },
  independent: {
    title: `${workers} workers, 1 thread each, and as many steps that know nothing of each other`,
    runs: {
      "lockstep": async () => {
        const { imagesPerSecond } = await lockstepTraining();
        return { imagesPerSecond };
      },
      "independent steps": async () => {
        const step = ["step", "--threads", "1", ...size, ...precision, ...steps];
        const all = await Promise.all(Array.from({ length: workers }, () => bench(step)));
        const sum = all.reduce((sum, { imagesPerSecond }) => sum + (imagesPerSecond as number), 0);
        return { imagesPerSecond: sum };
      },
    },
  },
};

async function lockstepTraining(): Promise<Figures> {
  const start = Date.now();
  const { points } = await bench([
    "scaling",
    "--mode",
    "weak",
    "--workers",
    String(workers),
    "--threads",
    "1",
    ...size,
    ...precision,
    ...steps,
    ...exchange,
  ]);
  const [{ imagesPerSecond, residentBytes, firstStepAt }] = points as Figures[];
  return { imagesPerSecond, residentBytes, startSeconds: (firstStepAt - start) / 1000 };
}

async function ddpTraining(format: string): Promise<Figures> {
  const start = Date.now();
  const { imagesPerSecond, residentBytes, firstStepAt } = await ddp(
    ["--format", format, ...size, ...precision, ...steps],
  ) as Figures;
  return { imagesPerSecond, residentBytes, startSeconds: (firstStepAt - start) / 1000 };
}

async function singleStep(format: string, ...others: string[]): Promise<Figures> {
  const settings = ["--format", format, ...others, ...size, ...precision, ...steps];
  const { imagesPerSecond } = await run(python, ["scripts/pytorch_peer.py", ...settings]);
  return { imagesPerSecond: imagesPerSecond as number };
}

function bench(args: string[]): Promise<Record<string, unknown>> {
  return run(Deno.execPath(), ["task", "--quiet", "bench", ...args, "--json"]);
}

function ddp(args: string[]): Promise<Record<string, unknown>> {
  const launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"];
  return run(python, [...launcher, String(workers), "scripts/pytorch_ddp_peer.py", ...args], {
    OMP_NUM_THREADS: "1",
  });
}

/** Runs a program and reads the JSON of its last line. */
async function run(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await outputOf(command, {
    args,
    cwd: ROOT,
    env,
    signal: AbortSignal.timeout(MAX_MS),
  });
  const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) {
    throw new Error(
      `${command} ${args.join(" ")} ended with code ${code}:\n${errors.slice(-2000)}`,
    );
  }
  return JSON.parse(output.trim().split("\n").at(-1)!);
}

/** Ends the program where the Python that was named has no PyTorch. */
async function checkPeer(): Promise<void> {
  const cure = "name a Python that has torch and torchvision with --python";
  try {
    const args = ["-c", "import torch, torchvision"];
    const { success } = await new Deno.Command(python, { args }).output();
    if (!success) fail(`${python} can't import torch and torchvision: ${cure}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    fail(`There is no ${python}: ${cure}`);
  }
}

function text(name: string, fallback: string): string {
  return String(flags[name] ?? fallback);
}

function count(name: string, fallback: number): number {
  const value = Number(flags[name] ?? fallback);
  if (!Number.isSafeInteger(value) || value < 1) fail(`--${name} is ${flags[name]}: give a number`);
  return value;
}

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(2);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** All rounds of a part: the figures of each run in each round. */
async function compare({ title, runs }: Part): Promise<Record<string, Figures[]>> {
  console.log(`\n${title}`);
  const all: Record<string, Figures[]> = {};
  for (let round = 1; round <= rounds; round++) {
    for (const [name, measure] of Object.entries(runs)) {
      const figures = await measure();
      (all[name] ??= []).push(figures);
      const shown = Object.entries(figures)
        .map(([key, value]) => FIGURES[key as keyof typeof FIGURES].show(value)).join(", ");
      console.log(`round ${round}  ${name.padEnd(26)} ${shown}`);
    }
  }
  const { lockstep, ...peers } = all;
  for (const [peer, theirs] of Object.entries(peers)) {
    for (const key of Object.keys(theirs[0])) {
      const ratios = theirs.map((figures, round) => lockstep[round][key] / figures[key]);
      const { name, better } = FIGURES[key as keyof typeof FIGURES];
      const [middle, least, most] = [median(ratios), Math.min(...ratios), Math.max(...ratios)]
        .map((ratio) => ratio.toFixed(2));
      console.log(
        `lockstep / ${peer}, ${name}: ${middle} (${least}..${most}; ${better} is better)`,
      );
    }
  }
  return all;
}

if (flags.help) {
  console.log(`Options: ${[...NAMES, "compile"].map((name) => `--${name}`).join(" ")}`);
  Deno.exit(0);
}
const chosen = only.map((name) =>
  PARTS.find((part) => part === name) ?? fail(`--only ${name}: known are ${PARTS.join(", ")}`)
);
await checkPeer();
const results: Record<string, Record<string, Figures[]>> = {};
for (const part of chosen) {
  results[part] = await compare(COMPARISONS[part]);
  if (out) await Deno.writeTextFile(out, JSON.stringify(results, undefined, 2) + "\n");
}
